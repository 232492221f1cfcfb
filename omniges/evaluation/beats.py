"""Beat consistency (BC): do motion beats fall near audio onsets?

**BC does not measure listening.** Real motion scores .719 with its own audio and .708 with wrong audio;
smooth random noise scores .865, since it has many minima of speed. It can't tell ground truth from smooth
noise, and every report says so. What does carry information is the difference between matched and mismatched
audio (`listening`).

Conventions: positions [T, 55, 3] in metres, onsets in seconds from the clip's start. A beat is a strict local
    minimum of a joint's speed
over ± 7 frames; score = mean over 13 upper joints of the mean over ONSETS of exp(−d² / (2 · 0.3²)), d to the
joint's nearest beat.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import argrelextrema

from omniges.errors import EvaluationError
from omniges.evaluation.kinematics import UPPER_JOINTS, speed

Array = NDArray[np.float64]
SIGMA_S = 0.3
ORDER = 7


def beat_times_s(speeds: Array, fps: float, still: float) -> list[Array]:
    """Seconds of each joint's beats: minima of [T, J] speeds in joints that move there.

    Args:
        speeds: [T, J] m/s.
        fps: frames a second.
        still: m/s; a minimum counts where the joint's speed within ± `ORDER` frames exceeds it (a resting
            hand beats nothing).
    """
    found = []
    for column in speeds.T:
        minima = argrelextrema(column, np.less, order=ORDER)[0]
        near = [column[max(0, i - ORDER) : i + ORDER + 1].max() > still for i in minima]
        found.append(minima[np.array(near, dtype=bool)] / fps)
    return found


def alignment(onsets_s: Array, beats_s: Array) -> float:
    """Mean over onsets of exp(−d² / 2σ²), d to the nearest beat; 0 where there is no beat."""
    if len(beats_s) == 0:
        return 0.0
    nearest = np.abs(np.asarray(onsets_s)[:, None] - beats_s[None]).min(1)
    return float(np.exp(-(nearest**2) / (2 * SIGMA_S**2)).mean())


def upper_body_beats(positions: Array, fps: float, still: float = 0.1) -> list[Array]:
    """Seconds of the beats of each of the 13 upper joints.

    Raises:
        EvaluationError: too few frames for a local minimum.
    """
    if len(positions) < 2 * ORDER + 1:
        raise EvaluationError(f"beat consistency: {len(positions)} frames, wanted at least {2 * ORDER + 1}.")
    return beat_times_s(speed(positions[:, list(UPPER_JOINTS)], fps), fps, still)


def consistency(beats: Sequence[Array], onsets_s: Array, duration_s: float) -> float:
    """BC of beats that are found already.

    Raises:
        EvaluationError: no onset within the motion.
    """
    onsets = np.asarray(onsets_s, np.float64)
    onsets = onsets[(onsets >= 0) & (onsets < duration_s)]
    if len(onsets) == 0:
        raise EvaluationError(f"beat consistency: no audio onset within the motion's {duration_s:.2f} s.")
    return float(np.mean([alignment(onsets, joint) for joint in beats]))


def beat_consistency(positions: Array, onsets_s: Array, fps: float, still: float = 0.1) -> float:
    """The corrected BC of one clip: nothing mutated, one clock for motion and audio, both whole.

    Blind to listening: see the module's docstring.

    Raises:
        EvaluationError: no onset within the motion, or too few frames for a local minimum.
    """
    return consistency(upper_body_beats(positions, fps, still), onsets_s, len(positions) / fps)
