"""Fréchet distance between two sets of feature vectors, with what is needed to trust a difference.

Conventions: features are float64 [N, D], rows are vectors; a *set by clip* is a list of such arrays, one a
    clip. Distances are squared,
as the field reports them (unitless, scale of the encoder). Nothing here mutates its input.

Metrics: `omniges.frechet` (Dowson & Landau 1982), `extrapolated` (to infinite samples, Chong & Forsyth,
    arXiv:1911.07023).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from omniges.frechet import MIN_VECTORS as MIN_VECTORS
from omniges.frechet import Gaussian, frechet, gaussian, validate

Array = NDArray[np.float64]


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Fréchet distance of two sets [N, D] and [M, D]."""
    return frechet(gaussian(a), gaussian(b))


def frechet_emage(a: NDArray[np.floating], b: NDArray[np.floating], epsilon: float = 1e-6) -> float:
    """PantoMatrix's variant: `epsilon` on the covariances' diagonals under the root only, so equal sets score
    below zero.
    """
    ga, gb = gaussian(a), gaussian(b)
    ridge = epsilon * np.eye(len(ga.mean))
    padded = frechet(
        Gaussian(ga.mean, ga.covariance + ridge, ga.n), Gaussian(gb.mean, gb.covariance + ridge, gb.n)
    )
    return padded - 2 * epsilon * len(ga.mean)


@dataclass(frozen=True)
class ClipMoments:
    """Sums of a set by clip, from which any resample of clips is a weighted sum."""

    counts: Array  # [clips]
    sums: Array  # [clips, D]
    squares: Array  # [clips, D * D]

    @classmethod
    def of(cls, by_clip: Sequence[NDArray[np.floating]]) -> "ClipMoments":
        clips = [np.asarray(x, dtype=np.float64) for x in by_clip]
        # Centring on one common point keeps sum(x xᵀ) − n μ μᵀ from cancelling.
        return cls(
            np.array([len(x) for x in clips], dtype=np.float64),
            np.stack([x.sum(0) for x in clips]),
            np.stack([(x.T @ x).reshape(-1) for x in clips]),
        )

    def gaussian(self, weights: Array) -> Gaussian:
        """Gaussian of the set in which clip i stands `weights[i]` times."""
        n = float(weights @ self.counts)
        mean = weights @ self.sums / n
        second = (weights @ self.squares).reshape(len(mean), len(mean))
        return Gaussian(mean, (second - n * np.outer(mean, mean)) / (n - 1), int(n))


def resamples(n_clips: int, n: int, seed: int) -> Array:
    """[n, clips] counts of bootstrap resamples; equal for every variant, so that differences are paired."""
    return (
        np.random.default_rng(seed)
        .multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=n)
        .astype(np.float64)
    )


def bootstrap(a: Sequence[NDArray[np.floating]], b: Sequence[NDArray[np.floating]], weights: Array) -> Array:
    """Distances [n] under resampled clips, both sides resampled alike.

    Args:
        a: set by clip.
        b: set by clip, same clips in the same order.
        weights: [n, clips] from `resamples`.
    """
    origin = np.concatenate([np.asarray(x, dtype=np.float64) for x in b]).mean(0)
    moments_a = ClipMoments.of([x - origin for x in a])
    moments_b = ClipMoments.of([x - origin for x in b])
    return np.array([frechet(moments_a.gaussian(w), moments_b.gaussian(w)) for w in weights])


def centred_interval(point: float, samples: Array, n_clips: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval moved so that the samples' mean sits on the point.

    A resample holds fewer different clips than the set, so its distance is biased upwards; the spread is
    right, the place is not.
    """
    low, high = quantiles(samples, n_clips, level)
    shift = point - float(samples.mean())
    return low + shift, high + shift


def quantiles(samples: Array, n_clips: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval, expanded for small n (Hesterberg 2015, arXiv:1411.5279, sec. 3.3).

    The plain interval is too narrow for few clips: it lacks Student's t and the factor n / (n - 1).

    Args:
        samples: bootstrap values.
        n_clips: clips that were resampled.
        level: confidence.
    Returns:
        (low, high); infinite for a single clip, which says nothing about other clips.
    """
    if n_clips < 2:
        return -np.inf, np.inf
    t = scipy.stats.t.ppf((1 + level) / 2, n_clips - 1) * np.sqrt(n_clips / (n_clips - 1))
    tail = scipy.stats.norm.cdf(-t)
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def extrapolated(
    a: NDArray[np.floating], b: NDArray[np.floating], seed: int, sizes: int = 8, repeats: int = 3
) -> float | None:
    """Distance at infinitely many samples: a line through distances at several sizes N against 1 / N, read at
    0.

    Both sides are thinned to N vectors, since both are samples. None where there are too few vectors for a
    line (the smallest size must still exceed the width).
    """
    a, b = validate(a), validate(b)
    most = min(len(a), len(b))
    least = max(a.shape[1] + 1, most // 4)
    if most < 1.3 * least:
        return None
    rng = np.random.default_rng(seed)
    inverse, distances = [], []
    for n in np.unique(np.round(1 / np.linspace(1 / least, 1 / most, sizes)).astype(int)):
        for _ in range(repeats):
            picked_a, picked_b = rng.choice(len(a), n, replace=False), rng.choice(len(b), n, replace=False)
            inverse.append(1 / n)
            distances.append(frechet_distance(a[picked_a], b[picked_b]))
    return float(np.polyfit(inverse, distances, 1)[1])
