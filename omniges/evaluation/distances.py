"""Distances and overlaps of feature sets beside FGD: an unbiased kernel distance, precision and recall.

Conventions as in `frechet`: a set by clip is a list of [N_i, D] arrays. Vectors of one clip are neighbours in
time, so pairs of one clip are never counted: what is independent here is the clip, not the vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omniges.errors import EvaluationError

Array = NDArray[np.float64]
MAX_VECTORS = 6000
"""Kernel sums grow with the square of the vectors; above this every clip is thinned evenly in time."""


def thin(by_clip: Sequence[NDArray[np.floating]], limit: int = MAX_VECTORS) -> list[Array]:
    """Take every k-th vector of each clip so that about `limit` remain."""
    step = max(1, -(-sum(len(x) for x in by_clip) // limit))
    return [np.asarray(x[::step], dtype=np.float64) for x in by_clip]


def polynomial_kernel(a: Array, b: Array) -> Array:
    """(a·b / D + 1)³, the kernel of KID (Bińkowski et al. 2018, arXiv:1801.01401)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def clip_kernel_means(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """[clips of a, clips of b]: mean kernel value between every two clips."""
    joined = np.concatenate(b)
    sizes = np.array([len(y) for y in b])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = [np.add.reduceat(polynomial_kernel(x, joined).mean(0), starts) / sizes for x in a]
    return np.stack(rows)


@dataclass(frozen=True)
class KernelDistance:
    """Unbiased MMD² and its bootstrap samples over clips."""

    value: float
    samples: Array  # [n], fewer where a resample held one clip only


def kernel_distance(
    a: Sequence[NDArray[np.floating]], b: Sequence[NDArray[np.floating]], weights: Array
) -> KernelDistance:
    """Unbiased squared MMD over clips: only pairs of different clips count, within and across the sets.

    Args:
        a: set by clip.
        b: the same clips' other set, in the same order.
        weights: [n, clips] bootstrap counts.
    Raises:
        EvaluationError: fewer than two clips.
    """
    if len(a) < 2:
        raise EvaluationError(
            f"kernel distance: {len(a)} clip(s), wanted at least 2 (pairs of one clip are not independent)."
        )
    x, y = thin(a), thin(b)
    cross = clip_kernel_means(x, y)
    h = clip_kernel_means(x, x) + clip_kernel_means(y, y) - cross - cross.T
    sizes = np.array([min(len(p), len(q)) for p, q in zip(x, y, strict=True)], dtype=np.float64)

    def statistic(counts: Array) -> float:
        w = counts * sizes
        pairs = np.outer(w, w)
        np.fill_diagonal(pairs, 0)
        total = pairs.sum()
        return float((pairs * h).sum() / total) if total else np.nan

    drawn = np.array([statistic(w) for w in weights])
    return KernelDistance(statistic(np.ones(len(x))), drawn[np.isfinite(drawn)])


@dataclass(frozen=True)
class Overlap:
    """Share of generated vectors near real ones (precision) and of real vectors near generated ones (recall,
    coverage).
    """

    precision: float
    recall: float


def overlap(
    generated: NDArray[np.floating], real: NDArray[np.floating], k: int = 3, limit: int = 3000
) -> Overlap:
    """Precision and recall by k-nearest-neighbour balls (Kynkäänniemi et al. 2019, arXiv:1904.06991)."""
    a = np.asarray(generated, dtype=np.float64)[:: max(1, -(-len(generated) // limit))]
    b = np.asarray(real, dtype=np.float64)[:: max(1, -(-len(real) // limit))]
    if min(len(a), len(b)) <= k:
        raise EvaluationError(
            f"precision and recall: {len(a)} and {len(b)} vectors, wanted more than {k} on both sides."
        )
    across = _squared_distances(a, b)
    return Overlap(
        precision=float((across <= _radius(b, k)[None]).any(1).mean()),
        recall=float((across <= _radius(a, k)[:, None]).any(0).mean()),
    )


def _squared_distances(a: Array, b: Array) -> Array:
    return np.clip((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0, None)


def _radius(x: Array, k: int) -> Array:
    """[N]: squared distance to the k-th neighbour (itself not counted)."""
    return np.partition(_squared_distances(x, x), k, axis=1)[:, k]
