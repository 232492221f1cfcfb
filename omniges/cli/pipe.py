"""`omniges generate -`: sound from a pipe, moved to while it comes in."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from omniges.api import Omniges, Take

log = logging.getLogger(__name__)


def take_of_pipe(
    omniges: "Omniges",
    source: BinaryIO,
    raw_hz: int | None,
    *,
    speaker: int | None,
    seed: int,
    **options: Any,
) -> "Take":
    """Listen until the pipe ends or ctrl-C is pressed, tell of every block, and keep all of it on disk.

    Args:
        omniges: the model.
        source: WAV bytes, or bare samples where `raw_hz` is given; see `omniges.audio.pipe`.
        raw_hz: Hz.
        speaker: as in `Omniges.generate`.
        seed: as in `Omniges.generate`.
        **options: as in `Omniges.generate`.
    """
    import numpy as np

    from omniges.api import Take
    from omniges.api.models import notes_of
    from omniges.api.walk import MotionSpool
    from omniges.audio.pipe import stream_pipe
    from omniges.spool import Spool

    heard, made = Spool(np.float32), MotionSpool(omniges.fps)
    with _interrupts() as interrupted:

        def listen() -> "Iterator[NDArray[np.float32]]":
            for chunk in stream_pipe(source, raw_hz):
                heard.append(chunk)
                yield chunk
                if interrupted:
                    return

        given = {**omniges.live(), **{key: value for key, value in options.items() if value is not None}}
        stream = omniges.stream(listen(), speaker=speaker, seed=seed, name="live", **given)
        log.info("listening; frames follow their sound by %.2f s and computing time", stream.delay_s)
        for block in stream:
            made.append(block.motion)
            stop = block.start_frame + block.motion.n_frames
            log.info("frames %d to %d, %.2f s heard", block.start_frame, stop, block.heard_s)
    sampling = notes_of(stream.options)
    notes = {"seed": seed, "speaker": speaker, "words": 0, "sampling": sampling, "delay_s": stream.delay_s}
    return Take(name="live", motion=made.motion(), wave=heard.array(), words=(), seed=seed, notes=notes)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The first ctrl-C ends listening and is noted in the list; a second one ends the program."""
    seen: list[int] = []

    def note(number: int, _: Any) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
