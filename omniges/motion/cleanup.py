"""Optional clean-up of motion: feet that stand still, a root that stays near, joints within their limits.

It changes what a model made, so nothing applies it unasked, and whoever does says so. See docs/generate.md.

Shapes: T frames; metres, radians, seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from omniges.errors import DataError
from omniges.motion.feet import lock_feet
from omniges.motion.layout import JOINT_NAMES
from omniges.types import Motion

ROOM_M = 0.5  # around where a clip starts: the root is left alone in there
FARTHEST_M = 0.75  # it never gets farther than this
DRIFT_SMOOTH_S = 1.0  # deviation of the smoothing of what is taken away
HINGE_BACK_DEG = 15.0  # how far knees and elbows may bend the wrong way
_HINGES = {"left_knee": (0, 1), "right_knee": (0, 1), "left_elbow": (1, -1), "right_elbow": (1, 1)}
"""Axis that a hinge bends about, and the sign of its flexion."""
_WIDEST_DEG = {
    "hip": 125.0,
    "knee": 150.0,
    "ankle": 60.0,
    "foot": 70.0,
    "spine1": 60.0,
    "spine2": 45.0,
    "spine3": 45.0,
    "neck": 60.0,
    "head": 60.0,
    "collar": 50.0,
    "shoulder": 150.0,
    "elbow": 155.0,
    "wrist": 95.0,
    "jaw": 40.0,
    "eye": 45.0,
    "thumb1": 80.0,
    "thumb2": 75.0,
    "thumb3": 95.0,
    **{
        f"{name}{i}": limit
        for name in ("index", "middle", "ring", "pinky")
        for i, limit in ((1, 110.0), (2, 115.0), (3, 90.0))
    },
}
"""Widest angle from the rest pose. Ranges of motion of healthy adults (American Academy of Orthopaedic
Surgeons, Joint Motion, 1965), with room for flexion and sideways motion together."""


def clean(motion: Motion, steps: Sequence[str]) -> tuple[Motion, dict[str, Any]]:
    """Apply some of `STEPS`, in their own order whatever order they are named in.

    Args:
        motion: T frames.
        steps: names; none gives the motion back as it is.

    Returns:
        the motion, and what each step found and did.

    Raises:
        DataError: an unknown step.
    """
    check_steps(steps)
    report = {}
    for name, step in STEPS.items():
        if name in steps and motion.n_frames:
            motion, report[name] = step(motion)
    return motion, report


def check_steps(steps: Sequence[str]) -> None:
    """Refuse what `clean` doesn't know.

    Raises:
        DataError: an unknown step.
    """
    unknown = sorted(set(steps) - set(STEPS))
    if unknown:
        raise DataError(f"clean: got {', '.join(unknown)}; wanted some of {', '.join(STEPS)}.")


def bound_drift(motion: Motion) -> tuple[Motion, dict[str, Any]]:
    """Keep the root within `FARTHEST_M` of where it starts, seen from above.

    A point is dragged behind the root on a line of length `ROOM_M`; its smoothed path is taken away, and
    what still lies outside the room is drawn in. A clip that stays in the room is not changed at all.
    """
    path = motion.trans[:, [0, 2]] - motion.trans[0, [0, 2]]
    before = float(np.linalg.norm(path, axis=1).max())
    report = {"farthest_before_m": before, "farthest_m": before}
    if before <= ROOM_M:
        return motion, report
    kept = path - ndimage.gaussian_filter1d(
        _dragged(path), DRIFT_SMOOTH_S * motion.fps, axis=0, mode="nearest"
    )
    kept = _drawn_in(kept - kept[0])
    trans = motion.trans.copy()
    trans[:, [0, 2]] = motion.trans[0, [0, 2]] + kept
    return replace(motion, trans=trans), report | {"farthest_m": float(np.linalg.norm(kept, axis=1).max())}


def _dragged(path: NDArray[np.float64]) -> NDArray[np.float64]:
    point, points = np.zeros(2), np.zeros_like(path)
    for t, place in enumerate(path):
        away = place - point
        distance = float(np.hypot(*away))
        if distance > ROOM_M:
            point = place - away * (ROOM_M / distance)
        points[t] = point
    return points


def _drawn_in(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave what lies in the room; beyond it, distances level off at `FARTHEST_M`."""
    distance = np.linalg.norm(path, axis=1, keepdims=True)
    rest = FARTHEST_M - ROOM_M
    near = ROOM_M + rest * np.tanh((distance - ROOM_M) / rest)
    return np.where(distance > ROOM_M, path * near / np.maximum(distance, 1e-12), path)


def limit_joints(motion: Motion) -> tuple[Motion, dict[str, Any]]:
    """Turn joints back to their limits, about their own axis; the pelvis has none."""
    found = beyond_limits(motion)
    if not found:
        return motion, found
    poses = motion.poses.copy()
    for name in found:
        joint = JOINT_NAMES.index(name)
        turn = poses[:, joint].astype(np.float64)
        if name in _HINGES:
            axis, sign = _HINGES[name]
            turn[:, axis] = sign * np.maximum(sign * turn[:, axis], -np.radians(HINGE_BACK_DEG))
        angle = np.linalg.norm(turn, axis=1, keepdims=True)
        widest = np.radians(widest_deg(name))
        bounded = np.where(angle > widest, turn * widest / np.maximum(angle, 1e-12), turn)
        changed = (bounded != poses[:, joint]).any(1)
        poses[changed, joint] = bounded[changed]
    return replace(motion, poses=poses), found


def beyond_limits(motion: Motion) -> dict[str, Any]:
    """Joints that leave their limits: how many frames, and the worst, in degrees beyond.

    Args:
        motion: T frames.
    """
    degrees = np.degrees(motion.poses.astype(np.float64))
    found = {}
    for joint, name in enumerate(JOINT_NAMES[1:], start=1):
        over = np.linalg.norm(degrees[:, joint], axis=1) - widest_deg(name)
        if name in _HINGES:
            axis, sign = _HINGES[name]
            over = np.maximum(over, -sign * degrees[:, joint, axis] - HINGE_BACK_DEG)
        if (over > _TOLERANCE_DEG).any():
            found[name] = {
                "frames": int((over > _TOLERANCE_DEG).sum()),
                "worst_deg": round(float(over.max()), 2),
            }
    return found


_TOLERANCE_DEG = 1e-4  # float32 of an angle that stands at its limit


def widest_deg(joint: str) -> float:
    """Limit of a joint's angle from the rest pose, degrees."""
    side, _, name = joint.partition("_")
    return _WIDEST_DEG[name.split("_")[0] if side in ("left", "right") else joint]


STEPS: dict[str, Callable[[Motion], tuple[Motion, dict[str, Any]]]] = {
    "drift": bound_drift,
    "limits": limit_joints,
    "feet": lock_feet,
}
"""Feet last: what moves the root or turns a leg would move them again."""
