"""Residual vector quantisation with projected, moving-average codebooks.

Shapes: B clips, N latents a clip (4 frames each), M = B * N rows, D channels, K codes, Q quantizers.
The effective codebook is `embedding_proj(codebook)`, for the search and for the lookup; the raw buffer holds
the moving averages and is never a code by itself.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from omniges.errors import ShapeError
from omniges.tokenizers import codebook as books

DROPPED = -1
"""Code of a quantizer that was left out; it decodes to zero."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What residual quantisation found."""

    latent: Tensor  # [B, N, D] sum of the codes, with a gradient to the encoder
    codes: Tensor  # [B, N, Q] int64; DROPPED where a quantizer was left out
    commitment: Tensor  # [] mean over the quantizers used
    perplexity: Tensor  # [] mean over the quantizers used; K if all codes are used alike


@dataclass(frozen=True, kw_only=True)
class QuantizerConfig:
    """Sizes and learning rules of the codebooks.

    `compatible` repeats what the published trainings did: random projection, codebooks started from the first
    rows of the first batch, unused codes overwritten by each batch's first rows, encoder gradient times Q.
    """

    codes: int
    code_dim: int
    quantizers: int
    ema_decay: float = 0.99
    dropout: float = 0.0  # chance that a training pass leaves out the last quantizers
    temperature: float = 0.0  # of the Gumbel noise on training searches; 0 takes the nearest code
    dead_below: float = 1.0  # moving-average count under which a code is drawn anew
    start: str = "kmeans"  # or "rows"
    gradient: str = "straight_through"  # or "rotation"
    compatible: bool = False


class VectorQuantizer(nn.Module):
    """One codebook; its three saved tensors have the names and shapes of the published files."""

    codebook: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("codebook", torch.zeros(config.codes, config.code_dim))
        self.embedding_proj = nn.Linear(config.code_dim, config.code_dim)
        if not config.compatible:
            # The moving averages live in the latent space already: the identity is where learning would end.
            nn.init.eye_(self.embedding_proj.weight)
            nn.init.zeros_(self.embedding_proj.bias)
        self.averages: books.Averages | None = None  # absent until the first training batch

    def effective(self) -> Tensor:
        """[K, D] codes as they are searched and looked up."""
        return self.embedding_proj(self.codebook)

    def search(self, rows: Tensor, book: Tensor, temperature: float = 0.0) -> Tensor:
        """Nearest code of every row; with a temperature, a draw with weights exp(-distance^2 / temperature).

        Args:
            rows: [M, D].
            book: [K, D] effective codebook.
            temperature: >= 0.
        Returns:
            [M] int64.
        """
        with torch.no_grad():
            distance = torch.addmm(book.square().sum(1), rows, book.t(), alpha=-2)
            if temperature > 0:
                distance = distance / temperature + torch.empty_like(distance).exponential_().log()
            return distance.argmin(dim=1)

    @torch.no_grad()
    def learn(self, rows: Tensor, codes: Tensor, generator: Generator | None = None) -> None:
        """Move the codebook towards the rows that chose it.

        Args:
            rows: [M, D].
            codes: [M] int64.
            generator: CPU generator, equal on all ranks, that draws replacements of dead codes.
        """
        if self.averages is None:
            raise ShapeError(
                "VectorQuantizer.learn: the codebook was never started; call start() or load averages."
            )
        rule = books.Rule(
            decay=self.config.ema_decay,
            dead_below=1.0 if self.config.compatible else self.config.dead_below,
            first_rows=self.config.compatible,
        )
        self.averages, updated = books.update(self.averages, rows.float(), codes, rule, generator)
        self.codebook = updated  # a new tensor: the backward pass still needs the old one

    @torch.no_grad()
    def start(self, rows: Tensor, generator: Generator | None = None) -> None:
        """Start the codebook from a batch's rows [M, D]; all ranks take rank 0's result."""
        first_rows = self.config.compatible or self.config.start == "rows"
        make = books.first_rows if first_rows else books.kmeans
        self.codebook.copy_(books.from_rank_zero(make(rows.float(), self.config.codes, generator)))
        self.averages = books.Averages.of(self.codebook)


