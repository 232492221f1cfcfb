"""Where every bone of the project's skeleton is, as matrices. Shapes: T frames, J = 55 joints."""

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.motion.layout import N_JOINTS, PARENTS
from omniges.motion.rotations import axis_angle_to_matrix
from omniges.motion.skeleton import REST_OFFSETS, rest_joints
from omniges.types import Motion


def local_rotations(motion: Motion) -> NDArray[np.float64]:
    """[T, 55, 3, 3]: every joint's turn relative to its parent."""
    return axis_angle_to_matrix(torch.from_numpy(np.asarray(motion.poses, np.float64))).numpy()


def world_transforms(motion: Motion) -> NDArray[np.float64]:
    """[T, 55, 3, 4] rotation and position of every joint, metres, world coordinates."""
    local = local_rotations(motion)
    world = np.empty((len(local), N_JOINTS, 3, 4))
    world[:, 0, :, :3] = local[:, 0]
    world[:, 0, :, 3] = motion.trans + REST_OFFSETS[0]
    for joint in range(1, N_JOINTS):
        parent = PARENTS[joint]
        world[:, joint, :, :3] = world[:, parent, :, :3] @ local[:, joint]
        world[:, joint, :, 3] = world[:, parent, :, 3] + world[:, parent, :, :3] @ REST_OFFSETS[joint]
    return world


def skinning_transforms(motion: Motion) -> NDArray[np.float32]:
    """[T, 55, 3, 4] that take a point of the rest pose to its place in each frame."""
    world = world_transforms(motion)
    skinning = world.copy()
    skinning[..., 3] -= np.einsum("tjab,jb->tja", world[..., :3], rest_joints())
    return skinning.astype(np.float32)
