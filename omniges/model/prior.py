"""Where a flow may start: Gaussian noise with the second moments of motion (`model.noise: shaped`).

White noise says as much of what bodies never do as of what they always do. What is large in a gesture stands
out of it near t = 0, what is small near t = 1, and a network has to learn a matched filter for each flow time
to see either. Noise that is spread over channels and time as motion is keeps one distance from all of it: of
Gaussian motion the best estimate is then a number times x_t, E[x_1 | x_t] = t / (t^2 + (1 - t)^2) x_t, and
what is left to learn is what differs from that. (Noise fitted to the data: Lee et al. 2022, arXiv:2106.06406;
correlated along time: Ge et al. 2023, arXiv:2305.10474.)

Shapes: B batch, N tokens, X channels of a token, K principal components, H lags.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EXPLAINED = 0.99
"""Share of the variance that the components hold; what is left of the noise is white."""
MOST = 128
"""Components at most."""
LAGS = 80
"""Tokens over which a component is correlated with itself, at most."""
_JITTER = 1e-4
"""Added to the diagonal, for what rounding takes from a factor's spectrum."""
_SHORTEST = 128
"""Tokens of the shortest factor."""


class Prior(nn.Module):
    """Shapes white noise as motion, and says what x_t alone tells of x_1.

    Args:
        statistics: what `moments` found.
    """

    names = ("prior_mean", "prior_basis", "prior_scale", "prior_rest", "prior_correlation")
    mean: Tensor
    basis: Tensor
    scale: Tensor
    rest: Tensor
    correlation: Tensor

    def __init__(self, statistics: dict[str, Tensor]) -> None:
        super().__init__()
        for name in self.names:
            held = statistics[name].detach().float().clone(memory_format=torch.contiguous_format)
            self.register_buffer(name.removeprefix("prior_"), held)
        self._factors: dict[int, Tensor] = {}

    @property
    def components(self) -> int:
        """K."""
        return self.basis.shape[1]

    def shaped(self, white: Tensor) -> Tensor:
        """White noise [B, N, X] to that of motion about its mean [B, N, X]; the first tokens don't hang on
        how many follow.
        """
        inside = white @ self.basis
        moving = torch.einsum("knm,bmk->bnk", self._factor(white.shape[1]), inside) * self.scale
        return white * self.rest + (moving - inside * self.rest) @ self.basis.mT

    def told(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The estimate of x_1 that x_t alone gives, were motion Gaussian.

        Args:
            x_t: [B, N, X].
            t: [B, N] flow time of each token.
        Returns:
            [B, N, K] components, in their deviations.
        """
        weight = t / (t.square() + (1 - t).square())
        return weight[..., None] * ((x_t - self.mean) @ (self.basis / self.scale))

    def _factor(self, n_tokens: int) -> Tensor:
        """[K, N, N] lower triangles L; L L^T is the correlation of N tokens of a component."""
        # A power of two, so that few sizes are kept, and a size's rounding doesn't hang on what came before.
        size = max(_SHORTEST, 1 << (n_tokens - 1).bit_length())
        found = self._factors.get(size)
        if found is None or found.device != self.basis.device:
            place = torch.arange(size)
            lag = (place[:, None] - place).abs()
            known = nn.functional.pad(self.correlation.cpu().double(), (0, 1))
            matrix = known[:, lag.clamp(max=known.shape[1] - 1)] + _JITTER * torch.eye(size).double()
            found = torch.linalg.cholesky(matrix / (1 + _JITTER)).to(self.basis)
            self._factors[size] = found
        return found[:, :n_tokens, :n_tokens]


def moments(clips: Sequence[Tensor]) -> dict[str, Tensor]:
    """Mean and second moments of motion.

    Args:
        clips: [N, X] each, clean tokens as `A2G.tokens` gives them.
    Returns:
        `prior_mean` [X]; about it `prior_basis` [X, K] orthonormal; `prior_scale` [K] deviations along it;
        `prior_rest` [1] deviation of a channel outside it; `prior_correlation` [K, H] of a component with
        itself 0, 1, .. tokens later.
    """
    count = sum(map(len, clips))
    mean = torch.stack([clip.sum(0) for clip in clips]).sum(0) / count
    covariance = torch.zeros(2 * mean.shape)
    for clip in clips:
        covariance += (clip - mean).mT @ (clip - mean) / count
    variance, basis = torch.linalg.eigh(covariance)
    variance, basis = variance.flip(0).clamp(min=0), basis.flip(1)
    kept = min(MOST, 1 + int((variance.cumsum(0) < EXPLAINED * variance.sum()).sum()))
    basis, rest = basis[:, :kept].contiguous(), variance[kept:]
    products = torch.zeros(kept, LAGS)
    for found in ((clip - mean) @ basis for clip in clips):
        for lag in range(min(LAGS, len(found))):
            products[:, lag] += (found[lag:] * found[: len(found) - lag]).sum(0)
    # Sums that have fewer terms at longer lags, times a window of no negative power, have none either.
    return {
        "prior_mean": mean,
        "prior_basis": basis,
        "prior_scale": variance[:kept].sqrt().clamp(min=1e-6),
        "prior_rest": (rest.mean() if len(rest) else rest.new_zeros(())).sqrt()[None],
        "prior_correlation": parzen(LAGS) * products / products[:, :1].clamp(min=1e-12),
    }


def parzen(lags: int) -> Tensor:
    """Parzen's window, right half: 1 at lag 0, 0 from lag `lags` on; its spectrum is a fourth power of a sinc
    (Parzen 1961).
    """
    far = torch.arange(lags) / lags
    return torch.where(far < 0.5, 1 - 6 * far**2 * (1 - far), 2 * (1 - far) ** 3)
