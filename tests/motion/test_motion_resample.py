from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from omniges.motion.resample import resample_motion
from omniges.types import Motion


def test_half_the_rate_is_every_second_frame_bit_for_bit(make_motion: Callable[..., Motion]):
    motion = make_motion(51)
    half = resample_motion(motion, 15)
    assert half.fps == 15
    np.testing.assert_array_equal(half.poses, motion.poses[:50:2])
    np.testing.assert_array_equal(half.trans, motion.trans[:50:2])
    np.testing.assert_array_equal(half.expressions, motion.expressions[:50:2])


def test_rotations_turn_as_scipys_slerp(make_motion: Callable[..., Motion]):
    motion = make_motion(20, fps=25.0)
    got = resample_motion(motion, 30)
    times = np.minimum(np.arange(got.n_frames) / 30, 19 / 25)
    for joint in (0, 21, 54):
        want = Slerp(np.arange(20) / 25, Rotation.from_rotvec(motion.poses[:, joint].astype(np.float64)))(
            times
        )
        assert (
            want.inv() * Rotation.from_rotvec(got.poses[:, joint].astype(np.float64))
        ).magnitude().max() < 1e-5
    for axis in range(3):
        np.testing.assert_allclose(
            got.trans[:, axis], np.interp(times, np.arange(20) / 25, motion.trans[:, axis])
        )


def test_the_number_of_frames_follows_the_duration(make_motion: Callable[..., Motion]):
    motion = make_motion(1906)
    assert resample_motion(motion, 15).n_frames == 953
    assert resample_motion(resample_motion(motion, 15), 30).n_frames == 1906
    assert resample_motion(motion, 30) is motion


def test_turning_on_past_a_half_turn_takes_the_short_way():
    poses = np.zeros((2, 55, 3), np.float32)
    poses[:, 0, 2] = (3.0, -3.0)
    motion = Motion(
        poses=poses, trans=np.zeros((2, 3)), expressions=np.zeros((2, 100)), betas=np.zeros(300), fps=15
    )
    middle = Rotation.from_rotvec(resample_motion(motion, 30).poses[1, 0].astype(np.float64))
    assert (
        middle.inv() * Rotation.from_rotvec([0, 0, np.pi])
    ).magnitude() < 1e-6  # a mean of vectors gives 0
