"""Fréchet distance of two Gaussians, in float64.

The distance is squared, as the field reports it (unitless, scale of the features). Nothing here mutates its
input.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from omniges.errors import EvaluationError, ShapeError

Array = NDArray[np.float64]
MIN_VECTORS = 8
"""Below this no covariance worth the name exists."""


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and covariance [D, D] of a set of vectors."""

    mean: Array
    covariance: Array
    n: int


def validate(features: NDArray[np.floating], name: str = "features") -> Array:
    """Return the features as float64 [N, D].

    Raises:
        ShapeError: not two axes.
        EvaluationError: too few vectors, or NaN or infinity among them.
    """
    checked: Array = np.asarray(features, dtype=np.float64)
    if checked.ndim != 2:
        raise ShapeError(f"{name}: got shape {checked.shape}, wanted [N, D].")
    if len(checked) < MIN_VECTORS:
        raise EvaluationError(
            f"{name}: {len(checked)} vectors, wanted at least {MIN_VECTORS}; score more or longer clips."
        )
    if not np.isfinite(checked).all():
        raise EvaluationError(
            f"{name}: NaN or infinite values among {len(checked)} vectors; the motion itself is not finite."
        )
    return checked


def gaussian(features: NDArray[np.floating]) -> Gaussian:
    """Mean and unbiased covariance of [N, D]."""
    x = validate(features)
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.T @ centred / (len(x) - 1), len(x))


def frechet(a: Gaussian, b: Gaussian) -> float:
    """|μ_a − μ_b|² + tr(C_a + C_b − 2 (C_a^½ C_b C_a^½)^½).

    The trace of the root is the sum of roots of the eigenvalues of the SYMMETRIC matrix Rᵀ C_b R with C_a = R
    Rᵀ (R by Cholesky, or by eigenvectors where C_a is rank-deficient), so it is real by construction: no
    complex root, no epsilon, no 1e10.
    """
    if a.mean.shape != b.mean.shape:
        raise ShapeError(
            f"Fréchet distance: widths {a.mean.shape} and {b.mean.shape}; encode both with one network."
        )
    difference = a.mean - b.mean
    root = _factor(a.covariance)
    eigenvalues = scipy.linalg.eigh(
        root.T @ b.covariance @ root, eigvals_only=True, check_finite=False, overwrite_a=True
    )
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    value = difference @ difference + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(0.0, float(value))  # below zero by rounding only


def _factor(covariance: Array) -> Array:
    """R with R Rᵀ = covariance."""
    try:
        factor: Array = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        diagonal = np.diag(factor)
        if diagonal.min() > 1e-7 * diagonal.max():  # else the factor is noise
            return factor
    except scipy.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(covariance, check_finite=False)
    return vectors * np.sqrt(np.clip(values, 0, None))