class ResidualQuantizer(nn.Module):
    """Q codebooks, each for what the ones before it left over."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(VectorQuantizer(config) for _ in range(config.quantizers))

    def forward(self, latent: Tensor, generator: Generator | None = None) -> Quantized:
        """Quantise; in training mode also learn the codebooks.

        Args:
            latent: [B, N, D]; never changed in place.
            generator: CPU generator, equal on all ranks, for quantizer dropout and new codes.
        """
        rows = latent.reshape(-1, latent.shape[-1]).float()
        used = self._used(generator)
        total = torch.zeros_like(rows)
        codes, losses, perplexities = [], [], []
        for layer in self.books()[:used]:
            residual = rows - total.detach()
            code, vector = self._layer(layer, residual, generator)
            losses.append(F.mse_loss(residual, vector.detach()) + F.mse_loss(residual.detach(), vector))
            perplexities.append(books.perplexity(code, self.config.codes))
            codes.append(code)
            total = total + vector.detach()
        left_out = rows.new_full((len(rows),), DROPPED, dtype=torch.int64)
        codes += [left_out] * (self.config.quantizers - used)
        return Quantized(
            latent=self._pass_gradient(rows, total, used).view_as(latent),
            codes=torch.stack(codes, dim=-1).view(*latent.shape[:-1], -1),
            commitment=torch.stack(losses).mean(),
            perplexity=torch.stack(perplexities).mean(),
        )

    def encode(self, latent: Tensor) -> Tensor:
        """[B, N, D] to the nearest codes [B, N, Q] int64; learns nothing, in either mode."""
        residual = latent.reshape(-1, latent.shape[-1]).float()
        codes = []
        for layer in self.books():
            book = layer.effective()
            codes.append(layer.search(residual, book))
            residual = residual - F.embedding(codes[-1], book)
        return torch.stack(codes, dim=-1).view(*latent.shape[:-1], -1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Sum of the codes' vectors; DROPPED adds nothing.

        Args:
            codes: [B, N, q] int64 in [-1, K), q <= Q; missing quantizers count as DROPPED.
        Returns:
            [B, N, D].
        """
        self._check_codes(codes)
        total = torch.zeros((), device=codes.device)
        for layer, code in zip(self.books(), codes.unbind(-1), strict=False):
            vector = F.embedding(code.clamp(min=0), layer.effective())
            total = total + vector * (code != DROPPED).unsqueeze(-1)
        return total

    def books(self) -> list[VectorQuantizer]:
        """The Q codebooks, in order."""
        return [layer for layer in self.layers if isinstance(layer, VectorQuantizer)]

    def codebooks(self) -> Tensor:
        """[Q, K, D] effective codebooks."""
        return torch.stack([layer.effective() for layer in self.books()])

    def _layer(
        self, layer: VectorQuantizer, residual: Tensor, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(layer, VectorQuantizer)
        if self.training and layer.averages is None:
            layer.start(residual.detach(), generator)
        book = layer.effective()
        code = layer.search(residual.detach(), book, self.config.temperature if self.training else 0.0)
        vector = F.embedding(code, book)
        if self.training:
            layer.learn(residual.detach(), code, generator)
        return code, vector

    def _used(self, generator: Generator | None) -> int:
        started = all(
            layer.averages is not None for layer in self.layers
        )  # the first pass starts every codebook
        if not (self.training and started and self.config.dropout > 0):
            return self.config.quantizers
        if torch.rand((), generator=generator).item() >= self.config.dropout:
            return self.config.quantizers
        return int(torch.randint(self.config.quantizers, (), generator=generator).item()) + 1

    def _pass_gradient(self, rows: Tensor, total: Tensor, used: int) -> Tensor:
        if self.config.gradient == "rotation":
            return rotate_to(rows, total)
        gain = used if self.config.compatible else 1
        return gain * rows + (total - gain * rows).detach()

    def _check_codes(self, codes: Tensor) -> None:
        if codes.ndim != 3 or not 1 <= codes.shape[-1] <= self.config.quantizers:
            raise ShapeError(
                f"lookup: got codes {tuple(codes.shape)}, wanted [B, N, 1..{self.config.quantizers}]."
            )
        if codes.numel() and not (codes.min() >= DROPPED and codes.max() < self.config.codes):
            raise ShapeError(
                f"lookup: got codes from {codes.min()} to {codes.max()}, wanted -1..{self.config.codes - 1}. "
                "Were they made by another tokenizer?"
            )


def rotate_to(rows: Tensor, target: Tensor) -> Tensor:
    """`target`, with the gradient of the rotation that carries `rows` there (arXiv:2410.06424, sec. 4).

    Args:
        rows: [M, D].
        target: [M, D], no gradient taken.
    """
    from_norm = rows.detach().norm(dim=-1, keepdim=True).clamp(min=1e-6)
    to_norm = target.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    u, q = rows.detach() / from_norm, target / to_norm
    w = F.normalize(u + q, dim=-1, eps=1e-6)
    reflected = rows - 2 * (rows * w).sum(-1, keepdim=True) * w + 2 * (rows * u).sum(-1, keepdim=True) * q
    turned = reflected * (to_norm / from_norm)
    return turned + (target - turned).detach()
