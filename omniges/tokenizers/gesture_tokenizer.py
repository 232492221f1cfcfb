"""All four tokenizers as one: raw gesture to codes and back.

Shapes: B clips, T frames, N = T // 4 latents, P = 4 parts, Q quantizers, K codes, D channels of a latent.
Raw gesture has the 415 channels of `omniges.motion.layout`; only inside is it normalised.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from omniges.errors import CheckpointError, ShapeError
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, PART_NAMES, PARTS
from omniges.tokenizers.checkpoints import read_part
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.workspace import Workspace


class GestureTokenizer(nn.Module):
    """Four RVQ-VAEs and the statistics that they were trained with; never trained here."""

    mean: Tensor
    std: Tensor

    def __init__(self, parts: dict[str, RVQVAE], mean: Tensor, std: Tensor) -> None:
        """Args:
        parts: a tokenizer for each of the four parts, with equal Q, K and D.
        mean: [415].
        std: [415].
        """
        super().__init__()
        sizes = {
            (m.config.quantizer.quantizers, m.config.quantizer.codes, m.config.quantizer.code_dim)
            for m in parts.values()
        }
        if tuple(parts) != PART_NAMES or len(sizes) != 1:
            raise CheckpointError(
                f"GestureTokenizer: got {tuple(parts)} with (quantizers, codes, channels) {sorted(sizes)}; "
                f"wanted {PART_NAMES}, all of one size. Train them with the same parameters."
            )
        self.parts = nn.ModuleDict(parts)
        self.quantizers, self.codes, self.code_dim = sizes.pop()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.eval().requires_grad_(False)

    @classmethod
    def load(cls, where: Workspace | Path | str) -> "GestureTokenizer":
        """Read the four checkpoint folders.

        Args:
            where: a workspace, or the folder that holds `upper/`, `hands/`, `lower_trans/` and `face/`.
        """
        folder = where.models / "tokenizers" if isinstance(where, Workspace) else Path(where)
        read = {part: read_part(folder / part, part) for part in PART_NAMES}
        mean, std = (
            torch.cat([checkpoint.statistics[name] for _, checkpoint in read.values()])
            for name in ("mean", "std")
        )
        return cls({part: model for part, (model, _) in read.items()}, mean, std)

    def normalise(self, gesture: Tensor) -> Tensor:
        """[..., 415] raw to normalised."""
        return (gesture - self.mean) / self.std

    def denormalise(self, gesture: Tensor) -> Tensor:
        """[..., 415] normalised to raw."""
        return gesture * self.std + self.mean

    @torch.no_grad()
    def encode(self, gesture: Tensor) -> Tensor:
        """Codes of raw gesture, in one pass.

        Args:
            gesture: [B, T, 415], T >= 4; the last T % 4 frames get no code.
        Returns:
            [B, N, 4, Q] int64.
        """
        if gesture.ndim != 3 or gesture.shape[-1] != GESTURE_WIDTH:
            raise ShapeError(f"encode: got gesture {tuple(gesture.shape)}, wanted [B, T, {GESTURE_WIDTH}].")
        frames = self.normalise(gesture)
        return torch.stack(
            [model.encode(frames[..., PARTS[part].gesture]) for part, model in self._each()], dim=2
        )

    def decode_codes(self, codes: Tensor) -> Tensor:
        """[B, N, 4, q] codes, q <= Q, to raw gesture [B, 4 * N, 415]."""
        if codes.ndim != 4 or codes.shape[2] != len(PART_NAMES):
            raise ShapeError(f"decode_codes: got {tuple(codes.shape)}, wanted [B, N, {len(PART_NAMES)}, Q].")
        decoded = [model.decode_codes(codes[:, :, i]) for i, (_, model) in enumerate(self._each())]
        return self.denormalise(torch.cat(decoded, dim=-1))

    def decode_latents(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """[B, N, 4, D] latents, which need not be codes, to raw gesture [B, 4 * N, 415], or of some latents
        alone.
        """
        if latents.ndim != 4 or latents.shape[2] != len(PART_NAMES):
            raise ShapeError(
                f"decode_latents: got {tuple(latents.shape)}, wanted [B, N, {len(PART_NAMES)}, D]."
            )
        decoded = [model.decode_latent(latents[:, :, i]) for i, (_, model) in enumerate(self._each())]
        frames = self.denormalise(torch.cat(decoded, dim=-1))
        if wanted is None:
            return frames
        return frames[:, FRAMES_PER_CODE * wanted.start : FRAMES_PER_CODE * wanted.stop]

    def estimate(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """[B, N, 4, D] latents to normalised gesture [B, 4 * N, 415], or of some latents alone."""
        return self.normalise(self.decode_latents(latents, wanted))

    @property
    def decoder_context(self) -> int:
        """Latents to either side of a frame's own that `decode_latents` lets have a say in it, at most."""
        return max(model.decoder_context for _, model in self._each())

    def codebooks(self) -> Tensor:
        """[4, Q, K, D] effective codebooks."""
        return torch.stack([model.codebooks() for _, model in self._each()])

    def each(self) -> list[RVQVAE]:
        """The parts' tokenizers, in the order of `PART_NAMES`."""
        return [model for _, model in self._each()]

    def _each(self) -> list[tuple[str, RVQVAE]]:
        return [(part, model) for part, model in self.parts.items() if isinstance(model, RVQVAE)]
