"""The chance behind the choice of codes: Gumbel noise that changes slowly along time.

argmax(log p + Gumbel noise) draws from p exactly (Gumbel 1954; the "Gumbel-max trick", Maddison et al.,
arXiv:1411.0030). Drawn anew for each token, codes that p leaves open would jump 7 times a second, which no
body does. So the noise is a stationary Gaussian process along the tokens, mapped to Gumbel's distribution:
each token's choice still follows p, and neighbouring ones agree as long as p doesn't change its mind.

Shapes: N tokens, P parts, L levels, K codes.
"""

import math

import torch
from torch import Generator, Tensor

REACH = 2.0
"""The kernel's half-length, in its standard deviations."""


class ChoiceNoise:
    """One clip's noise, token after token, however its windows overlap.

    Args:
        generator: the clip's own.
        size: (P, L, K).
        coherence: standard deviation, in tokens, of the Gaussian kernel that smooths the noise; 0 for none.
    """

    def __init__(self, generator: Generator, size: tuple[int, int, int], coherence: float) -> None:
        self._generator, self._size = generator, size
        reach = math.ceil(REACH * coherence)
        taps = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (taps / coherence) ** 2) if coherence else torch.ones(1)
        self._kernel = kernel / kernel.square().sum().sqrt()
        self._white = torch.zeros(0, *size)
        self._first = 0  # token that the first row of `_white` belongs to

    def ahead(self, start: int, n_tokens: int, drawn: int | None = None) -> Tensor:
        """Gumbel noise of tokens `start` to `start + n_tokens`; nothing before `start` is asked for again.

        Args:
            start: first token.
            n_tokens: n.
            drawn: tokens from `start` on whose white noise the generator gives now, n or more; None for n.
        Returns:
            [n_tokens, P, L, K] float32 on the CPU.
        """
        self._white, self._first = self._white[start - self._first :], start
        wanted = (n_tokens if drawn is None else drawn) + len(self._kernel) - 1 - len(self._white)
        if wanted > 0:
            fresh = torch.randn(wanted, *self._size, generator=self._generator)
            self._white = torch.cat([self._white, fresh])
        # Token by token: that stays in the cache, and a token's sum doesn't hang on how many are asked for.
        white, reach = self._white.flatten(1), len(self._kernel)
        found = [gumbel_from_normal(self._kernel @ white[first : first + reach]) for first in range(n_tokens)]
        return torch.stack(found).unflatten(1, self._size)


def gumbel_from_normal(x: Tensor) -> Tensor:
    """Standard normal numbers to standard Gumbel ones of the same rank, -log(-log Phi(x)); always finite.

    In float32 by the tail's probability, which is exact to rounding on either side; cut beyond 13 deviations.
    """
    tail = x.abs().mul_(math.sqrt(0.5)).erfc_().mul_(0.5).clamp_(min=torch.finfo(torch.float32).tiny)
    low, high = tail.log(), tail.neg_().log1p_()
    # One of the two, by a weight of 0 or 1, which takes a third of the time that a choice does.
    return high.lerp_(low, (x < 0).float()).neg_().log_().neg_()
