"""From logits to codes: guidance, temperature, nucleus.

Shapes: V variants, B batch, N tokens, P parts, K codes.
"""

import torch
from torch import Tensor


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


def pick(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw a code from the nucleus of its distribution (arXiv:1904.09751), by inverting the cumulative sum.

    Args:
        logits: [..., K].
        uniform: [...] in [0, 1), one number a draw; equal numbers and equal logits give equal codes.
        temperature: divides the logits; 0 takes the most probable code.
        top_p: the smallest set of codes with at least this probability is kept, renormalised.
    Returns:
        [...] int64.
    """
    if temperature == 0:
        return logits.argmax(-1)
    probability = (logits.float() / temperature).softmax(-1)
    if top_p >= 1:
        return _invert(probability, uniform)
    probability, order = probability.sort(dim=-1, descending=True)
    before = probability.cumsum(-1) - probability
    probability = probability.masked_fill(before >= top_p, 0.0)
    return order.gather(-1, _invert(probability, uniform)[..., None])[..., 0]


def _invert(probability: Tensor, uniform: Tensor) -> Tensor:
    cumulative = probability.cumsum(-1)
    # The largest index that may come out is the last one with any probability, however rounding falls.
    point = uniform.to(cumulative.dtype)[..., None] * cumulative[..., -1:]
    last = (probability > 0).to(torch.int64).cumsum(-1).argmax(-1)
    return torch.minimum(torch.searchsorted(cumulative, point, right=True)[..., 0], last)
