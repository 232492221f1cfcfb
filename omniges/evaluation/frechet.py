"""Fréchet distance between two sets of feature vectors, with what is needed to trust a difference.

Conventions: features are float64 [N, D], rows are vectors; a *set by clip* is a list of such arrays, one a
    clip. Distances are squared,
as the field reports them (unitless, scale of the encoder). Nothing here mutates its input.

Metrics: `omniges.frechet` (Dowson & Landau 1982), `extrapolated` (to infinite samples, Chong & Forsyth,
    arXiv:1911.07023).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from omniges.errors import EvaluationError
from omniges.frechet import MIN_VECTORS as MIN_VECTORS
from omniges.frechet import Gaussian, frechet, gaussian, validate

Array = NDArray[np.float64]
RESAMPLES_AT_ONCE, CLIPS_AT_ONCE = 100, 16
"""Blocks in which the bootstrap works, so that its memory depends on neither number."""


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


class Moments:
    """Sums from which the Gaussian of a set follows; memory does not grow with the vectors that are added."""

    def __init__(self, width: int) -> None:
        self.n = 0
        self.total: Array = np.zeros(width)
        self.second: Array = np.zeros((width, width))

    def add(self, x: NDArray[np.floating]) -> None:
        """Add vectors [N, D]."""
        x = np.asarray(x, dtype=np.float64)
        self.n += len(x)
        self.total += x.sum(0)
        self.second += x.T @ x

    def gaussian(self) -> Gaussian:
        """Gaussian of all that was added.

        Raises:
            EvaluationError: too few vectors, or NaN or infinity among them.
        """
        if self.n < MIN_VECTORS:
            raise EvaluationError(f"{self.n} vectors, wanted at least {MIN_VECTORS}.")
        if not np.isfinite(self.second).all():
            raise EvaluationError(f"NaN or infinite values among {self.n} vectors.")
        return _from_sums(self.n, self.total, self.second)


def _from_sums(n: float, total: Array, second: Array) -> Gaussian:
    mean = total / n
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
    found = []
    for start in range(0, len(weights), RESAMPLES_AT_ONCE):
        rows = weights[start : start + RESAMPLES_AT_ONCE]
        pairs = zip(resampled(a, rows, origin), resampled(b, rows, origin), strict=True)
        found += [frechet(x, y) for x, y in pairs]
    return np.array(found)


def resampled(by_clip: Sequence[NDArray[np.floating]], weights: Array, origin: Array) -> Iterator[Gaussian]:
    """Gaussian of every resample, from sums over blocks of clips: [resamples, D²] is all that is held.

    Args:
        by_clip: set by clip.
        weights: [n, clips]; clip i stands `weights[:, i]` times.
        origin: [D] that is taken off, lest sum(x xᵀ) − n μ μᵀ cancel.
    """
    d = len(origin)
    totals, second = np.zeros((len(weights), d)), np.zeros((len(weights), d * d))
    for start in range(0, len(by_clip), CLIPS_AT_ONCE):
        block = slice(start, start + CLIPS_AT_ONCE)
        clips = [np.asarray(x, dtype=np.float64) - origin for x in by_clip[block]]
        totals += weights[:, block] @ np.stack([x.sum(0) for x in clips])
        second += weights[:, block] @ np.stack([(x.T @ x).reshape(-1) for x in clips])
    counts = weights @ np.array([len(x) for x in by_clip], dtype=np.float64)
    for n, total, squares in zip(counts, totals, second, strict=True):
        yield _from_sums(n, total, squares.reshape(d, d))


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
