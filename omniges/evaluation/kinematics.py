"""What the measures look at: positions and rotations in the body's own frame, once per clip.

T frames; metres, radians, seconds. "Body frame": the pelvis stands at the origin and isn't turned, so that
where a person stands and faces says nothing about the gesture.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.motion.layout import EYES, JAW, JOINT_NAMES, PARTS
from omniges.motion.rotations import axis_angle_to_matrix
from omniges.motion.skeleton import forward_kinematics
from omniges.types import Motion

Array = NDArray[np.float64]
WRISTS = (JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist"))
NECK, HEAD = JOINT_NAMES.index("neck"), JOINT_NAMES.index("head")
UPPER_JOINTS = PARTS["upper"].joints
BODY_JOINTS = tuple(range(1, JAW))
FINGERS = PARTS["hands"].joints
FEET = tuple(JOINT_NAMES.index(name) for name in ("left_ankle", "right_ankle", "left_foot", "right_foot"))


@dataclass(frozen=True)
class Kinematics:
    """Derived quantities of one motion."""

    fps: float
    body: Array  # [T, 55, 3] joint positions in the body frame
    world: Array  # [T, 55, 3] joint positions
    poses: Array  # [T, 55, 3] axis-angle
    head: Array  # [T, 9] head's rotation in the body frame / sqrt(2): squared distance is about angle²
    trans: Array  # [T, 3]
    expressions: Array | None  # [T, 100]; None where the result has none

    @property
    def n_frames(self) -> int:
        return len(self.poses)


def kinematics(motion: Motion, has_expressions: bool = True) -> Kinematics:
    """Joint positions on the project's own skeleton (betas move nothing), and the head's rotation."""
    poses = torch.from_numpy(np.asarray(motion.poses, np.float64))
    trans = np.asarray(motion.trans, np.float64)
    rotation = axis_angle_to_matrix(poses)
    pelvis = rotation[:, 0].clone()
    rotation[:, 0] = torch.eye(3, dtype=rotation.dtype)
    body = forward_kinematics(rotation, torch.zeros(len(poses), 3, dtype=rotation.dtype))
    body = body - body[:, :1]
    head = rotation[:, 3] @ rotation[:, 6] @ rotation[:, 9] @ rotation[:, NECK] @ rotation[:, HEAD]
    world = (pelvis @ body.transpose(1, 2)).transpose(1, 2).numpy() + trans[:, None]
    return Kinematics(
        fps=motion.fps,
        body=body.numpy(),
        world=world,
        poses=poses.numpy(),
        head=head.flatten(1).numpy() / np.sqrt(2),
        trans=trans,
        expressions=np.asarray(motion.expressions, np.float64) if has_expressions else None,
    )


def velocity(x: Array, fps: float) -> Array:
    """[T - 1, ...]: difference of neighbouring frames, per second."""
    return np.diff(x, axis=0) * fps


def speed(positions: Array, fps: float) -> Array:
    """[T, J] m/s: norm of the central difference (one-sided at both ends) of [T, J, 3]."""
    if len(positions) < 2:
        return np.zeros(positions.shape[:2])
    gradient = np.gradient(positions, 1 / fps, axis=0)
    return np.linalg.norm(gradient, axis=-1)


def groups(k: Kinematics) -> dict[str, Array]:
    """What errors are taken of: name → [T or T − 1, channels].

    jaw            axis-angle, rad             head      rotation in the body frame, about rad
    eyes           axis-angle, rad             fingers   axis-angle of 30 joints, rad
    face           100 expression coefficients body      21 joints in the body frame, m
    face_velocity  its change, 1/s             wrists    both wrists in the body frame, m
    root_velocity  pelvis, m/s                 wrist_velocity  m/s
    wrist_height   above the pelvis, m         wrist_speed     m/s
    """
    t = k.n_frames
    wrists = k.body[:, list(WRISTS)].reshape(t, -1)
    found = {
        "jaw": k.poses[:, JAW],
        "eyes": k.poses[:, list(EYES)].reshape(t, -1),
        "wrists": wrists,
        "wrist_velocity": velocity(wrists, k.fps),
        "wrist_height": k.world[:, list(WRISTS), 1] - k.world[:, :1, 1],
        "wrist_speed": np.linalg.norm(velocity(k.body[:, list(WRISTS)], k.fps), axis=-1),
        "head": k.head,
        "body": k.body[:, list(BODY_JOINTS)].reshape(t, -1),
        "fingers": k.poses[:, list(FINGERS)].reshape(t, -1),
        "root_velocity": velocity(k.trans, k.fps),
    }
    if k.expressions is not None:
        found["face"] = k.expressions
        found["face_velocity"] = velocity(k.expressions, k.fps)
    return found
