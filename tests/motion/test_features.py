from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omniges.errors import ShapeError
from omniges.motion import features as F
from omniges.motion.layout import FEATURE_WIDTH, GESTURE_WIDTH, PART_NAMES, PARTS, SIDE_JOINTS
from omniges.types import Motion


def worst_turn(one: np.ndarray, other: np.ndarray) -> float:
    turns = (Rotation.from_rotvec(x.reshape(-1, 3).astype(np.float64)) for x in (one, other))
    return float((next(turns).inv() * next(turns)).magnitude().max())


def through_gesture(motion: Motion) -> Motion:
    found = F.motion_to_features(motion)
    values = F.features_from_gesture(F.gesture_from_features(found.values), found.side)
    return F.features_to_motion(values, found.side, found.origin, motion.fps, motion.betas)


def test_real_clips_survive_the_round_trip(real_clip: Motion):
    back = through_gesture(real_clip)
    assert worst_turn(back.poses, real_clip.poses) < 1e-4
    assert np.abs(back.poses - real_clip.poses).max() < 1e-4  # the axis-angles too: no clip turns beyond pi
    assert np.abs(back.trans - real_clip.trans).max() < 1e-4
    assert np.abs(back.expressions - real_clip.expressions).max() < 1e-5
    np.testing.assert_array_equal(back.betas, real_clip.betas)


def test_any_rotation_survives_the_round_trip(make_motion: Callable[..., Motion]):
    motion = make_motion(200)
    back = through_gesture(motion)
    assert worst_turn(back.poses, motion.poses) < 1e-4
    assert np.abs(back.trans - motion.trans).max() < 1e-4


def test_translation_does_not_drift_over_ten_minutes():
    rng = np.random.default_rng(0)
    trans = np.cumsum(rng.normal(0, 0.005, (18_000, 3)), axis=0) + np.array([3.0, 1.3, -4.0])
    features = F.translation_features(trans).astype(np.float32)
    back = F.translation_from_features(features, trans[0, [0, 2]])
    assert np.abs(back - trans).max() < 1e-5


def test_tokenizer_inputs_are_the_published_ones(clip_1: Motion, shared: Path):
    want = np.load(shared / "reference/representation/clip_first300_vq_inputs.npz")
    statistics = shared / "beat2-sample/stats"
    pose, trans = (
        [np.load(statistics / f"beatx_2_{k}_{s}.npy") for s in ("mean", "std")] for k in ("330", "trans")
    )
    mean, std = (np.concatenate([pose[i], trans[i], np.full(100, float(i))]) for i in (0, 1))
    values = (F.motion_to_features(clip_1).values[:300] - mean) / std
    for part in PART_NAMES:
        np.testing.assert_allclose(values[:, PARTS[part].channels], want[f"vq_in_{part}"], rtol=0, atol=1e-5)


def test_gesture_channels_are_the_parts_side_by_side():
    values = np.arange(2 * FEATURE_WIDTH, dtype=np.float32).reshape(2, FEATURE_WIDTH)
    gesture = F.gesture_from_features(values)
    assert gesture.shape == (2, GESTURE_WIDTH) == (2, 78 + 180 + 57 + 100)
    np.testing.assert_array_equal(gesture[0, :6], np.arange(18, 24))  # upper begins with joint 3
    np.testing.assert_array_equal(gesture[0, 78:84], np.arange(150, 156))  # hands with joint 25
    np.testing.assert_array_equal(gesture[0, 258:264], np.arange(6))  # lower with the pelvis
    np.testing.assert_array_equal(gesture[0, 312:315], [330, 331, 332])  # and ends with the translation
    np.testing.assert_array_equal(gesture[0, 315:], np.arange(333, 433))


def test_jaw_and_eyes_come_from_the_side_alone(make_motion: Callable[..., Motion]):
    motion = make_motion(8)
    found = F.motion_to_features(motion)
    still = F.features_to_motion(found.values, np.zeros((8, 9)), found.origin, 30.0)
    moved = [
        joint for joint in range(55) if np.abs(still.poses[:, joint] - motion.poses[:, joint]).max() > 1e-3
    ]
    assert tuple(moved) == SIDE_JOINTS
    np.testing.assert_array_equal(still.poses[:, list(SIDE_JOINTS)], 0)


def test_one_frame_has_no_step(make_motion: Callable[..., Motion]):
    motion = make_motion(1)
    found = F.motion_to_features(motion)
    np.testing.assert_array_equal(found.values[0, [330, 332]], 0)
    np.testing.assert_allclose(through_gesture(motion).trans, motion.trans, atol=1e-6)


def test_wrong_shapes_are_named(make_motion: Callable[..., Motion]):
    with pytest.raises(ShapeError, match=r"got shape \(4, 432\), wanted \[T, 433\]"):
        F.gesture_from_features(np.zeros((4, 432)))
    with pytest.raises(ShapeError, match="side"):
        F.features_from_gesture(np.zeros((4, 415)), np.zeros((4, 8)))
    with pytest.raises(ShapeError, match="without frames"):
        F.motion_to_features(make_motion(0))
