"""The network of the field's FGD (`AESKConv_240_100.bin`): a skeleton-convolution autoencoder over rot6d.

Shapes: B batch, C channels, T frames, E edges of the skeleton. A rot6d clip is [B, T, 330], unnormalised.

Edge i carries the six channels of joint i; edge 0 = (0, 55) is virtual and carries the pelvis. Each layer
convolves over time within edges at most two steps apart, then merges the chain between two branchings
pairwise (55 → 35 → 20 → 20 → 20 edges). Its GroupNorm averages over TIME: features depend on how long a piece
is fed, so whole clips and windows are not comparable.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from omniges.checkpoint import load_foreign, load_state
from omniges.errors import CheckpointError, ShapeError
from omniges.files import sha256_file
from omniges.motion.layout import N_JOINTS, PARENTS, POSE_WIDTH, ROT6D

Edge = tuple[int, int]

FRAMES_PER_FEATURE = 16
LENGTH_MULTIPLE = 32
"""Clips are cut to a multiple of 32 frames in the published protocol."""
FEATURE_WIDTH = 240
CHANNELS_PER_EDGE = (6, 6, 6, 12, 12)
NEIGHBOUR_DISTANCE = 2
KERNEL, STRIDE, GROUPS = 4, 2, 10


@dataclass(frozen=True)
class Level:
    """One resolution of the skeleton: its edges, and which of them merge into each edge of the next level."""

    edges: tuple[Edge, ...]
    pools: tuple[tuple[int, ...], ...]

    def neighbours(self, distance: int = NEIGHBOUR_DISTANCE) -> NDArray[np.bool_]:
        """[E, E]: edges whose distance along the skeleton (edges that share a joint: 1) is at most
        `distance`.
        """
        touching = np.array([[bool(set(a) & set(b)) for b in self.edges] for a in self.edges])
        within = np.eye(len(self.edges), dtype=bool)
        for _ in range(distance):
            within = within @ touching
        return within


def base_edges() -> tuple[Edge, ...]:
    """Edges of SMPL-X's 55 joints, with the virtual root edge (0, 55) first."""
    return ((0, N_JOINTS), *((parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0))


def chains(edges: tuple[Edge, ...]) -> list[list[int]]:
    """Edge indices of every unbranched chain, from the root outwards."""
    children: dict[int, list[int]] = {}
    for index, (start, _) in enumerate(edges):
        children.setdefault(start, []).append(index)
    found: list[list[int]] = []

    def follow(chain: list[int]) -> None:
        tip = edges[chain[-1]][1]
        onwards = children.get(tip, [])
        if len(onwards) == 1:
            follow([*chain, onwards[0]])
            return
        found.append(chain)
        for index in onwards:
            follow([index])

    for index in children[0]:
        follow([index])
    return found


def pool(edges: tuple[Edge, ...]) -> Level:
    """Merge each chain's edges two by two; the first edge of an odd chain stays alone."""
    pools: list[tuple[int, ...]] = []
    for chain in chains(edges):
        odd = len(chain) % 2
        pools += [(chain[0],)] * odd
        pools += [(chain[i], chain[i + 1]) for i in range(odd, len(chain), 2)]
    return Level(edges, tuple(pools))


def pooled_edges(level: Level) -> tuple[Edge, ...]:
    """Edges of the next level: from the first merged edge's start to the last one's end."""
    return tuple((level.edges[merged[0]][0], level.edges[merged[-1]][1]) for merged in level.pools)


def levels() -> tuple[Level, ...]:
    """The four levels that the network's layers work on."""
    result, edges = [], base_edges()
    for _ in range(len(CHANNELS_PER_EDGE) - 1):
        result.append(pool(edges))
        edges = pooled_edges(result[-1])
    return tuple(result)


class SkeletonConv(nn.Module):
    """A convolution over time whose weights between far edges are held at zero by a mask."""

    mask: Tensor

    def __init__(self, level: Level, channels_in: int, channels_out: int, kernel: int, padding: int) -> None:
        super().__init__()
        near = torch.from_numpy(level.neighbours()).float()
        mask = (
            near.repeat_interleave(channels_out, 0)
            .repeat_interleave(channels_in, 1)[:, :, None]
            .repeat(1, 1, kernel)
        )
        fan_in = mask[:, :, 0].sum(1).mean().item() * kernel
        self.register_buffer("mask", mask)
        self.weight = nn.Parameter(torch.randn_like(mask) / fan_in**0.5 * mask)
        self.bias = nn.Parameter(torch.zeros(len(mask)))
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, T] → [B, C_out, T / 2]."""
        return F.conv1d(x, self.weight * self.mask, self.bias, stride=STRIDE, padding=self.padding)


class SkeletonPool(nn.Module):
    """Mean of merged edges, channel by channel, as a fixed matrix (the published file stores it)."""

    weight: Tensor

    def __init__(self, level: Level, channels: int) -> None:
        super().__init__()
        merge = torch.zeros(len(level.pools), len(level.edges))
        for row, merged in enumerate(level.pools):
            merge[row, list(merged)] = 1 / len(merged)
        self.register_buffer("weight", torch.kron(merge, torch.eye(channels)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] → [B, C', T]."""
        return self.weight @ x


