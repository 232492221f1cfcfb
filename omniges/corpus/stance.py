"""Standing: planted feet that step now and then, a pelvis between them, and the legs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from omniges.corpus.arms import JOINT, sign_of
from omniges.corpus.controls import Floats, smooth, wander
from omniges.corpus.limbs import Limb, bend, soft_reach
from omniges.motion.skeleton import REST_OFFSETS

_ANKLE_M = 0.075  # height of a planted ankle
_PELVIS_M = 0.95
_STEP_S = 0.65
_LIFT_M = 0.05


@dataclass(frozen=True, kw_only=True)
class Stance:
    """Where the lower body is, before legs are solved."""

    pelvis: Floats  # [T, 3] metres
    turn: Rotation  # [T] of the pelvis
    ankles: dict[str, Floats]  # side -> [T, 3] metres
    yaw: dict[str, Floats]  # side -> [T] rad, of the foot
    planted: dict[str, NDArray[np.bool_]]  # side -> [T], True while the foot stands


def stand(draw: np.random.RandomState, n_frames: int, fps: float) -> Stance:
    """Feet, pelvis and its turn for a clip; nothing here knows about speech."""
    times_s = np.arange(n_frames) / fps
    ankles, yaw, planted = _feet(draw, times_s)
    sway = smooth(wander(draw, n_frames, fps, 1.5, 6), 0.25, fps)
    middle = smooth(0.5 * (ankles["left"] + ankles["right"]), 0.35, fps)
    pelvis = middle + np.array([0.03, 0.0, 0.025]) * sway[:, :3]
    facing = smooth(0.5 * (yaw["left"] + yaw["right"]), 0.4, fps)
    tilt = np.column_stack([-0.10 + 0.04 * sway[:, 3], facing + 0.08 * sway[:, 4], 0.03 * sway[:, 5]])
    turn = Rotation.from_euler("YXZ", tilt[:, [1, 0, 2]])
    pelvis[:, 1] = _height(pelvis, turn, ankles, _PELVIS_M + 0.015 * (sway[:, 1] - 0.7), fps)
    return Stance(pelvis=pelvis, turn=turn, ankles=ankles, yaw=yaw, planted=planted)


def _feet(
    draw: np.random.RandomState, times_s: Floats
) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, NDArray[np.bool_]]]:
    """Each foot stands, then steps to a new place near the middle; feet take turns."""
    base = {side: np.array([0.115 * sign_of(side), 0.0, 0.0]) for side in ("left", "right")}
    centre, turn = _place(draw)
    spot = {side: np.array([*(base[side] + centre), turn]) for side in base}
    path = {side: np.tile(spot[side], (len(times_s), 1)) for side in base}
    lift = {side: np.zeros(len(times_s)) for side in base}
    stands = {side: np.ones(len(times_s), bool) for side in base}
    begin_s, side = float(draw.uniform(0.5, 3.0)), "left" if draw.uniform() < 0.5 else "right"
    first = True
    while begin_s + _STEP_S < times_s[-1]:
        if first:
            centre, turn = _place(draw)
        goal = np.array(
            [*(base[side] + centre + draw.uniform(-0.02, 0.02, 3) * [1, 0, 1]), turn + sign_of(side) * 0.12]
        )
        u = np.clip((times_s - begin_s) / _STEP_S, 0.0, 1.0)
        path[side] = path[side] + (u**3 * (10 - 15 * u + 6 * u**2))[:, None] * (goal - spot[side])
        lift[side] = lift[side] + _LIFT_M * (16 * u**2 * (1 - u) ** 2)
        stands[side] &= (u <= 0) | (u >= 1)
        spot[side] = goal
        begin_s += _STEP_S + float(draw.uniform(0.1, 0.6) if first else draw.uniform(1.6, 5.0))
        side, first = ("right" if side == "left" else "left"), not first
    ankles = {s: np.column_stack([path[s][:, 0], _ANKLE_M + lift[s], path[s][:, 2]]) for s in base}
    return ankles, {s: path[s][:, 3] for s in base}, stands


def _place(draw: np.random.RandomState) -> tuple[Floats, float]:
    return np.array([draw.normal(0, 0.09), 0.0, draw.normal(0, 0.14)]), float(draw.normal(0, 0.08))


def _height(
    pelvis: Floats, turn: Rotation, ankles: dict[str, Floats], wanted_m: Floats, fps: float
) -> Floats:
    """[T] the wanted height, lowered where a leg would have to be straight."""
    allowed = wanted_m
    for side in ankles:
        hip = pelvis * [1, 0, 1] + turn.apply(REST_OFFSETS[JOINT[f"{side}_hip"]])
        flat = np.sum((hip - ankles[side])[:, [0, 2]] ** 2, axis=1)
        reach = 0.984 * leg(side).reach_m
        allowed = np.minimum(
            allowed, ankles[side][:, 1] - hip[:, 1] + np.sqrt(np.maximum(reach**2 - flat, 0.01))
        )
    from scipy.ndimage import minimum_filter1d

    span = 2 * round(0.15 * fps) + 1  # smoothing can't rise above the limit again after this
    return smooth(minimum_filter1d(allowed, span), 0.05, fps)


def leg(side: str) -> Limb:
    """Rest geometry; the knee bends backward about x."""
    return Limb(
        upper=REST_OFFSETS[JOINT[f"{side}_knee"]],
        lower=REST_OFFSETS[JOINT[f"{side}_ankle"]],
        hinge=np.array([1.0, 0.0, 0.0]),
        soft=0.985,
    )


def pose_legs(poses: Floats, stance: Stance) -> None:
    """Write pelvis, hips, knees and ankles.

    Args:
        poses: [T, 55, 3] axis-angle, changed in place.
        stance: from `stand`.
    """
    poses[:, JOINT["pelvis"]] = stance.turn.as_rotvec()
    for side in ("left", "right"):
        limb = leg(side)
        hip = stance.pelvis + stance.turn.apply(REST_OFFSETS[JOINT[f"{side}_hip"]])
        foot = Rotation.from_rotvec(np.outer(stance.yaw[side], [0.0, 1.0, 0.0]))
        pole = foot.apply([0.1 * sign_of(side), 0.0, 1.0])
        solved = bend(limb, soft_reach(limb, stance.ankles[side] - hip), pole)
        poses[:, JOINT[f"{side}_hip"]] = (stance.turn.inv() * solved.root).as_rotvec()
        poses[:, JOINT[f"{side}_knee"]] = solved.middle.as_rotvec()
        poses[:, JOINT[f"{side}_ankle"]] = ((solved.root * solved.middle).inv() * foot).as_rotvec()
