"""What token states say of the gesture: codes (the default) or, in a latent flow, the latents themselves.

The code head: logits for every part and quantizer, each quantizer knowing what the coarser ones chose.

A residual code has no meaning without the codes before it, so level q is predicted from the token's state
and the sum of the
code vectors of levels 0 to q-1: the true ones in training, the sampled ones in generation.

A tokenizer gives each latent the codes nearest to what is left of it, and the head knows that: it regresses
the latent's place, and a code's logit grows with its nearness to the rest of that place, times a precision of
its own for each token and level, plus free logits for what isn't a matter of distance. Free logits alone
would have to learn every code's neighbourhood from examples.

Shapes: B batch, N tokens, P parts, Q quantizers, K codes, D code width, C token width, U head width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VAGUE = -3.0
"""Log precision that training starts with: too sure a head would be sure of wrong codes, and learn slowly."""
SHARPEST = 4.0
"""Log precision is cut here, so that a clean gesture can't push it without end."""


@dataclass(frozen=True, kw_only=True)
class CodePrediction:
    """What a head says; the code head, when it is told the true coarser codes."""

    log_probability: Tensor | None  # [B, N, P, Q, K] nats; None from a head that knows no codes
    latent: Tensor  # [B, N, P, D]: expected code vectors, summed over the quantizers


class Head(nn.Module):
    """The tokenizers' code vectors, which every head is measured by.

    Args:
        codebooks: [P, Q, K, D] effective code vectors; constants, kept as a buffer.
        latent_std: [P] standard deviation of the summed code vectors on the train split.
    """

    codebooks: Tensor
    latent_std: Tensor

    def __init__(self, codebooks: Tensor, latent_std: Tensor) -> None:
        super().__init__()
        self.register_buffer("codebooks", codebooks.detach().clone())
        self.register_buffer("latent_std", latent_std.detach().clone())
        self.parts, self.quantizers = codebooks.shape[:2]

    def vectors(self, codes: Tensor) -> Tensor:
        """Code vectors of every level: codes [B, N, P, Q] int64 to [B, N, P, Q, D]."""
        # Whole rows are copied, which takes a small part of what gathering them number by number does.
        count = self.codebooks.shape[2]
        first = count * torch.arange(self.parts * self.quantizers, device=codes.device)
        rows = (codes + first.view(self.parts, self.quantizers)).flatten()
        return self.codebooks.flatten(0, 2).index_select(0, rows).view(*codes.shape, -1)


class LatentHead(Head):
    """Token states to latents, for a flow among latents, where chance is in the noise alone (GestureLSM).

    Args:
        width: C.
        codebooks: see `Head`.
        latent_std: see `Head`.
    """

    def __init__(self, width: int, codebooks: Tensor, latent_std: Tensor) -> None:
        super().__init__(codebooks, latent_std)
        self.place = nn.Linear(width, self.parts * codebooks.shape[-1])

    def forward(self, states: Tensor, codes: Tensor) -> CodePrediction:
        """States [B, N, C] to the expected latent; the true codes are of no use here."""
        return CodePrediction(log_probability=None, latent=self.latents(states))

    def latents(self, states: Tensor) -> Tensor:
        """[..., C] to [..., P, D] float32, in the tokenizers' units."""
        return self.place(states).float().unflatten(-1, (self.parts, -1)) * self.latent_std[:, None]


