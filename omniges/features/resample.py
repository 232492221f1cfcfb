"""From a feature's own rate to motion rate, by time.

A feature row stands for a moment: row k is at `first_s + k * step_s`. A motion frame stands for its middle,
`omniges.timing.frame_centers_s`. Between rows the value is interpolated linearly; before the first and
after the last row the nearest row holds (at most half a frame and half an analysis window away).

Shapes: K feature rows, T motion frames, W channels.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from omniges.errors import ShapeError
from omniges.timing import frame_centers_s


def rows_at(
    values: NDArray[np.float32], times_s: NDArray[np.float64], *, first_s: float, step_s: float
) -> NDArray[np.float32]:
    """Interpolate rows at given times.

    Args:
        values: [K, W], K >= 1.
        times_s: [T] seconds.
        first_s: time of row 0.
        step_s: seconds from row to row, > 0.

    Returns:
        [T, W] float32.
    """
    if values.ndim != 2 or len(values) == 0 or step_s <= 0:
        raise ShapeError(
            f"rows_at: got values {values.shape} every {step_s} s, wanted [K, W] with K > 0 and a step > 0."
        )
    position = np.clip((times_s - first_s) / step_s, 0.0, len(values) - 1.0)
    below = np.minimum(position.astype(np.int64), max(0, len(values) - 2))
    above = np.minimum(below + 1, len(values) - 1)
    share = (position - below).astype(np.float32)[:, None]
    return values[below] * (1.0 - share) + values[above] * share


def frames_from_blocks(
    blocks: Iterable[NDArray[np.float32]], n_frames: int, *, fps: float, first_s: float, step_s: float
) -> Iterator[NDArray[np.float32]]:
    """`rows_at` for all frame centres, from rows that come in consecutive blocks; one block is held.

    Args:
        blocks: [k_i, W] each.
        n_frames: T.
        fps: motion frames a second.
        first_s: time of the first row.
        step_s: seconds from row to row.

    Returns:
        Blocks [t_i, W] of T rows in all.
    """
    centers = np.asarray(frame_centers_s(n_frames, fps))
    done, held_from = 0, 0
    held: NDArray[np.float32] | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held[-1:], block])
        last_s = first_s + (held_from + len(held) - 1) * step_s
        ready = int(np.searchsorted(centers, last_s, side="right"))
        yield rows_at(held, centers[done:ready], first_s=first_s + held_from * step_s, step_s=step_s)
        done, held_from = ready, held_from + len(held) - 1
    if held is None:
        raise ShapeError("frames_from_blocks: got no rows, wanted at least one.")
    yield rows_at(held[-1:], centers[done:], first_s=first_s + held_from * step_s, step_s=step_s)
