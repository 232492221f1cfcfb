from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from omniges.errors import ShapeError
from omniges.motion import rotations as R


def between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angle between axis-angles by scipy, radians."""
    return (Rotation.from_rotvec(one) * Rotation.from_rotvec(other).inv()).magnitude()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_are_scipys(dtype: torch.dtype):
    axis_angle = Rotation.random(300, rng=np.random.default_rng(0)).as_rotvec()
    got = R.axis_angle_to_matrix(torch.from_numpy(axis_angle).to(dtype))
    want = Rotation.from_rotvec(axis_angle).as_matrix()
    torch.testing.assert_close(
        got, torch.from_numpy(want).to(dtype), rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-14
    )


def test_rot6d_recovers_scipy_rotations_at_any_row_length():
    want = Rotation.random(64, rng=np.random.default_rng(0)).as_matrix()
    rows = want[:, :2] * np.array([[0.3], [7.0]])
    got = R.rot6d_to_matrix(torch.from_numpy(rows.reshape(64, 6)))
    torch.testing.assert_close(got, torch.from_numpy(want), rtol=0, atol=1e-12)  # fails on column layout


def test_rot6d_written_in_place_has_the_same_bits_and_leaves_the_rest():
    axis_angle = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 7, 3))).float()
    axis_angle[3, 2] = 0.0
    wide = torch.full((50, 7 * 6 + 2), -9.0)
    R.write_rot6d(axis_angle, wide[:, 1:-1].unflatten(1, (7, 6)))
    assert torch.equal(wide[:, 1:-1], R.axis_angle_to_rot6d(axis_angle).flatten(1))
    assert (wide[:, [0, -1]] == -9.0).all()


def test_published_vectors(shared: Path):
    v = np.load(shared / "reference/rotations/rotation_vectors.npz")
    axis_angle = torch.from_numpy(v["axis_angle"])
    np.testing.assert_allclose(R.axis_angle_to_matrix(axis_angle).numpy(), v["matrix"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(R.axis_angle_to_rot6d(axis_angle).numpy(), v["rot6d"], rtol=0, atol=1e-6)
    noisy = R.rot6d_to_matrix(torch.from_numpy(v["rot6d_noisy"]))
    np.testing.assert_allclose(noisy.numpy(), v["matrix_from_noisy_6d"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("gap", [0.0, 1e-7, 1e-5, 1e-3, 1e-2])
@pytest.mark.parametrize("near", [0.0, np.pi])
def test_float32_round_trip_near_zero_and_half_turns(near: float, gap: float):
    axes = np.concatenate(
        [np.eye(3), -np.eye(3), Rotation.random(200, rng=np.random.default_rng(1)).as_matrix()[:, 0]]
    )
    axis_angle = axes * abs(near - gap)
    back = R.rot6d_to_axis_angle(R.axis_angle_to_rot6d(torch.from_numpy(axis_angle.astype(np.float32))))
    assert (
        between(back.double().numpy(), axis_angle).max() < 2e-6
    )  # published code is off by up to 1.19 near pi
    assert back.norm(dim=-1).max() <= np.pi + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3.6, 3.6), min_size=3, max_size=3))
def test_any_axis_angle_comes_back_as_the_same_rotation(values: list[float]):
    axis_angle = np.array([values])
    back = R.rot6d_to_axis_angle(R.axis_angle_to_rot6d(torch.from_numpy(axis_angle))).numpy()
    assert between(back, axis_angle)[0] < 1e-7


def test_the_zero_rotation_has_a_gradient():
    zero = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: R.axis_angle_to_matrix(x), (zero + 1e-3,))
    R.axis_angle_to_matrix(zero).sum().backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()
    # d R / d x_i at zero is the cross product matrix of axis i, whose entries sum to zero
    np.testing.assert_allclose(zero.grad.numpy(), 0, atol=1e-12)


def test_slerp_turns_at_constant_speed_along_the_short_way():
    start = torch.tensor([[0.0, 0.0, 3.0]], dtype=torch.float64)
    end = torch.tensor([[0.0, 0.0, -3.0]], dtype=torch.float64)  # 0.28 rad away across the half turn
    shares = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    got = R.slerp(start.expand(4, 3), end.expand(4, 3), shares).numpy()
    want = np.array([[0, 0, 3.0 + s * (2 * np.pi - 6.0)] for s in shares.tolist()])
    assert between(got, want).max() < 1e-12


def test_geodesic_angle_is_scipys_even_for_tiny_and_half_turns():
    angles = np.array([0.0, 1e-6, 1e-3, 1.0, np.pi - 1e-6, np.pi])
    first = Rotation.random(len(angles), rng=np.random.default_rng(2))
    second = first * Rotation.from_rotvec(angles[:, None] * np.array([[0.6, 0.0, 0.8]]))
    got = R.geodesic_angle(torch.from_numpy(first.as_matrix()), torch.from_numpy(second.as_matrix()))
    np.testing.assert_allclose(got.numpy(), angles, atol=1e-9)


@pytest.mark.parametrize(
    "call", [R.axis_angle_to_matrix, R.matrix_to_axis_angle, R.matrix_to_rot6d, R.rot6d_to_matrix]
)
def test_a_wrong_width_is_named(call):
    with pytest.raises(ShapeError, match=r"got shape \(2, 5\)"):
        call(torch.zeros(2, 5))
