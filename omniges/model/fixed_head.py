"""The code head once its weights don't change any more: what is the same for all tokens is made beforehand.

Part by part and level by level, nearness, precision and bias are one product of D + 1 numbers a token with a
matrix of D + 1 rows: what is left of the place, times the precision, meets the code vectors; the precision
alone meets minus half their squares.

Shapes: V variants, B batch, N tokens, M = V B N rows, P parts, Q quantizers, K codes, D code width, C token
    width, U head width.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from omniges.model.head import SHARPEST, CodeHead, Head
from omniges.products import FixedLinear, FixedProducts


class FixedCodeHead(Head):
    """Generates what `CodeHead.generate` does, up to rounding.

    Args:
        head: is kept as it is.
        dtype: of the products that may be rounded; places, nearness and sums of code vectors are float32.
    """

    def __init__(self, head: CodeHead, dtype: torch.dtype) -> None:
        super().__init__(head.codebooks, head.latent_std)
        self.head_width = head.head_width
        self.state = _linear(head.state, dtype)
        self.place = _linear(head.place, dtype)
        self.log_precision = _linear(head.log_precision, dtype)
        self.level = head.level.detach().float()
        exact, std = torch.float32, self.latent_std[:, None, None]
        levels = range(self.quantizers)
        self.coarser = [FixedProducts(head.coarser[:, q] / std, None, dtype) for q in levels]
        self.to_logits = [FixedProducts(head.to_logits[:, q], None, dtype) for q in levels]
        self.nearness, self.means = [], []
        for q in levels:
            codes = self.codebooks[:, q] / std
            halves = codes.square().sum(-1)[:, None] / 2
            self.nearness.append(
                FixedProducts(torch.cat([codes.transpose(1, 2), -halves], 1), head.bias[:, q], exact)
            )
            self.means.append(FixedProducts(self.codebooks[:, q], None, exact))

    @torch.no_grad()
    def generate(self, states: Tensor, weigh: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Build latents level by level, see `CodeHead.generate`."""
        with torch.autocast(states.device.type, enabled=False):
            return self._generate(states, weigh)

    def _generate(self, states: Tensor, weigh: Callable[[Tensor, int], Tensor]) -> Tensor:
        variants, size = len(states), states.shape[:-1]
        rows = states.flatten(0, 2)
        hidden, place = self._by_part(self.state(rows)), self._by_part(self.place(rows))
        precision = self.log_precision(rows).float().clamp(max=SHARPEST).exp()
        precision = precision.unflatten(-1, (self.parts, -1)).transpose(0, 1)  # [P, M, Q]
        latent = place.new_zeros(self.parts, len(rows) // variants, self.codebooks.shape[-1])
        for q in range(self.quantizers):
            told = latent.repeat(1, variants, 1)
            level = hidden + self.level[:, q, None]
            if q:
                level = level + self.coarser[q](told)
            active = F.silu(F.layer_norm(level, (self.head_width,)))
            rest = place - told / self.latent_std[:, None, None]
            sure = precision[..., q, None]
            logits = self.nearness[q](torch.cat([rest * sure, sure], -1))
            logits += self.to_logits[q](active)
            weights = weigh(logits.unflatten(1, size).transpose(0, 1), q)
            latent = latent + self.means[q](weights.float().flatten(1, 2))
        return latent.unflatten(1, size[1:]).permute(1, 2, 0, 3)

    def _by_part(self, x: Tensor) -> Tensor:
        """[M, P * .] to [P, M, .] float32."""
        return x.unflatten(-1, (self.parts, -1)).transpose(0, 1).float().contiguous()


def _linear(layer: torch.nn.Linear, dtype: torch.dtype) -> FixedLinear:
    return FixedLinear(layer.weight, layer.bias, dtype)
