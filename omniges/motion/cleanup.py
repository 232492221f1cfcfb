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
from omniges.motion.layout import JOINT_NAMES, N_JOINTS
from omniges.motion.parts import parts_of
from omniges.spool import Spool
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
    poses = Spool(np.float32)
    for part in parts_of(motion):
        poses.append(_limited(part.poses, list(found)))
    return replace(motion, poses=poses.array()), found


def _limited(poses: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """[T, 55, 3] with the named joints turned back."""
    poses = poses.copy()
    for name in names:
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
    return poses


def beyond_limits(motion: Motion) -> dict[str, Any]:
    """Joints that leave their limits: how many frames, and the worst, in degrees beyond.

    Args:
        motion: T frames.
    """
    frames, worst = np.zeros(N_JOINTS, np.int64), np.zeros(N_JOINTS)
    for part in parts_of(motion):
        over = _degrees_over(part.poses)
        frames += (over > _TOLERANCE_DEG).sum(0)
        worst = np.maximum(worst, over.max(0))
    return {
        JOINT_NAMES[joint]: {"frames": int(frames[joint]), "worst_deg": round(float(worst[joint]), 2)}
        for joint in np.flatnonzero(frames)
    }


def _degrees_over(poses: NDArray[np.float32]) -> NDArray[np.float64]:
    """[T, 55] degrees that a joint is beyond its limit, negative within; the pelvis has none."""
    degrees = np.degrees(poses.astype(np.float64))
    over = np.full(poses.shape[:2], -np.inf)
    for joint, name in enumerate(JOINT_NAMES[1:], start=1):
        over[:, joint] = np.linalg.norm(degrees[:, joint], axis=1) - widest_deg(name)
        if name in _HINGES:
            axis, sign = _HINGES[name]
            over[:, joint] = np.maximum(over[:, joint], -sign * degrees[:, joint, axis] - HINGE_BACK_DEG)
    return over


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
