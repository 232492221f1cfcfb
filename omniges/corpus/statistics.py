"""Figures by which a made-up motion is held beside a real one; all computed on the project's own skeleton.

Conventions: speeds by differences of neighbouring frames, metres and seconds; a speed peak is a local
maximum above 0.5 m/s; a median frequency halves the power of the rotation vectors' velocity; PCA runs over
the rotation vectors of the body without jaw and eyes, and over the expressions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks, welch

from omniges.corpus.arms import JOINT
from omniges.corpus.controls import Floats
from omniges.motion.layout import N_JOINTS, SIDE_JOINTS
from omniges.motion.skeleton import joint_positions
from omniges.types import Motion

_WRISTS = (JOINT["left_wrist"], JOINT["right_wrist"])
_ANKLES = (JOINT["left_ankle"], JOINT["right_ankle"])
_STILL_M_S = 0.15
_PEAK_M_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Group:
    """A scalar track, or several, whose predictability is reported; [T, C]."""

    wrist_height: Floats
    wrist_speed: Floats
    head: Floats
    jaw: Floats
    expressions: Floats


def tracks(motion: Motion) -> Group:
    """The five groups of the ceiling.

    wrist_height [T, 2] metres above the pelvis, left and right; wrist_speed [T, 2] m/s, likewise;
    head [T, 3] sum of neck's and head's rotation vectors; jaw [T, 1] rad about x; expressions [T, 100].
    """
    joints = joint_positions(motion)
    wrists = joints[:, _WRISTS] - joints[:, :1]
    speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * motion.fps
    return Group(
        wrist_height=wrists[..., 1],
        wrist_speed=np.concatenate([speed[:1], speed]),
        head=(motion.poses[:, JOINT["neck"]] + motion.poses[:, JOINT["head"]]).astype(np.float64),
        jaw=motion.poses[:, JOINT["jaw"], :1].astype(np.float64),
        expressions=motion.expressions,
    )


def clip_statistics(motion: Motion, audio_s: float) -> dict[str, float]:
    """Figures of one clip; the keys are the card's."""
    joints = joint_positions(motion)
    wrists = joints[:, _WRISTS]
    height = wrists[..., 1] - joints[:, :1, 1]
    speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * motion.fps
    peaks = sum(len(find_peaks(speed[:, side], height=_PEAK_M_S)[0]) for side in range(2)) / 2
    feet = np.linalg.norm(np.diff(joints[:, _ANKLES], axis=0), axis=-1) * motion.fps
    shoulder = [JOINT[f"{side}_{joint}"] for side in ("left", "right") for joint in ("shoulder", "elbow")]
    hand = [*_WRISTS, *(i for name, i in JOINT.items() if name[-1] in "123" and not name.startswith("spine"))]
    body = [joint for joint in range(N_JOINTS) if joint not in SIDE_JOINTS]
    return {
        "wrist_height_mean_m": float(height.mean()),
        "wrist_height_std_m": float(height.std(axis=0).mean()),
        "wrist_speed_mean_m_s": float(speed.mean()),
        "wrist_speed_p95_m_s": float(np.quantile(speed, 0.95)),
        "wrist_speed_peaks_per_min": 60.0 * peaks / motion.duration_s,
        "median_frequency_shoulder_elbow_hz": median_frequency(motion.poses[:, shoulder], motion.fps),
        "median_frequency_wrist_fingers_hz": median_frequency(motion.poses[:, hand], motion.fps),
        "body_pca_dimensions_95": pca_dimensions(motion.poses[:, body].reshape(motion.n_frames, -1)),
        "expression_pca_dimensions_95": pca_dimensions(motion.expressions),
        "jaw_std_rad": float(motion.poses[:, JOINT["jaw"], 0].std()),
        "feet_still_share": float((feet < _STILL_M_S).mean()),
        "pelvis_height_m": float(joints[:, 0, 1].mean()),
        "audio_outlasts_motion_s": audio_s - motion.duration_s,
    }


def median_frequency(values: Floats, fps: float) -> float:
    """Hz that halves the power of the velocity, summed over channels.

    Args:
        values: [T, ...].
        fps: frames a second.
    """
    velocity = np.diff(np.asarray(values, np.float64).reshape(len(values), -1), axis=0)
    frequency, power = welch(velocity, fps, nperseg=min(256, len(velocity)), axis=0)
    total = np.cumsum(power.sum(axis=1))
    return float(np.interp(0.5 * total[-1], total, frequency))


def pca_dimensions(values: Floats, share: float = 0.95) -> int:
    """How many principal components hold this share of the variance; [T, C]."""
    centred = np.asarray(values, np.float64) - values.mean(axis=0)
    power = np.linalg.svd(centred, compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(power), share * power.sum()) + 1)


def mean_statistics(clips: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over clips, key by key."""
    return {key: float(np.mean([clip[key] for clip in clips])) for key in clips[0]}
