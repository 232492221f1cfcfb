"""Messages that bring a moving body to a page, block by block while the sound is still being heard.

Every message is a JSON object with a `kind`: `begun`, `block` (many), `done`, or `failed`.
Shapes: N samples, T frames.
"""

import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.api import FORMATS, MotionBlock, Omniges, Take
from omniges.api.models import notes_of
from omniges.api.streaming import joined
from omniges.errors import DataError
from omniges.rendering.face import face_weights
from omniges.rendering.page import face_json, facts_json, frames_json, sound_json, stage_json
from omniges.rendering.viewer import words_json
from omniges.serve.takes import Kept
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

Message = dict[str, Any]
CHUNK_S = 0.5  # a recorded file is heard in pieces of this length
RECENT = 40  # blocks in whose light a new one's face and floor are seen


class Mover:
    """Moves one voice at a time, since every one takes all of the machine that it can get."""

    def __init__(self, omniges: Omniges) -> None:
        self.omniges = omniges
        self.turn = threading.Lock()
        self.closing = threading.Event()

    def recorded(self, kept: Kept, seed: int, speaker: int | None) -> Generator[Message, None, None]:
        """Messages for a whole recording. With words the model hears all of it first; without, it streams."""
        seconds = len(kept.wave) / SAMPLE_RATE
        yield begun(kept, seconds)
        with self.turn:
            if kept.words:
                take = self.omniges.generate(
                    kept.wave, transcript=kept.words, speaker=speaker, seed=seed, name=kept.name
                )
                kept.take = take
                yield block_message(0, take.motion, take.motion)
                yield done(kept, take.motion)
            else:
                step = round(CHUNK_S * SAMPLE_RATE)
                chunks = (kept.wave[start : start + step] for start in range(0, len(kept.wave), step))
                yield from self.streamed(kept, chunks, seed, speaker)

    def streamed(
        self,
        kept: Kept,
        chunks: Iterable[NDArray[np.float32]],
        seed: int,
        speaker: int | None,
        **options: int,
    ) -> Iterator[Message]:
        """Messages for sound that is still coming; `kept.wave` must be whole when `chunks` ends.

        The caller holds `turn`; `options` are those of `Omniges.stream`.
        """
        stream = self.omniges.stream(chunks, speaker=speaker, seed=seed, name=kept.name, **options)
        blocks: list[MotionBlock] = []
        for block in self._until_closing(stream):
            blocks.append(block)
            yield block_message(block.start_frame, block.motion, joined(blocks[-RECENT:]))
        motion = joined(blocks)
        notes = {
            "seed": seed,
            "speaker": speaker,
            "words": 0,
            "sampling": notes_of(stream.options),
            "streamed": True,
            "delay_s": stream.delay_s,
        }
        kept.take = Take(name=kept.name, motion=motion, wave=kept.wave, words=(), seed=seed, notes=notes)
        yield done(kept, motion)

    def _until_closing(self, blocks: Iterable[MotionBlock]) -> Iterator[MotionBlock]:
        for block in blocks:
            if self.closing.is_set():
                raise DataError("The server is ending.")
            yield block


def begun(kept: Kept, seconds: float) -> Message:
    """What is known of a recording before it moves."""
    return {
        "kind": "begun",
        "id": kept.key,
        "name": kept.name,
        "seconds": seconds,
        "words": words_json(kept.words),
        **sound_json(kept.wave, seconds),
    }


def block_message(start_frame: int, motion: Motion, recent: Motion) -> Message:
    """Frames that are ready.

    Args:
        start_frame: of the first one.
        motion: T frames.
        recent: the last frames so far, with `motion` at their end; they decide the face's rest and the floor.
    """
    face = face_weights(recent)[-motion.n_frames :]
    return {"kind": "block", "start_frame": start_frame, **stage_json(recent), **frames_json(motion, face)}


def done(kept: Kept, motion: Motion) -> Message:
    """The end: what the whole shows, and the files that can be had."""
    seconds = len(kept.wave) / SAMPLE_RATE
    return {
        "kind": "done",
        "id": kept.key,
        "formats": list(FORMATS),
        "seconds": seconds,
        "wholeFace": face_json(face_weights(motion)),
        **facts_json(motion),
        **sound_json(kept.wave, seconds),
    }
