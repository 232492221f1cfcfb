"""The tokenizer of one body part: convolutions around a residual quantizer.

Shapes: B clips, T frames, C channels of the part, N = T // 4 latents, D channels of a latent, Q quantizers,
K codes. Module names and tensor shapes are those of the published files (`net_300000_<part>.pth`), so that
these load with `strict=True`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from omniges.errors import DataError, ShapeError
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.tokenizers.quantizer import QuantizerConfig, ResidualQuantizer

LEVELS = 2
"""Halvings of the frame rate; 2 ** LEVELS frames a code."""
assert 2**LEVELS == FRAMES_PER_CODE
DILATION_GROWTH = 3


@dataclass(frozen=True, kw_only=True)
class RVQVAEConfig:
    """Everything that decides a tokenizer's shapes and learning rules."""

    channels: int  # C
    width: int
    depth: int  # residual blocks a level; their dilations are 3 ** (depth - 1), ..., 3, 1
    dropout: float
    quantizer: QuantizerConfig

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RVQVAEConfig":
        return cls(**{**values, "quantizer": QuantizerConfig(**values["quantizer"])})


@dataclass(frozen=True, kw_only=True)
class RVQOutput:
    """A training or reconstruction pass."""

    reconstruction: Tensor  # [B, 4 * N, C]
    codes: Tensor  # [B, N, Q] int64, -1 where a quantizer was left out
    commitment: Tensor  # []
    perplexity: Tensor  # []


class RVQVAE(nn.Module):
    """Frames in, codes out, and back. Input and output are normalised channels."""

    def __init__(self, config: RVQVAEConfig) -> None:
        super().__init__()
        self.config = config
        code_dim = config.quantizer.code_dim
        self.encoder = _Encoder(config.channels, config.width, config.depth, config.dropout, code_dim)
        self.decoder = _Decoder(config.channels, config.width, config.depth, config.dropout, code_dim)
        self.quantizer = ResidualQuantizer(config.quantizer)

    def forward(self, frames: Tensor, generator: Generator | None = None) -> RVQOutput:
        """Encode, quantise (learning the codebooks in training mode), decode.

        Args:
            frames: [B, T, C], T >= 4; the last T % 4 frames have no counterpart in the result.
            generator: CPU generator, equal on all ranks; see `ResidualQuantizer`.
        """
        found = self.quantizer(self.encode_latent(frames), generator)
        return RVQOutput(
            reconstruction=self.decode_latent(found.latent),
            codes=found.codes,
            commitment=found.commitment,
            perplexity=found.perplexity,
        )

    def encode_latent(self, frames: Tensor) -> Tensor:
        """[B, T, C] to [B, T // 4, D], before quantisation."""
        self._check_frames(frames)
        return self.encoder(frames.transpose(1, 2)).transpose(1, 2)

    def encode(self, frames: Tensor) -> Tensor:
        """Codes of a clip of any length, in one pass and so without seams.

        Args:
            frames: [B, T, C], T >= 4.
        Returns:
            [B, T // 4, Q] int64.
        """
        self._check_frames(frames)
        if not torch.isfinite(frames).all():
            clip, frame, channel = (int(i) for i in (~torch.isfinite(frames)).nonzero()[0])
            raise DataError(
                f"encode: clip {clip} of the batch is not finite at frame {frame}, channel {channel} "
                f"({int((~torch.isfinite(frames)).sum())} values in all). Repair or exclude it."
            )
        return self.quantizer.encode(self.encode_latent(frames))

    def decode_codes(self, codes: Tensor) -> Tensor:
        """[B, N, q] codes, q <= Q, to [B, 4 * N, C]."""
        return self.decode_latent(self.quantizer.lookup(codes))

    def decode_latent(self, latent: Tensor) -> Tensor:
        """[B, N, D], N >= 1, to [B, 4 * N, C]."""
        code_dim = self.config.quantizer.code_dim
        if latent.ndim != 3 or latent.shape[2] != code_dim or latent.shape[1] == 0:
            raise ShapeError(f"decode_latent: got {tuple(latent.shape)}, wanted [B, N >= 1, {code_dim}].")
        return self.decoder(latent.transpose(1, 2)).transpose(1, 2)

    @property
    def decoder_context(self) -> int:
        """How many latents to the left and to the right of a frame's own have a say in it, at most."""
        dilations = sum(DILATION_GROWTH**i for i in range(self.config.depth))
        reach = 2  # of the two last convolutions, in frames; each step below is one layer, from last to first
        for _ in range(LEVELS):
            reach = -(-(reach + 1) // 2) + dilations
        return reach + 1

    def codebooks(self) -> Tensor:
        """[Q, K, D] effective codebooks."""
        return self.quantizer.codebooks()

    def _check_frames(self, frames: Tensor) -> None:
        wanted = f"wanted [B >= 1, T >= {FRAMES_PER_CODE}, {self.config.channels}]"
        if frames.ndim != 3 or frames.shape[2] != self.config.channels:
            raise ShapeError(
                f"RVQVAE: got frames {tuple(frames.shape)}, {wanted}. Is this another part's tokenizer?"
            )
        if frames.shape[0] == 0:
            raise ShapeError(f"RVQVAE: got an empty batch {tuple(frames.shape)}, {wanted}.")
        if frames.shape[1] < FRAMES_PER_CODE:
            raise ShapeError(f"RVQVAE: {frames.shape[1]} frames are fewer than one code holds, {wanted}.")


class ResidualBlock(nn.Module):
    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.conv2(torch.relu(self.conv1(torch.relu(x)))))


class _ResidualBlocks(nn.Module):
    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        dilations = [DILATION_GROWTH**i for i in reversed(range(depth))]
        self.model = nn.Sequential(*(ResidualBlock(width, dilation, dropout) for dilation in dilations))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class _Encoder(nn.Module):
    def __init__(self, channels: int, width: int, depth: int, dropout: float, code_dim: int) -> None:
        super().__init__()
        halvings = [
            nn.Sequential(
                nn.Conv1d(width, width, 4, stride=2, padding=1), _ResidualBlocks(width, depth, dropout)
            )
            for _ in range(LEVELS)
        ]
        first, last = nn.Conv1d(channels, width, 3, padding=1), nn.Conv1d(width, code_dim, 3, padding=1)
        self.model = nn.Sequential(first, nn.ReLU(), *halvings, last)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class _Decoder(nn.Module):
    def __init__(self, channels: int, width: int, depth: int, dropout: float, code_dim: int) -> None:
        super().__init__()
        doublings = [
            nn.Sequential(
                _ResidualBlocks(width, depth, dropout),
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv1d(width, width, 3, padding=1),
            )
            for _ in range(LEVELS)
        ]
        last = [nn.Conv1d(width, width, 3, padding=1), nn.ReLU(), nn.Conv1d(width, channels, 3, padding=1)]
        self.model = nn.Sequential(nn.Conv1d(code_dim, width, 3, padding=1), nn.ReLU(), *doublings, *last)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
