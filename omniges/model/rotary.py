"""Rotary positions from seconds, so that what happens together is near, whatever the stream (RoFormer,
arXiv:2104.09864).

Shapes: B batch, S sequence, H heads, E head width (even).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

SHORTEST_S = 0.25
"""Seconds; the fastest pair turns once in this time, below which two tokens of 4 frames at 30 fps can't be
told apart."""
LONGEST_S = 64.0
"""Seconds; the slowest pair turns once in this time, several windows."""


class Rotation(NamedTuple):
    """Cosine and sine of every token's angles, each [B, 1, S, E]: twice the E/2 pairs, first with the sine
    negated.
    """

    cos: Tensor
    sin: Tensor


def wavelengths_s(head_dim: int) -> Tensor:
    """Seconds for one turn of each channel pair, geometric from SHORTEST_S to LONGEST_S: [E/2] float32."""
    return torch.logspace(math.log2(SHORTEST_S), math.log2(LONGEST_S), head_dim // 2, base=2.0)


def rotation_at(time_s: Tensor, head_dim: int) -> Rotation:
    """Angles for tokens at given times.

    Args:
        time_s: [B, S] seconds.
        head_dim: E.
    """
    turns = time_s.float()[..., None] / wavelengths_s(head_dim).to(time_s.device)
    angle = (2 * math.pi * turns)[:, None]
    cos, sin = angle.cos(), angle.sin()
    return Rotation(torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn channel pair (i, i + E/2) by its angle.

    Args:
        x: [B, H, S, E] queries or keys.
        rotation: angles of the S tokens.
    Returns:
        [B, H, S, E], same dtype; dot products of two rotated vectors depend on their time difference alone.
    """
    swapped = x.roll(x.shape[-1] // 2, -1)
    return torch.addcmul(x * rotation.cos.to(x.dtype), swapped, rotation.sin.to(x.dtype))
