"""Motion at another frame rate: rotations turn on the sphere, everything else is linear in time."""

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.motion.rotations import slerp
from omniges.timing import frames_in
from omniges.types import Motion


def resample_motion(motion: Motion, fps: float) -> Motion:
    """Sample a clip at another rate; frame i stands for time i / fps, the last pose is held to the end.

    Halving the rate takes every second frame, bit for bit. No low-pass filter is applied, as in the published
    15 fps sets; gestures carry little above 7 Hz.

    Args:
        motion: T frames at `motion.fps`.
        fps: wanted rate, > 0.
    """
    if fps == motion.fps:
        return motion
    position = np.arange(frames_in(motion.duration_s, fps)) * (motion.fps / fps)
    position = np.minimum(
        np.where(np.abs(position - position.round()) < 1e-9, position.round(), position), motion.n_frames - 1
    )
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, motion.n_frames - 1)
    share = position - before
    return Motion(
        poses=_turn(motion.poses, before, after, share),
        trans=_blend(motion.trans, before, after, share),
        expressions=_blend(motion.expressions, before, after, share),
        betas=motion.betas,
        fps=fps,
    )


def _blend(
    values: NDArray[np.float64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    return values[before] + (values[after] - values[before]) * share[:, None]


def _turn(
    poses: NDArray[np.float32],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    share: NDArray[np.float64],
) -> NDArray[np.float32]:
    result = poses[before].copy()
    between = share > 0
    if between.any():
        start, end = (torch.from_numpy(poses[i[between]].astype(np.float64)) for i in (before, after))
        weight = torch.from_numpy(share[between])[:, None].expand(start.shape[:2])
        result[between] = slerp(start, end, weight).numpy()
    return result
