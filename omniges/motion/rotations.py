"""Rotations as BEAT2 and its tokenizers write them.

Shapes: `...` any leading dimensions. Angles in radians. A rot6d is the first two ROWS of the matrix, row 0
then row 1 (roma, and Zhou et al., write columns). Axis-angles come back with an angle in [0, pi]; at a half
turn the axis is known up to its sign, and either sign is the same rotation.
"""

import roma
import torch
from torch import Tensor

from omniges.errors import ShapeError


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Unit quaternion (cos a/2, sin a/2 * axis) to matrix; exact at the zero rotation, gradient included.

    In float32 the order of operations decides the last digit, and tokenizer inputs divide that digit by
    standard deviations near 0.001. This order gives the published inputs bit for bit.

    Args:
        axis_angle: [..., 3] radians.
    Returns:
        [..., 3, 3].
    """
    _check_end(axis_angle, (3,), "axis_angle_to_matrix")
    two, w, x, y, z = _quaternion(axis_angle)
    third = (two * (x * z - y * w), two * (y * z + x * w), 1 - two * (x * x + y * y))
    return torch.stack([*_two_rows(two, w, x, y, z), *third], dim=-1).unflatten(-1, (3, 3))


def _quaternion(axis_angle: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """2 / |q|^2, w, x, y, z of [..., 3] radians, [...] each and contiguous, which is twice as fast."""
    angle = axis_angle.norm(dim=-1)
    small = angle < 1e-6
    safe = torch.where(small, 1.0, angle)
    sine_over_angle = torch.where(small, 0.5 - angle * angle / 48, torch.sin(safe * 0.5) / safe)
    x, y, z = (number * sine_over_angle for number in axis_angle.movedim(-1, 0).contiguous())
    w = torch.cos(angle * 0.5)
    return 2.0 / (w * w + x * x + y * y + z * z), w, x, y, z


def _two_rows(two: Tensor, w: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return (
        *(1 - two * (y * y + z * z), two * (x * y - z * w), two * (x * z + y * w)),
        *(two * (x * y + z * w), 1 - two * (x * x + z * z), two * (y * z - x * w)),
    )


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Markley's quaternion, then 2 atan2(|v|, w): accurate near 0 and pi, where acos of the trace is not.

    Args:
        matrix: [..., 3, 3] rotations.
    Returns:
        [..., 3] radians, angle in [0, pi].
    """
    _check_end(matrix, (3, 3), "matrix_to_axis_angle")
    return roma.unitquat_to_rotvec(roma.rotmat_to_unitquat(matrix))


def matrix_to_rot6d(matrix: Tensor) -> Tensor:
    """First two rows of [..., 3, 3], flattened to [..., 6]."""
    _check_end(matrix, (3, 3), "matrix_to_rot6d")
    return matrix[..., :2, :].flatten(-2)


def rot6d_to_matrix(rot6d: Tensor) -> Tensor:
    """Gram-Schmidt two rows into a rotation (Zhou et al. 2019, arXiv:1812.07035, sec. B).

    Args:
        rot6d: [..., 6], unitless; first two ROWS, of any length and angle to each other.
    Returns:
        [..., 3, 3]; a rotation always, an arbitrary one where the rows are parallel or zero.
    """
    _check_end(rot6d, (6,), "rot6d_to_matrix")
    first = torch.nn.functional.normalize(rot6d[..., :3], dim=-1, eps=1e-12)
    second = rot6d[..., 3:]
    second = torch.nn.functional.normalize(
        second - (first * second).sum(-1, keepdim=True) * first, dim=-1, eps=1e-12
    )
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def axis_angle_to_rot6d(axis_angle: Tensor) -> Tensor:
    """[..., 3] radians to [..., 6]; the numbers of `axis_angle_to_matrix`, without its third row."""
    _check_end(axis_angle, (3,), "axis_angle_to_rot6d")
    return torch.stack(_two_rows(*_quaternion(axis_angle)), dim=-1)


def write_rot6d(axis_angle: Tensor, rot6d: Tensor) -> None:
    """The numbers of `axis_angle_to_rot6d`, written into a given tensor [..., 6] of any strides.

    Without gradient, and in two thirds of the time where they would be copied there afterwards.
    """
    _check_end(axis_angle, (3,), "write_rot6d")
    with torch.no_grad():
        for number, values in zip(rot6d.unbind(-1), _two_rows(*_quaternion(axis_angle)), strict=True):
            number.copy_(values)


def rot6d_to_axis_angle(rot6d: Tensor) -> Tensor:
    """[..., 6] to [..., 3] radians, angle in [0, pi]."""
    return matrix_to_axis_angle(rot6d_to_matrix(rot6d))


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Turn from one rotation to another along the shortest arc.

    Args:
        start: [..., 3] axis-angle.
        end: [..., 3] axis-angle, same shape.
        share: 0 is `start`, 1 is `end`; broadcasts against the leading dimensions.
    Returns:
        [..., 3] axis-angle.
    """
    first = axis_angle_to_matrix(start)
    turn = matrix_to_axis_angle(first.transpose(-1, -2) @ axis_angle_to_matrix(end))
    return matrix_to_axis_angle(first @ axis_angle_to_matrix(turn * share[..., None]))


def geodesic_angle(one: Tensor, other: Tensor) -> Tensor:
    """Angle between rotation matrices, accurate at 0 and pi: atan2 of twice its sine and twice its cosine.

    Args:
        one: [..., 3, 3].
        other: [..., 3, 3].
    Returns:
        [...] radians in [0, pi].
    """
    _check_end(one, (3, 3), "geodesic_angle")
    turn = one.transpose(-1, -2) @ other
    skew = turn - turn.transpose(-1, -2)
    sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1).norm(dim=-1)
    return torch.atan2(sine, turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)


def _check_end(value: Tensor, wanted: tuple[int, ...], where: str) -> None:
    got = tuple(value.shape[-len(wanted) :])
    if got != wanted:
        raise ShapeError(
            f"{where}: got shape {tuple(value.shape)}, wanted [..., {', '.join(map(str, wanted))}]."
        )