class CodeHead(Head):
    """Token states to code logits.

    Args:
        width: C.
        head_width: U.
        codebooks: see `Head`.
        latent_std: see `Head`.
    """

    def __init__(self, width: int, head_width: int, codebooks: Tensor, latent_std: Tensor) -> None:
        super().__init__(codebooks, latent_std)
        parts, quantizers, codes, code_dim = codebooks.shape
        self.head_width = head_width
        self.state = nn.Linear(width, parts * head_width)
        self.coarser = nn.Parameter(
            torch.randn(parts, quantizers, code_dim, head_width) / math.sqrt(code_dim)
        )
        self.level = nn.Parameter(torch.zeros(parts, quantizers, head_width))
        self.to_logits = nn.Parameter(
            torch.randn(parts, quantizers, head_width, codes) / math.sqrt(head_width) / 4
        )
        self.bias = nn.Parameter(torch.zeros(parts, quantizers, codes))
        self.place = nn.Linear(width, parts * code_dim)
        self.log_precision = nn.Linear(width, parts * quantizers)
        nn.init.zeros_(self.log_precision.weight)
        nn.init.constant_(self.log_precision.bias, VAGUE)

    def forward(self, states: Tensor, codes: Tensor) -> CodePrediction:
        """Predict every level, told the true codes of the coarser ones.

        Args:
            states: [B, N, C].
            codes: [B, N, P, Q] int64, the true codes.
        """
        vectors = self.vectors(codes)
        before = _by_level((vectors.cumsum(dim=3) - vectors) / self.latent_std[:, None, None])
        hidden = torch.bmm(before, self.coarser.flatten(0, 1)).unflatten(0, (self.parts, -1))
        hidden = hidden + _by_part(self._states(states))[:, None] + self.level[:, :, None]
        logits = torch.bmm(self._activate(hidden).flatten(0, 1), self.to_logits.flatten(0, 1))
        place = _by_part(self._places(states))[:, None].expand(-1, self.quantizers, -1, -1).flatten(0, 1)
        precision = self._precisions(states).flatten(0, 1).permute(1, 2, 0).flatten(0, 1)
        # Differences of large, nearly equal numbers: bfloat16 would mix up neighbouring codes.
        with torch.autocast(states.device.type, enabled=False):
            logits = self._nearer(logits.float(), place.float() - before, precision.float()[..., None])
        # One softmax serves both losses; over so many codes it takes a tenth of the step.
        log_probability = logits.log_softmax(-1)
        latent = torch.bmm(log_probability.exp(), self.codebooks.flatten(0, 1))
        levels, tokens = (self.parts, self.quantizers), codes.shape[:2]
        log_probability = log_probability.unflatten(0, levels).unflatten(2, tokens)
        latent = latent.float().unflatten(0, levels).sum(1).unflatten(1, tokens)
        return CodePrediction(
            log_probability=log_probability.permute(2, 3, 0, 1, 4), latent=latent.permute(1, 2, 0, 3)
        )

    def generate(self, states: Tensor, weigh: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Build latents level by level.

        Args:
            states: [V, B, N, C], V variants of the same tokens (for guidance).
            weigh: (logits [V, P, B, N, K], level) -> weight of each code [P, B, N, K]; one-hot where a code
                is drawn, the distribution itself where its mean is wanted. How variants are combined is its
                affair.
        Returns:
            [B, N, P, D] weighted code vectors, summed over the levels.
        """
        hidden = self._states(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        place = self._places(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        precision = self._precisions(states)
        size = (*states.shape[1:3], self.parts, self.codebooks.shape[-1])
        latent = hidden.new_zeros(size, dtype=torch.float32)
        for q in range(self.quantizers):
            level = hidden + self.level[:, q]
            told = latent / self.latent_std[:, None]
            if q:
                level = level + torch.einsum("bnpd,pdu->bnpu", told.to(hidden.dtype), self.coarser[:, q])
            logits = torch.einsum("vbnpu,puk->vbnpk", self._activate(level), self.to_logits[:, q])
            # One level of the same product that `forward` makes of all.
            nearness = self._nearness((place - told)[:, :, :, :, None], slice(q, q + 1))[:, :, :, :, 0]
            nearness = nearness * precision[..., q, None]
            weights = weigh((logits + self.bias[:, q] + nearness).movedim(3, 1), q)
            # What is moved comes from this sum, so it is exact under autocast too.
            with torch.autocast(states.device.type, enabled=False):
                latent = latent + torch.einsum("pbnk,pkd->bnpd", weights.float(), self.codebooks[:, q])
        return latent

    def _states(self, states: Tensor) -> Tensor:
        return self.state(states).unflatten(-1, (self.parts, self.head_width))

    def _places(self, states: Tensor) -> Tensor:
        return self.place(states).unflatten(-1, (self.parts, -1))

    def _nearness(self, rest: Tensor, levels: slice) -> Tensor:
        """Minus half the squared distance of what is left to every code, up to a constant: [..., P, Q, D] to
        [..., P, Q, K].
        """
        codes = self.codebooks[:, levels] / self.latent_std[:, None, None, None]
        # Differences of large, nearly equal numbers: bfloat16 would mix up neighbouring codes.
        with torch.autocast(rest.device.type, enabled=False):
            return torch.einsum("...pqd,pqkd->...pqk", rest.float(), codes) - codes.square().sum(-1) / 2

    def _nearer(self, logits: Tensor, rest: Tensor, precision: Tensor) -> Tensor:
        """Add bias, and nearness (see `_nearness`) times precision, to logits of P x Q levels: all float32,
        logits [P Q, M, K], rest [P Q, M, D], precision [P Q, M, 1].
        """
        std = self.latent_std.repeat_interleave(self.quantizers)[:, None, None]
        codes = self.codebooks.flatten(0, 1)
        # What is the same for all tokens but for its weight is a product of two columns.
        square = torch.linalg.vector_norm(codes, dim=-1, keepdim=True).mT.square() / std.square()
        logits = torch.baddbmm(logits, rest * (precision / std), codes.mT)
        columns = torch.cat([precision, torch.ones_like(precision)], -1)
        return torch.baddbmm(logits, columns, torch.cat([square / -2, self.bias.flatten(0, 1)[:, None]], 1))

    def _precisions(self, states: Tensor) -> Tensor:
        """How well the place is known: [..., C] to [..., P, Q], positive."""
        return self.log_precision(states).clamp(max=SHARPEST).exp().unflatten(-1, (self.parts, -1))

    def _activate(self, hidden: Tensor) -> Tensor:
        return F.silu(F.layer_norm(hidden, (self.head_width,)))


def _by_level(x: Tensor) -> Tensor:
    """[B, N, P, Q, D] to [P Q, B N, D]."""
    return x.flatten(0, 1).permute(1, 2, 0, 3).flatten(0, 1)


def _by_part(x: Tensor) -> Tensor:
    """[B, N, P, D] to [P, B N, D]."""
    return x.flatten(0, 1).transpose(0, 1)
