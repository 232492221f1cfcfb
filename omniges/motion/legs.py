"""Two-bone inverse kinematics for a leg: the ankle goes where it should, bones keep their lengths.

Shapes: T frames; metres, radians, world coordinates. "Turn" is a joint's rotation in the world.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.motion.layout import JOINT_NAMES
from omniges.motion.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from omniges.motion.skeleton import REST_OFFSETS
from omniges.types import Motion

Array = NDArray[np.float64]
REACH = 0.999
"""Share of a leg's length that it stretches to at most: a straight knee has no side to bend to."""
_HINGE_WEIGHT = 0.05  # how far a knee that is nearly straight bends about its hinge and not about itself


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A posed leg."""

    joints: tuple[int, int, int, int]  # hip, knee, ankle, foot
    pelvis_turn: Array  # [T, 3, 3]
    hip: Array  # [T, 3]
    turns: Array  # [T, 3, 3, 3] of hip, knee, ankle
    knee: Array  # [T, 3]
    ankle: Array  # [T, 3]
    foot: Array  # [T, 3]

    @property
    def reach_m(self) -> float:
        """From hip to ankle at most."""
        return REACH * sum(float(np.linalg.norm(REST_OFFSETS[joint])) for joint in self.joints[1:3])


def leg_of(motion: Motion, side: str) -> Leg:
    """One leg of a clip on the project's skeleton.

    Args:
        motion: T frames.
        side: "left" or "right".
    """
    joints = tuple(JOINT_NAMES.index(f"{side}_{name}") for name in ("hip", "knee", "ankle", "foot"))
    hip, knee, ankle, foot = joints
    turn = _matrices(motion.poses[:, [0, hip, knee, ankle]])
    pelvis = turn[:, 0]
    hip_turn = pelvis @ turn[:, 1]
    knee_turn = hip_turn @ turn[:, 2]
    ankle_turn = knee_turn @ turn[:, 3]
    hip_at = motion.trans + REST_OFFSETS[0] + pelvis @ REST_OFFSETS[hip]
    knee_at = hip_at + hip_turn @ REST_OFFSETS[knee]
    ankle_at = knee_at + knee_turn @ REST_OFFSETS[ankle]
    return Leg(
        joints=(hip, knee, ankle, foot),
        pelvis_turn=pelvis,
        hip=hip_at,
        turns=np.stack([hip_turn, knee_turn, ankle_turn], axis=1),
        knee=knee_at,
        ankle=ankle_at,
        foot=ankle_at + ankle_turn @ REST_OFFSETS[foot],
    )


def reach_for(leg: Leg, ankle: Array, ankle_turn: Array) -> Array:
    """Turn hip, knee and ankle so that the ankle is at a place and the foot keeps a direction.

    The knee bends about the leg's own plane until the distance fits (law of cosines), then the leg turns
    the shortest way towards the place. A place out of reach is approached as far as `Leg.reach_m`.

    Args:
        leg: T frames.
        ankle: [T, 3] wanted.
        ankle_turn: [T, 3, 3] wanted.

    Returns:
        [T, 3, 3] axis-angle of hip, knee and ankle relative to their parents.
    """
    thigh, shank, wanted = leg.knee - leg.hip, leg.ankle - leg.knee, ankle - leg.hip
    bend = _bend(thigh, shank, leg.turns[:, 0, :, 0], np.minimum(_length(wanted), leg.reach_m))
    swing = _shortest(thigh + _apply(bend, shank), wanted)
    hip_turn = swing @ leg.turns[:, 0]
    knee_turn = swing @ bend @ leg.turns[:, 1]
    local = np.stack(
        [
            leg.pelvis_turn.transpose(0, 2, 1) @ hip_turn,
            hip_turn.transpose(0, 2, 1) @ knee_turn,
            knee_turn.transpose(0, 2, 1) @ ankle_turn,
        ],
        axis=1,
    )
    return matrix_to_axis_angle(torch.from_numpy(local)).numpy()


def _bend(thigh: Array, shank: Array, hinge: Array, distance: Array) -> Array:
    """Turns [T, 3, 3] of the shank about the knee after which hip and ankle are `distance` apart.

    With the axis n, |thigh + R(n, a) shank|² = |thigh|² + |shank|² + 2 (p cos a + q sin a + c). Of the two
    angles, the one that flexes the knee is taken.
    """
    axis = np.cross(thigh, shank) / (_length(thigh) * _length(shank))[:, None] + _HINGE_WEIGHT * hinge
    axis /= _length(axis)[:, None]
    c = _dot(thigh, axis) * _dot(shank, axis)
    p, q = _dot(thigh, shank) - c, _dot(thigh, np.cross(axis, shank))
    wanted = (distance**2 - _dot(thigh, thigh) - _dot(shank, shank)) / 2 - c
    straight = np.arctan2(q, p)  # the angle that stretches the leg most
    return _turn_about(axis, straight + np.arccos(np.clip(wanted / np.hypot(p, q), -1, 1)))


def _shortest(start: Array, end: Array) -> Array:
    """Turns [T, 3, 3] that take the direction of `start` to that of `end` the shortest way."""
    axis = np.cross(start, end)
    sine, cosine = _length(axis), _dot(start, end)
    return _turn_about(axis / np.maximum(sine, 1e-12)[:, None], np.arctan2(sine, cosine))


def _turn_about(axis: Array, angle: Array) -> Array:
    return _matrices(axis * angle[:, None])


def _matrices(axis_angle: NDArray[np.floating]) -> Array:
    return axis_angle_to_matrix(torch.from_numpy(np.asarray(axis_angle, np.float64))).numpy()


def _apply(turn: Array, vector: Array) -> Array:
    return (turn @ vector[..., None])[..., 0]


def _dot(one: Array, other: Array) -> Array:
    return (one * other).sum(-1)


def _length(vector: Array) -> Array:
    return np.linalg.norm(vector, axis=-1)
