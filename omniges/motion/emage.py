"""EMAGE's channel layout (PantoMatrix 2024/2025), to compare with its outputs.

Unlike the published tokenizers' layout, the face carries the jaw's rot6d in front (106 wide), the lower body
absolute translation in metres and four foot contacts (61 wide); nothing is normalised. Eyes are not carried.
Shapes: T frames.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.errors import ShapeError
from omniges.motion.layout import JAW, N_BETAS, N_EXPRESSIONS, N_JOINTS, N_TRANS, PARTS, ROT6D
from omniges.motion.rotations import axis_angle_to_rot6d, rot6d_to_axis_angle
from omniges.types import Motion

CONTACT_JOINTS = (7, 8, 10, 11)
CONTACT_M = 0.01
"""A foot that moves less than this to the next frame is on the ground; metres, made for 30 fps."""
FACE_WIDTH = ROT6D + N_EXPRESSIONS
LOWER_ROT6D = len(PARTS["lower_trans"].joints) * ROT6D
LOWER_WIDTH = LOWER_ROT6D + N_TRANS + len(CONTACT_JOINTS)


@dataclass(frozen=True, kw_only=True)
class EmageChannels:
    """A clip in EMAGE's layout."""

    face: NDArray[np.float32]  # [T, 106] jaw rot6d, expressions
    upper: NDArray[np.float32]  # [T, 78] rot6d
    hands: NDArray[np.float32]  # [T, 180] rot6d
    lower: NDArray[np.float32]  # [T, 61] rot6d, translation in metres, contacts 0 or 1


def to_emage(motion: Motion, joints: NDArray[np.floating]) -> EmageChannels:
    """Write a clip in EMAGE's layout.

    Args:
        motion: T frames.
        joints: [T, 55, 3] metres, from which the foot contacts are taken.
    """
    if joints.shape != (motion.n_frames, N_JOINTS, 3):
        raise ShapeError(f"to_emage: got joints {joints.shape}, wanted ({motion.n_frames}, {N_JOINTS}, 3).")
    rot6d = axis_angle_to_rot6d(torch.from_numpy(np.asarray(motion.poses, np.float32))).numpy()

    def of(joint_list: tuple[int, ...]) -> NDArray[np.float32]:
        return rot6d[:, list(joint_list)].reshape(motion.n_frames, -1)

    lower = (of(PARTS["lower_trans"].joints), motion.trans, foot_contacts(joints))
    return EmageChannels(
        face=np.concatenate([rot6d[:, JAW], motion.expressions], axis=1).astype(np.float32),
        upper=of(PARTS["upper"].joints),
        hands=of(PARTS["hands"].joints),
        lower=np.concatenate(lower, axis=1).astype(np.float32),
    )


def from_emage(channels: EmageChannels, fps: float, betas: NDArray[np.floating] | None = None) -> Motion:
    """Read EMAGE's layout; eyes look straight ahead, contacts are dropped.

    Args:
        channels: T frames; rot6d need not be orthonormal.
        fps: frames a second.
        betas: [300]; None is the mean body.
    """
    _check(channels)
    n_frames = len(channels.face)
    poses = np.zeros((n_frames, N_JOINTS, 3), np.float32)
    blocks = {
        (JAW,): channels.face[:, :ROT6D],
        PARTS["upper"].joints: channels.upper,
        PARTS["hands"].joints: channels.hands,
        PARTS["lower_trans"].joints: channels.lower[:, :LOWER_ROT6D],
    }
    for joint_list, rot6d in blocks.items():
        turns = torch.from_numpy(np.asarray(rot6d, np.float64)).unflatten(1, (len(joint_list), ROT6D))
        poses[:, list(joint_list)] = rot6d_to_axis_angle(turns).numpy()
    return Motion(
        poses=poses,
        trans=np.asarray(channels.lower[:, LOWER_ROT6D : LOWER_ROT6D + N_TRANS], np.float64),
        expressions=np.asarray(channels.face[:, ROT6D:], np.float64),
        betas=np.zeros(N_BETAS, np.float32) if betas is None else np.asarray(betas, np.float32),
        fps=fps,
    )


def foot_contacts(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """[T, 55, 3] metres to [T, 4]: 1 where a foot moves under 1 cm to the next frame; the last frame is 1."""
    feet = joints[:, list(CONTACT_JOINTS)]
    contacts = np.ones(feet.shape[:2], np.float32)
    contacts[:-1] = np.linalg.norm(np.diff(feet, axis=0), axis=-1) < CONTACT_M
    return contacts


def integrate_velocity(velocity: NDArray[np.floating], first: float, fps: float) -> NDArray[np.float64]:
    """Positions from EMAGE's global velocities: frame i stands where frame i - 1's velocity led.

    Args:
        velocity: [T] metres a second; the last one is not used.
        first: position of frame 0, metres.
        fps: frames a second.
    """
    steps = np.asarray(velocity, np.float64)[:-1] / fps
    return np.concatenate([[first], first + np.cumsum(steps)])


def _check(channels: EmageChannels) -> None:
    n_frames = len(channels.face)
    wanted = {
        "face": FACE_WIDTH,
        "upper": PARTS["upper"].width,
        "hands": PARTS["hands"].width,
        "lower": LOWER_WIDTH,
    }
    for name, width in wanted.items():
        if getattr(channels, name).shape != (n_frames, width):
            raise ShapeError(
                f"from_emage: got {name} {getattr(channels, name).shape}, wanted ({n_frames}, {width})."
            )
