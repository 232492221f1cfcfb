"""From logits to weights of codes: guidance, temperature, nucleus.

Shapes: V variants, B batch, N tokens, P parts, K codes.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LEFT_OUT = -1e30
"""Logarithm of a weight that is zero beside any other. Infinity times zero would be no number."""


def guide(logits: Tensor, weights: Tensor) -> Tensor:
    """Classifier-free guidance, extrapolating from each deprived variant to the full one (arXiv:2207.12598).

    Args:
        logits: [V, ...]; variant 0 has heard and read everything.
        weights: [V], summing to 1; see `guidance_weights`.
    """
    if len(logits) == 1:
        return logits[0]
    return torch.tensordot(weights.to(logits.dtype), logits, dims=1)


def guidance_weights(scales: list[float]) -> Tensor:
    """Weights of the full variant and of one deprived variant for each scale: full + sum (scale - 1)(full -
    deprived).

    Args:
        scales: guidance of each withheld condition; 1 leaves the full variant as it is.
    Returns:
        [1 + len(scales)].
    """
    extra = [scale - 1.0 for scale in scales]
    return torch.tensor([1.0 + sum(extra), *(-value for value in extra)])


def nucleus(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """The distribution that codes are drawn from (arXiv:1904.09751).

    Args:
        logits: [..., K].
        temperature: divides the logits; 0 leaves the most probable code alone.
        top_p: the smallest set of codes with at least this probability is kept; so are codes exactly as
            probable as the least probable of them.
    Returns:
        [..., K] float32, logarithms of weights up to a constant for each distribution; `LEFT_OUT` or less for
        codes that aren't kept.
    """
    logits = logits.float()
    if temperature == 0:
        return (1 - F.one_hot(logits.argmax(-1), logits.shape[-1]).float()) * LEFT_OUT
    logits = logits / temperature
    if top_p >= 1:
        return logits
    probability = logits.softmax(-1)
    ordered = _descending(probability)
    reached = ordered.cumsum(-1)
    last = torch.searchsorted(reached, torch.full_like(reached[..., :1], top_p))
    least = ordered.gather(-1, last.clamp(max=logits.shape[-1] - 1))
    # A sum, since filling where a mask says so takes five times as long as all the rest of this line.
    return torch.add(logits, (probability < least).float(), alpha=LEFT_OUT)


def _descending(values: Tensor) -> Tensor:
    """[..., K] float32, sorted. On the CPU NumPy does it ten times as fast, since it needs no places."""
    if values.device.type == "cpu":
        return torch.from_numpy(-np.sort(-values.numpy(), axis=-1))
    return values.sort(dim=-1, descending=True).values


def draw(log_weight: Tensor, gumbel: Tensor, softness: float) -> Tensor:
    """One code for each distribution, where the Gumbel noise lifts its logarithm highest.

    Args:
        log_weight: [..., K] from `nucleus`.
        gumbel: [..., K] standard Gumbel noise; equal noise and distributions give equal codes.
        softness: 0 draws one code; above, nearly as high ones mix in (the concrete distribution's
            temperature, arXiv:1611.00712).
    Returns:
        [..., K] float32, one-hot or, with softness, a mixture.
    """
    raised = log_weight + gumbel
    if softness == 0:
        return F.one_hot(raised.argmax(-1), raised.shape[-1]).float()
    return (raised / softness).softmax(-1)
