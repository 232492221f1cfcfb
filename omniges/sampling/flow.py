"""Rectified flow from noise (t = 0) to data (t = 1), and its solvers (Liu et al. 2022, arXiv:2209.03003).

Shapes: `t` broadcasts against `x`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Solver = Literal["euler", "heun"]


def interpolate(noise: Tensor, clean: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x_0 + t x_1."""
    return (1 - t) * noise + t * clean


def velocity(x_t: Tensor, clean: Tensor, t: float) -> Tensor:
    """dx_t/dt on the straight line from x_t to the clean estimate: (x_1 - x_t) / (1 - t), t < 1."""
    return (clean - x_t) / (1 - t)


def shifted(u: float, shift: float) -> float:
    """Flow time with more of it near the noise: u / (u + shift (1 - u)), u in [0, 1] (Esser et al. 2024,
    arXiv:2403.03206, eq. 23, with this module's direction of time).

    A token is hundreds of correlated channels, so its motion stands out of the noise long before t = 1/2:
    what is large is decided near t = 0.
    """
    return u / (u + shift * (1 - u))


def times(steps: int, shift: float) -> list[float]:
    """The solver's grid, `steps` + 1 values from 0 to 1, see `shifted`."""
    return [shifted(step / steps, shift) for step in range(steps + 1)]


def solve(
    x_0: Tensor,
    clean_estimate: Callable[[Tensor, float, bool], Tensor],
    steps: int,
    solver: Solver,
    shift: float = 1.0,
) -> Tensor:
    """Walk from noise to data.

    Args:
        x_0: noise, any shape.
        clean_estimate: (x_t, t, last) -> estimate of x_1, same shape; `last` marks the call whose answer is
            returned.
        steps: number of intervals, 1 to 50.
        solver: `euler`, one evaluation an interval; `heun`, two, except in the last, where the velocity at
            t = 1 has no value.
        shift: see `shifted`; 1 spaces the steps evenly.
    Returns:
        x_1, which equals the last clean estimate exactly.
    """
    x_t = x_0
    grid = times(steps, shift)
    for t, following in pairwise(grid):
        last = following == 1.0
        clean = clean_estimate(x_t, t, last)
        if last:
            return clean
        v = velocity(x_t, clean, t)
        if solver == "heun":
            ahead = x_t + (following - t) * v
            v = (v + velocity(ahead, clean_estimate(ahead, following, False), following)) / 2
        x_t = x_t + (following - t) * v
    raise AssertionError("unreachable: the grid ends at 1")


def noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """x_0 on the CPU, whatever the device computes on, so that seeds mean the same everywhere."""
    return torch.randn(shape, generator=generator)