class SkeletonLayer(nn.Module):
    """tanh(pool(norm(conv(x)) + shortcut(x)))."""

    def __init__(self, level: Level, channels_in: int, channels_out: int) -> None:
        super().__init__()
        width = len(level.edges) * channels_out
        self.residual = nn.Sequential(
            SkeletonConv(level, channels_in, channels_out, KERNEL, padding=(KERNEL - 1) // 2),
            nn.GroupNorm(GROUPS, width),
        )
        self.shortcut = SkeletonConv(level, channels_in, channels_out, kernel=1, padding=0)
        merges = len(level.pools) < len(level.edges)
        self.common = nn.Sequential(*([SkeletonPool(level, channels_out)] if merges else []), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] → [B, C', T / 2]."""
        y: Tensor = self.common(self.residual(x) + self.shortcut(x))
        return y


class SkeletonEncoder(nn.Module):
    """Four skeleton layers: 330 channels at motion rate to 240 at a sixteenth of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(SkeletonLayer(level, CHANNELS_PER_EDGE[i], CHANNELS_PER_EDGE[i + 1]))
            for i, level in enumerate(levels())
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, 330, T] → [B, 240, T / 16]."""
        for layer in self.layers:
            x = layer(x)
        return x


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv1d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


class Decoder(nn.Module):
    """Plain convolutions back to rot6d; only training needs it."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_Residual(FEATURE_WIDTH), _Residual(FEATURE_WIDTH)]
        for width in (FEATURE_WIDTH, FEATURE_WIDTH, FEATURE_WIDTH, POSE_WIDTH):
            blocks += [
                nn.Upsample(scale_factor=2),
                nn.Conv1d(FEATURE_WIDTH, width, 3, padding=1),
                nn.LeakyReLU(0.2),
            ]
        self.main = nn.Sequential(*blocks, nn.Conv1d(POSE_WIDTH, POSE_WIDTH, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        """[B, 240, T / 16] → [B, 330, T]."""
        x: Tensor = self.main(z)
        return x


class FgdNetwork(nn.Module):
    """Encoder and decoder under the published file's names (`fc_mu`, `fc_logvar` stand in the file and are
    never used).
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SkeletonEncoder()
        self.decoder = Decoder()
        self.fc_mu = nn.Linear(FEATURE_WIDTH, FEATURE_WIDTH)
        self.fc_logvar = nn.Linear(FEATURE_WIDTH, FEATURE_WIDTH)

    def encode(self, rot6d: Tensor) -> Tensor:
        """Features of a piece, fed whole.

        Args:
            rot6d: [B, T, 330], unnormalised; T >= 16, of which the last T % 16 frames are left out.
        Returns:
            [B, T // 16, 240].
        Raises:
            ShapeError: another width, or fewer than 16 frames.
        """
        if rot6d.ndim != 3 or rot6d.shape[2] != ROT6D * N_JOINTS or rot6d.shape[1] < FRAMES_PER_FEATURE:
            raise ShapeError(
                f"FGD network: got {tuple(rot6d.shape)}, wanted [B, T >= {FRAMES_PER_FEATURE}, {POSE_WIDTH}]."
            )
        whole = rot6d.shape[1] // FRAMES_PER_FEATURE * FRAMES_PER_FEATURE  # else both paths differ
        features: Tensor = self.encoder(rot6d[:, :whole].transpose(1, 2))
        return features.transpose(1, 2)

    def forward(self, rot6d: Tensor) -> Tensor:
        """Reconstruction [B, 16 * (T // 16), 330]."""
        pose: Tensor = self.decoder(self.encode(rot6d).transpose(1, 2))
        return pose.transpose(1, 2)


def load_published(path: Path) -> tuple[FgdNetwork, str]:
    """Read a published file `{'model_state': state_dict}`; its stored masks and pooling matrices win over the
    built ones.

    Returns:
        The network in evaluation mode, and the file's SHA-256.
    Raises:
        CheckpointError: missing, unreadable, or other keys or shapes than the network's.
    """
    stored = load_foreign(path)
    state = stored.get("model_state") if isinstance(stored, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path}: not an AESKConv file; wanted {{'model_state': state_dict}} at its top."
        )
    network = FgdNetwork()
    load_state(network, {key.removeprefix("module."): value for key, value in state.items()}, path)
    return network.eval(), sha256_file(path)
