"""The project's own skeleton: 55 joints in SMPL-X's order, with bone lengths of a plausible adult of 1.7 m.

The table was written by hand and comes from no body model. It serves pictures and metrics where no licensed
SMPL-X file is at hand; betas and expressions move nothing. See docs/motion.md for how far off it is.
Units: metres; y up, the body looks along +z, its left is +x, arms spread (T-pose) at rest.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omniges.errors import ShapeError
from omniges.motion.layout import JOINT_NAMES, N_JOINTS, PARENTS
from omniges.motion.rotations import axis_angle_to_matrix
from omniges.types import Motion

# Offset of each joint from its parent; the pelvis's from the point that `trans` names. Right mirrors left.
_MIDDLE: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, -0.35, 0.0),
    "spine1": (0.0, 0.11, -0.02),
    "spine2": (0.0, 0.13, 0.0),
    "spine3": (0.0, 0.06, 0.02),
    "neck": (0.0, 0.18, -0.03),
    "head": (0.0, 0.14, 0.03),
    "jaw": (0.0, 0.0, 0.02),
}
_LEFT: dict[str, tuple[float, float, float]] = {
    "hip": (0.075, -0.09, 0.0),
    "knee": (0.035, -0.39, 0.0),
    "ankle": (-0.01, -0.40, -0.03),
    "foot": (0.03, -0.06, 0.12),
    "collar": (0.05, 0.09, -0.01),
    "shoulder": (0.115, 0.04, -0.01),
    "elbow": (0.25, -0.01, -0.02),
    "wrist": (0.245, 0.01, 0.0),
    "eye_smplhf": (0.032, 0.06, 0.09),
    "index1": (0.095, -0.005, 0.022),
    "index2": (0.034, 0.0, 0.003),
    "index3": (0.023, 0.0, 0.002),
    "middle1": (0.1, 0.0, 0.0),
    "middle2": (0.036, 0.0, 0.0),
    "middle3": (0.025, 0.0, 0.0),
    "ring1": (0.093, -0.003, -0.021),
    "ring2": (0.032, 0.0, -0.003),
    "ring3": (0.023, 0.0, -0.003),
    "pinky1": (0.084, -0.008, -0.041),
    "pinky2": (0.023, 0.0, -0.005),
    "pinky3": (0.018, 0.0, -0.004),
    "thumb1": (0.036, -0.016, 0.028),
    "thumb2": (0.028, -0.003, 0.022),
    "thumb3": (0.024, -0.002, 0.017),
}


def _rest_offsets() -> NDArray[np.float64]:
    rows = []
    for name in JOINT_NAMES:
        side, _, joint = name.partition("_")
        if side in ("left", "right"):
            x, y, z = _LEFT[joint]
            rows.append((x if side == "left" else -x, y, z))
        else:
            rows.append(_MIDDLE[name])
    return np.asarray(rows)


REST_OFFSETS: NDArray[np.float64] = _rest_offsets()
"""[55, 3] metres, each joint from its parent in the rest pose."""


def forward_kinematics(
    rotation: Tensor, trans: Tensor, offsets: Tensor | None = None, only: tuple[int, ...] | None = None
) -> Tensor:
    """Joint positions of posed bones; differentiable.

    Args:
        rotation: [..., 55, 3, 3], each joint's turn relative to its parent.
        trans: [..., 3] metres.
        offsets: [55, 3] or [..., 55, 3] metres; None takes `REST_OFFSETS`.
        only: M joints that are wanted; None wants all.
    Returns:
        [..., M, 3] metres, in the order of `only`.
    """
    if rotation.shape[-3:] != (N_JOINTS, 3, 3) or trans.shape != (*rotation.shape[:-3], 3):
        raise ShapeError(
            f"forward_kinematics: got rotation {tuple(rotation.shape)} and trans {tuple(trans.shape)}, "
            f"wanted [..., {N_JOINTS}, 3, 3] and [..., 3]."
        )
    bones = (torch.as_tensor(REST_OFFSETS) if offsets is None else offsets).to(rotation)
    chain = _chain(only)
    turn, place = rotation[..., :1, :, :], trans[..., None, :] + bones[..., :1, :]
    places = [place]
    for level, (joints, parents) in enumerate(
        chain.levels
    ):  # joints equally far from the pelvis move together
        joints, parents = joints.to(rotation.device), parents.to(rotation.device)
        above = turn.index_select(-3, parents)
        offset = bones.index_select(-2, joints).unsqueeze(-1)
        place = place.index_select(-2, parents) + (above @ offset).squeeze(-1)
        if level + 1 < len(chain.levels):
            turn = above @ rotation.index_select(-3, joints)
        places.append(place)
    return torch.cat(places, dim=-2).index_select(-2, chain.order.to(rotation.device))


@dataclass(frozen=True)
class _Chain:
    levels: tuple[tuple[Tensor, Tensor], ...]  # joints below the pelvis and their parents' places above
    order: Tensor  # where the wanted joints are among all levels


@lru_cache
def _chain(only: tuple[int, ...] | None) -> _Chain:
    wanted = tuple(range(N_JOINTS)) if only is None else only
    needed = {joint for end in wanted for joint in _up_to_pelvis(end)} | {0}
    levels, previous, done = [], [0], [0]
    while joints := [joint for joint in sorted(needed) if PARENTS[joint] in previous]:
        parents = [previous.index(PARENTS[joint]) for joint in joints]
        levels.append((torch.tensor(joints), torch.tensor(parents)))
        previous, done = joints, done + joints
    return _Chain(tuple(levels), torch.tensor([done.index(joint) for joint in wanted], dtype=torch.int64))


def _up_to_pelvis(joint: int) -> list[int]:
    return [] if joint < 0 else [joint, *_up_to_pelvis(PARENTS[joint])]


def joint_positions(motion: Motion) -> NDArray[np.float64]:
    """Joints of a clip on the project's skeleton.

    Args:
        motion: T frames.
    Returns:
        [T, 55, 3] metres, world coordinates.
    """
    rotation = axis_angle_to_matrix(torch.from_numpy(np.asarray(motion.poses, np.float64)))
    return forward_kinematics(rotation, torch.from_numpy(np.asarray(motion.trans, np.float64))).numpy()


def rest_joints() -> NDArray[np.float64]:
    """[55, 3] metres: the joints at rest, relative to `trans`."""
    positions = REST_OFFSETS.copy()
    for joint in range(1, N_JOINTS):
        positions[joint] += positions[PARENTS[joint]]
    return positions
