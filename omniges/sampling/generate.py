"""Gesture for speech of any length: rectified flow in windows that continue the model's own past.

Shapes: B clips side by side, N tokens of a window, X channels of a token, P parts, Q quantizers,
    T frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.errors import ShapeError
from omniges.model.a2g import A2G
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH
from omniges.sampling.decoding import PieceDecoder
from omniges.sampling.listening import Listened, listen
from omniges.sampling.progress import Progress, Settled, clip_generator, settle
from omniges.sampling.sampler import Decoder
from omniges.sampling.speech import Speech, window_of
from omniges.sampling.windows import Cover, Window

_HEARD_AT_ONCE = 8  # windows, of all clips; more hardly save time
_DECODED_AT_ONCE = 512  # latents; bounds the memory of a long clip


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One clip's gesture."""

    clip: str
    gesture: Tensor  # [T, 415] raw
    side: Tensor  # [T, 9] jaw and eyes, axis-angle in radians
    latent: Tensor  # [ceil(T / 4), P, D] what was decoded


def generate_gesture(
    model: A2G,
    tokenizer: Decoder,
    wavlm: Tensor,
    mfcc: Tensor,
    words: tuple[Tensor, Tensor] | None,
    speaker: int,
    n_frames: int,
    seed: int,
    options: SamplingParams,
    clip: str = "speech",
) -> tuple[Tensor, Tensor]:
    """Gesture for one stretch of speech.

    Args:
        model: in evaluation mode.
        tokenizer: the tokenizers that the model was trained with.
        wavlm: [T, 768], T >= n_frames.
        mfcc: [T, 128].
        words: embeddings [W, 1024] and spans in seconds [W, 2]; None without a transcript.
        speaker: row of the model's speaker table, or -1.
        n_frames: frames wanted.
        seed: with `clip`, decides all randomness.
        options: steps, solver, guidance and so on; `seeds` is not used.
        clip: a name for the speech.
    Returns:
        raw gesture [n_frames, 415]; jaw and eyes [n_frames, 9] in radians.
    """
    text, spans = (
        words if words is not None else (torch.zeros(0, model.config.data.text_width), torch.zeros(0, 2))
    )
    if len(wavlm) < n_frames or len(mfcc) < n_frames:
        raise ShapeError(
            f"{clip}: got {len(wavlm)} wavlm and {len(mfcc)} mfcc frames, wanted {n_frames} of each."
        )
    speech = Speech(
        clip=clip, wavlm=wavlm[:n_frames], mfcc=mfcc[:n_frames], text=text, text_span_s=spans, speaker=speaker
    )
    result = generate_clips(model, tokenizer, [speech], seed, options)[0]
    return result.gesture, result.side


def generate_clips(
    model: A2G,
    tokenizer: Decoder,
    speeches: Sequence[Speech],
    seed: int,
    options: SamplingParams,
    names: Sequence[str] | None = None,
) -> list[Generated]:
    """Gesture for several clips, side by side; each one's randomness depends on the seed and its name alone.

    Args:
        model: in evaluation mode, on any device.
        tokenizer: on the same device.
        speeches: clips of any lengths.
        seed: with each clip's name, decides the randomness.
        options: see `generate_gesture`.
        names: seeds' names, where they aren't the speeches' (the same noise for other audio).
    """
    cover = Cover.of_frames(options.window_frames, options.overlap_frames, options.lookahead_frames)
    names = [speech.clip for speech in speeches] if names is None else names
    running = [
        _Clip(speech, Progress(clip_generator(seed, name)), tokenizer)
        for speech, name in zip(speeches, names, strict=True)
    ]
    for row, listened in _rounds(model, running, cover, options):
        active, windows = zip(*row, strict=True)
        going = [clip.progress for clip in active]
        settled = settle(model, tokenizer, listened, going, windows, cover, options)
        for clip, part in zip(active, settled, strict=True):
            clip.keep(part)
    return [clip.finish(model) for clip in running]


def _rounds(
    model: A2G, clips: "Sequence[_Clip]", cover: Cover, options: SamplingParams
) -> "Iterator[tuple[Sequence[_Row], Listened]]":
    """Next windows side by side, one of every clip that goes on. What is heard doesn't hang on the gesture,
    so several rounds are listened to at once.
    """
    plans = [cover.plan(clip.n_tokens) for clip in clips]
    rounds = [
        [(clip, plan[index]) for clip, plan in zip(clips, plans, strict=True) if index < len(plan)]
        for index in range(max(map(len, plans)))
    ]

    def size(row: "Sequence[_Row]") -> tuple[int, int]:
        return len(row), cover.length([window for _, window in row], model.config.token_span)

    for (width, tokens), group in groupby(rounds, size):
        alike, step = list(group), max(1, _HEARD_AT_ONCE // width)
        for first in range(0, len(alike), step):
            rows = alike[first : first + step]
            heard = window_of(
                [clip.speech for row in rows for clip, _ in row],
                [window.start * FRAMES_PER_CODE for row in rows for _, window in row],
                tokens * FRAMES_PER_CODE,
                model.config.data.fps,
            )
            listened = listen(model, heard, options)
            for place, row in enumerate(rows):
                yield row, listened.rows(place * width, width)


class _Clip:
    """One clip on its way to a `Generated`."""

    def __init__(self, speech: Speech, progress: Progress, tokenizer: Decoder) -> None:
        self.speech, self.progress = speech, progress
        self.n_tokens = -(-speech.n_frames // FRAMES_PER_CODE)
        self._decoder = PieceDecoder(tokenizer)
        self._waiting: list[Tensor] = []
        self._latents: list[Tensor] = []
        self._gesture: list[Tensor] = []
        self._side: list[Tensor] = []

    def keep(self, part: Settled) -> None:
        """Take in what a window settled; many latents are decoded at once, but never a whole long clip."""
        self._latents.append(part.latent)
        self._side.append(part.side)
        self._waiting.append(part.latent)
        last = self.progress.settled == self.n_tokens
        if last or sum(map(len, self._waiting)) >= _DECODED_AT_ONCE:
            self._gesture.append(self._decoder.push(torch.cat(self._waiting), last=last).cpu())
            self._waiting = []

    def finish(self, model: A2G) -> Generated:
        """Join the pieces and drop the padding."""
        n_frames = self.speech.n_frames
        gesture, side = torch.cat(self._gesture)[:n_frames], torch.cat(self._side)
        side = model.statistics.denormalise("side", side)[:n_frames].cpu()
        latent = torch.cat(self._latents).cpu()
        if gesture.shape != (n_frames, GESTURE_WIDTH):
            raise ShapeError(
                f"{self.speech.clip}: decoded {tuple(gesture.shape)}, wanted {(n_frames, GESTURE_WIDTH)}."
            )
        return Generated(clip=self.speech.clip, gesture=gesture, side=side, latent=latent)


_Row = tuple[_Clip, Window]
