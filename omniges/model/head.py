"""The code head: logits for every part and quantizer, each quantizer knowing what the coarser ones chose.

A residual code has no meaning without the codes before it, so level q is predicted from the token's state
and the sum of the
code vectors of levels 0 to q-1: the true ones in training, the sampled ones in generation.

Shapes: B batch, N tokens, P parts, Q quantizers, K codes, D code width, C token width, U head width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class CodePrediction:
    """What the head says when it is told the true coarser codes."""

    log_probability: Tensor  # [B, N, P, Q, K] nats
    latent: Tensor  # [B, N, P, D]: expected code vectors, summed over the quantizers


class CodeHead(nn.Module):
    """Token states to code logits.

    Args:
        width: C.
        head_width: U.
        codebooks: [P, Q, K, D] effective code vectors; constants, kept as a buffer.
        latent_std: [P] standard deviation of the summed code vectors on the train split.
    """

    codebooks: Tensor
    latent_std: Tensor

    def __init__(self, width: int, head_width: int, codebooks: Tensor, latent_std: Tensor) -> None:
        super().__init__()
        parts, quantizers, codes, code_dim = codebooks.shape
        self.register_buffer("codebooks", codebooks.detach().clone())
        self.register_buffer("latent_std", latent_std.detach().clone())
        self.parts, self.quantizers, self.head_width = parts, quantizers, head_width
        self.state = nn.Linear(width, parts * head_width)
        self.coarser = nn.Parameter(
            torch.randn(parts, quantizers, code_dim, head_width) / math.sqrt(code_dim)
        )
        self.level = nn.Parameter(torch.zeros(parts, quantizers, head_width))
        self.to_logits = nn.Parameter(
            torch.randn(parts, quantizers, head_width, codes) / math.sqrt(head_width) / 4
        )
        self.bias = nn.Parameter(torch.zeros(parts, quantizers, codes))

    def vectors(self, codes: Tensor) -> Tensor:
        """Code vectors of every level: codes [B, N, P, Q] int64 to [B, N, P, Q, D]."""
        part = torch.arange(self.parts, device=codes.device)[:, None]
        quantizer = torch.arange(self.quantizers, device=codes.device)[None]
        return self.codebooks[part, quantizer, codes]

    def forward(self, states: Tensor, codes: Tensor) -> CodePrediction:
        """Predict every level, told the true codes of the coarser ones.

        Args:
            states: [B, N, C].
            codes: [B, N, P, Q] int64, the true codes.
        """
        vectors = self.vectors(codes)
        before = vectors.cumsum(dim=3) - vectors
        before = before / self.latent_std[:, None, None]
        hidden = self._states(states)[:, :, :, None] + torch.einsum("bnpqd,pqdu->bnpqu", before, self.coarser)
        hidden = self._activate(hidden + self.level)
        logits = torch.einsum("bnpqu,pquk->bnpqk", hidden, self.to_logits) + self.bias
        # One softmax serves both losses; over so many codes it takes a tenth of the step.
        log_probability = logits.float().log_softmax(-1)
        latent = torch.einsum("bnpqk,pqkd->bnpd", log_probability.exp(), self.codebooks)
        return CodePrediction(log_probability=log_probability, latent=latent)

    def generate(self, states: Tensor, weigh: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Build latents level by level.

        Args:
            states: [V, B, N, C], V variants of the same tokens (for guidance).
            weigh: (logits [V, B, N, P, K], level) -> weight of each code [B, N, P, K]; one-hot where a code
                is
                drawn, the distribution itself where its mean is wanted. How variants are combined is its
                affair.
        Returns:
            [B, N, P, D] weighted code vectors, summed over the levels.
        """
        hidden = self._states(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        size = (*states.shape[1:3], self.parts, self.codebooks.shape[-1])
        latent = hidden.new_zeros(size, dtype=torch.float32)
        for q in range(self.quantizers):
            level = hidden + self.level[:, q]
            if q:
                told = (latent / self.latent_std[:, None]).to(hidden.dtype)
                level = level + torch.einsum("bnpd,pdu->bnpu", told, self.coarser[:, q])
            logits = torch.einsum("vbnpu,puk->vbnpk", self._activate(level), self.to_logits[:, q])
            weights = weigh(logits + self.bias[:, q], q)
            # What is moved comes from this sum, so it is exact under autocast too.
            with torch.autocast(states.device.type, enabled=False):
                latent = latent + torch.einsum("bnpk,pkd->bnpd", weights.float(), self.codebooks[:, q])
        return latent

    def _states(self, states: Tensor) -> Tensor:
        return self.state(states).unflatten(-1, (self.parts, self.head_width))

    def _activate(self, hidden: Tensor) -> Tensor:
        return F.silu(F.layer_norm(hidden, (self.head_width,)))
