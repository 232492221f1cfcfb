from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from omniges.errors import ShapeError
from omniges.motion.layout import JOINT_NAMES, PARENTS
from omniges.motion.skeleton import REST_OFFSETS, forward_kinematics, joint_positions, rest_joints
from omniges.types import Motion


def chain(joint: int) -> list[int]:
    return [] if joint < 0 else [*chain(PARENTS[joint]), joint]


def test_positions_are_the_chains_composed_one_by_one(make_motion: Callable[..., Motion]):
    motion = make_motion(3)
    got = joint_positions(motion)
    for frame in range(3):
        turns = [Rotation.from_rotvec(v.astype(np.float64)) for v in motion.poses[frame]]
        for joint in (0, 15, 21, 39, 54):
            place, turn = motion.trans[frame].copy(), Rotation.identity()
            for link in chain(joint):
                place += turn.apply(REST_OFFSETS[link])
                turn = turn * turns[link]
            np.testing.assert_allclose(got[frame, joint], place, atol=1e-6)


def test_bones_keep_their_length_and_the_whole_moves_with_the_root(make_motion: Callable[..., Motion]):
    motion = make_motion(5)
    got = joint_positions(motion)
    lengths = np.linalg.norm(got[:, 1:] - got[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(lengths, np.tile(np.linalg.norm(REST_OFFSETS[1:], axis=-1), (5, 1)), atol=1e-9)
    elsewhere = Motion(**{**vars(motion), "trans": motion.trans + np.array([1.0, 2.0, 3.0])})
    np.testing.assert_allclose(joint_positions(elsewhere), got + np.array([1.0, 2.0, 3.0]), atol=1e-9)


def test_the_rest_pose_is_a_plausible_symmetric_adult():
    rest = dict(zip(JOINT_NAMES, rest_joints(), strict=True))
    for name, place in rest.items():
        if name.startswith("left_"):
            np.testing.assert_allclose(rest[name.replace("left_", "right_")], place * [-1, 1, 1])
            assert place[0] > 0  # the body's left is +x
    assert 1.5 < rest["head"][1] - rest["left_foot"][1] + 0.1 < 1.8
    assert 1.2 < rest["left_wrist"][0] - rest["right_wrist"][0] < 1.5
    assert rest["left_foot"][2] > rest["left_ankle"][2]  # toes point to +z
    assert rest["left_eye_smplhf"][2] > rest["head"][2]


def test_it_stands_near_the_synthetic_body(clip_1: Motion, shared: Path):
    want = np.load(shared / "reference/smplx_synthetic/synthetic_skeleton.npz")["rest_joints_beta0"]
    assert np.linalg.norm(rest_joints() - want, axis=-1).mean() < 0.025  # docs/motion.md states 2 cm
    feet = joint_positions(clip_1)[:, [10, 11], 1].min(axis=1)
    assert -0.05 < feet.mean() < 0.1  # a real person's feet are on the ground


def test_gradients_flow_through_the_chain():
    rotation = torch.eye(3, dtype=torch.float64).expand(55, 3, 3).clone().requires_grad_()
    trans = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    forward_kinematics(rotation, trans)[20].sum().backward()  # left wrist
    assert rotation.grad is not None
    assert trans.grad is not None
    moved = {joint for joint in range(55) if rotation.grad[joint].abs().max() > 0}
    assert moved == set(chain(18))  # all above the wrist, itself not
    np.testing.assert_array_equal(trans.grad.numpy(), 1)


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match="wanted"):
        forward_kinematics(torch.zeros(2, 54, 3, 3), torch.zeros(2, 3))
