"""SMPL-X motion to the channels that tokenizers and models see, and back.

Shapes: T frames. The two layouts, 433 features and 415 gesture channels: see `omniges.motion.layout`.
Translation features: x and z in metres per frame (frame 0 repeats frame 1's step), y the height in metres.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.errors import ShapeError
from omniges.motion import rotations
from omniges.motion.layout import (
    EXPRESSION_SLICE,
    FEATURE_WIDTH,
    GESTURE_CHANNELS,
    GESTURE_WIDTH,
    N_BETAS,
    N_JOINTS,
    POSE_WIDTH,
    ROT6D,
    SIDE_JOINTS,
    SIDE_WIDTH,
    TRANS_SLICE,
    rot6d_channels,
)
from omniges.types import Motion


@dataclass(frozen=True, kw_only=True)
class Features:
    """A clip as channels; `features_to_motion` needs all three to give the same motion back."""

    values: NDArray[np.float32]  # [T, 433]
    side: NDArray[np.float32]  # [T, 9] axis-angle of jaw and both eyes
    origin: NDArray[np.float64]  # [2] x and z of frame 0, metres


def motion_to_features(motion: Motion) -> Features:
    """Turn a clip into feature channels; nothing but the betas is lost.

    Args:
        motion: T >= 1 frames.
    Returns:
        see `Features`.
    """
    if motion.n_frames == 0:
        raise ShapeError("motion_to_features: got a clip without frames, wanted at least one.")
    return features_from_parts(
        motion.poses,
        translation_features(motion.trans),
        motion.expressions,
        np.asarray(motion.trans[0, [0, 2]], np.float64),
    )


def features_from_parts(
    poses: NDArray[np.floating],
    translation: NDArray[np.floating],
    expressions: NDArray[np.floating],
    origin: NDArray[np.float64],
) -> Features:
    """Feature channels of a clip whose translation is in its feature form already.

    Args:
        poses: [T, 55, 3] axis-angle; rotations are worked out in float32.
        translation: [T, 3], see `translation_features`.
        expressions: [T, 100].
        origin: [2] x and z of frame 0, metres.
    """
    turned = torch.from_numpy(np.ascontiguousarray(poses, np.float32))
    values = np.empty((len(poses), FEATURE_WIDTH), np.float32)
    rot6d = torch.from_numpy(values[:, :POSE_WIDTH]).unflatten(1, (N_JOINTS, ROT6D))
    rotations.write_rot6d(turned, rot6d)
    values[:, TRANS_SLICE] = translation
    values[:, EXPRESSION_SLICE] = expressions
    side = poses[:, list(SIDE_JOINTS)].reshape(len(poses), SIDE_WIDTH)
    return Features(values=values, side=side.astype(np.float32), origin=origin)


def features_to_motion(
    values: NDArray[np.floating],
    side: NDArray[np.floating],
    origin: NDArray[np.floating],
    fps: float,
    betas: NDArray[np.floating] | None = None,
) -> Motion:
    """Turn feature channels into SMPL-X motion; rot6d need not be orthonormal.

    Args:
        values: [T, 433].
        side: [T, 9] axis-angle; jaw and eyes are taken from here, not from `values`.
        origin: [2] x and z of frame 0, metres.
        fps: frames a second.
        betas: [300]; None is the mean body.
    """
    _check_width(values, FEATURE_WIDTH, "features_to_motion")
    _check_width(side, SIDE_WIDTH, "features_to_motion (side)")
    rot6d = torch.from_numpy(np.asarray(values[:, :POSE_WIDTH], np.float64)).unflatten(1, (N_JOINTS, ROT6D))
    poses = rotations.rot6d_to_axis_angle(rot6d).numpy()
    poses[:, list(SIDE_JOINTS)] = np.asarray(side, np.float64).reshape(len(side), len(SIDE_JOINTS), 3)
    return Motion(
        poses=poses.astype(np.float32),
        trans=translation_from_features(values[:, TRANS_SLICE], origin),
        expressions=np.asarray(values[:, EXPRESSION_SLICE], np.float64),
        betas=np.zeros(N_BETAS, np.float32) if betas is None else np.asarray(betas, np.float32),
        fps=fps,
    )


def translation_features(trans: NDArray[np.floating]) -> NDArray[np.float64]:
    """[T, 3] metres to [T, 3]: x and z steps in metres per frame, y height; step 0 is a copy of step 1."""
    features = np.asarray(trans, np.float64).copy()
    steps = np.diff(features[:, [0, 2]], axis=0)
    features[1:, [0, 2]] = steps
    features[0, [0, 2]] = steps[0] if len(steps) else 0.0
    return features


def translation_from_features(
    features: NDArray[np.floating], origin: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Invert `translation_features`: frame 0 stands at the origin, later steps are summed in float64.

    Args:
        features: [T, 3].
        origin: [2] x and z of frame 0, metres.
    """
    trans = np.asarray(features, np.float64).copy()
    trans[0, [0, 2]] = origin
    trans[:, [0, 2]] = np.cumsum(trans[:, [0, 2]], axis=0)
    return trans


def gesture_from_features(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """[T, 433] features to [T, 415] gesture: upper, hands, lower_trans, face; jaw and eyes stay behind."""
    _check_width(values, FEATURE_WIDTH, "gesture_from_features")
    return np.take(values, GESTURE_CHANNELS, axis=1)  # half the time of an index


def features_from_gesture(gesture: NDArray[np.floating], side: NDArray[np.floating]) -> NDArray[np.float32]:
    """[T, 415] gesture and [T, 9] side to [T, 433] features."""
    _check_width(gesture, GESTURE_WIDTH, "features_from_gesture")
    _check_width(side, SIDE_WIDTH, "features_from_gesture (side)")
    values = np.zeros((len(gesture), FEATURE_WIDTH), np.float32)
    values[:, GESTURE_CHANNELS] = gesture
    axis_angle = torch.from_numpy(np.asarray(side, np.float64)).unflatten(1, (len(SIDE_JOINTS), 3))
    values[:, rot6d_channels(SIDE_JOINTS)] = rotations.axis_angle_to_rot6d(axis_angle).flatten(1).numpy()
    return values


def _check_width(values: NDArray[np.floating], wanted: int, where: str) -> None:
    if values.ndim != 2 or values.shape[1] != wanted:
        raise ShapeError(f"{where}: got shape {values.shape}, wanted [T, {wanted}].")
