"""Spread and smoothness: L1 diversity, jerk, foot sliding, drift, difference between seeds.

Conventions: positions [T, J, 3] in metres, fps frames a second. Nothing here says whether motion fits speech,
and none of it is better when smaller or larger: smooth noise can be made to have any jerk, speed or spread,
and a statue has no drift and no sliding. Each value says something only beside the ground truth's; the report
names those by which smooth noise can't be told from it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omniges.evaluation.kinematics import FEET, Kinematics

Array = NDArray[np.float64]
STILL_M_PER_S = (
    0.3  # a foot slower than .01 m a frame at 30 fps stands (the contact rule of EMAGE's representation)
)


def l1_diversity(positions: Array) -> float:
    """Σ |x − mean_t x| over all coordinates, mean over frames, in metres.

    Spread within a clip. It rises with drift and with noise: more is not better, and noise beats ground
    truth. It does not write into its argument (the published code does, and then scores beats on what is
    left).
    """
    x = np.asarray(positions, np.float64).reshape(len(positions), -1)
    return float(np.abs(x - x.mean(0)).sum(1).mean())


def jerk(positions: Array, fps: float) -> float:
    """Mean norm of the third derivative, m/s³; 0 for fewer than four frames."""
    return float(jerk_norm(positions, fps).mean()) if len(positions) >= 4 else 0.0


def jerk_norm(positions: Array, fps: float) -> Array:
    """[T − 3, J] norm of the third derivative, m/s³."""
    return np.linalg.norm(np.diff(positions, n=3, axis=0) * fps**3, axis=-1)


def foot_sliding(k: Kinematics) -> float:
    """Horizontal speed of the lower of both ankles and feet, mean over frames, m/s: whoever stands has one
    foot that rests.
    """
    if k.n_frames < 2:
        return 0.0
    feet = k.world[:, list(FEET)]
    step = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * k.fps
    lowest = feet[1:, :, 1].argmin(1)
    return float(step[np.arange(len(step)), lowest].mean())


def root_drift(k: Kinematics) -> float:
    """Horizontal distance of the pelvis between first and last frame per minute, m/min."""
    minutes = k.n_frames / k.fps / 60
    return float(np.linalg.norm(k.trans[-1, [0, 2]] - k.trans[0, [0, 2]]) / minutes)


def between_seeds(positions: Sequence[Array]) -> float:
    """Mean distance of a joint between results of different seeds for one clip, metres.

    Args:
        positions: per seed [T, J, 3], two or more.
    """
    n = min(len(x) for x in positions)
    pairs = [
        np.linalg.norm(a[:n] - b[:n], axis=-1).mean()
        for i, a in enumerate(positions)
        for b in positions[i + 1 :]
    ]
    return float(np.mean(pairs))


def spectrum(signal: Array, fps: float, bins: int = 24) -> tuple[Array, Array]:
    """Power density of a signal [T] by frequency, on a common grid: (Hz [bins], power [bins]), to fps / 2.

    Segments of 4 s (Welch), so that clips of any length give the same frequencies. How much a signal moves at
    all counts, its mean does not.
    """
    from scipy.signal import welch

    length = min(len(signal), round(4 * fps))
    frequency, power = welch(signal, fs=fps, nperseg=length)
    grid = np.linspace(0.25, fps / 2, bins)
    return grid, np.interp(grid, frequency, power)


def spectral_distance(own: Array, true: Array) -> float:
    """Mean |log10 own / true| over frequencies of two power densities [bins]: 0 is equal, 1 ten times off.

    Powers below a millionth of the truth's largest count as that: nobody sees them. Blind to listening, and
    noise that is shaped like real motion has a small one.
    """
    least = 1e-6 * float(true.max()) + 1e-12
    return float(np.abs(np.log10(np.maximum(own, least) / np.maximum(true, least))).mean())
