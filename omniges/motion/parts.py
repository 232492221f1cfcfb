"""Long motion, part by part, so that little of what lies on disk is in memory at once."""

from collections.abc import Iterator

from omniges.spool import passed
from omniges.types import Motion

PART_FRAMES = 4096


def parts_of(motion: Motion, frames: int | None = None) -> Iterator[Motion]:
    """Consecutive parts of `frames` frames (None: `PART_FRAMES`), as views; the last may be shorter.

    The memory of a part that lies in a `Spool`'s arrays is given back when the next one is asked for.
    """
    size = frames or PART_FRAMES
    for start in range(0, motion.n_frames, size):
        part = motion.part(start, start + size)
        yield part
        give_back(part)


def give_back(part: Motion) -> None:
    """Let the system take the memory of frames that were looked at, where they lie in a `Spool`'s arrays."""
    for rows in (part.poses, part.trans, part.expressions):
        passed(rows)
