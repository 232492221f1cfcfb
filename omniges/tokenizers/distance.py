"""Fréchet distance between the motion of one body part and its reconstruction.

Shapes: T frames, C channels of the part, W frames a window, D principal components.
The embedder is linear and has a closed form: the D strongest principal components of windows of the train
split, each scaled to unit variance there. It needs no training and no seed to be repeated, covers all four
parts, and what it measures grows when a tokenizer smooths motion away. Its values stand on a scale of their
own: they can't be compared with the evaluation's FGD, whose embedder sees the whole body.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from omniges.frechet import MIN_VECTORS, frechet, gaussian

WINDOW_FRAMES = 16
HOP_FRAMES = 4
COMPONENTS = 32
MOST_WINDOWS = 2000
"""More of the train split's windows than this change nothing in its covariance that matters."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class MotionEmbedder:
    """Windows of one part's motion to features."""

    mean: Array  # [W * C]
    components: Array  # [W * C, D], scaled so that the train split's features have unit variance
    train: Array  # [N, D] features of the train split

    @classmethod
    def of(cls, clips: Sequence[NDArray[np.floating]]) -> "MotionEmbedder | None":
        """Fit to the train split.

        Args:
            clips: [T, C] raw channels of each clip.
        Returns:
            None where there are too few windows, fewer than twice the components, to say anything.
        """
        windows = np.concatenate([*_windows(clips)]) if clips else np.zeros((0, 1))
        if len(windows) < 2 * COMPONENTS:
            return None
        windows = windows[:: -(-len(windows) // MOST_WINDOWS)].astype(np.float64)
        mean = windows.mean(axis=0)
        centred = windows - mean
        # The smaller of the two products has the same eigenvalues.
        wide = centred.shape[1] > len(centred)
        product = centred @ centred.T if wide else centred.T @ centred
        size = len(product)
        values, vectors = scipy.linalg.eigh(product, subset_by_index=(size - COMPONENTS, size - 1))
        values = np.maximum(values, values.max() * 1e-12)
        basis = centred.T @ vectors / np.sqrt(values) if wide else vectors
        components = basis / np.sqrt(values / (len(centred) - 1))
        return cls(mean, components, centred @ components)

    def features(self, clips: Sequence[NDArray[np.floating]]) -> Array:
        """[T, C] clips to [windows, D]; clips shorter than a window have none."""
        found = [(windows - self.mean) @ self.components for windows in _windows(clips)]
        return np.concatenate(found) if found else np.zeros((0, self.components.shape[1]))


def distance(truth: Array, found: Array) -> float | None:
    """Fréchet distance of two sets of features [N, D]; None where there are too few for a covariance."""
    if min(len(truth), len(found)) < MIN_VECTORS:
        return None
    return round(frechet(gaussian(truth), gaussian(found)), 6)


def _windows(clips: Sequence[NDArray[np.floating]]) -> Iterator[NDArray[np.floating]]:
    """[windows, W * C] of each clip that is long enough."""
    for clip in clips:
        if len(clip) >= WINDOW_FRAMES:
            cut = sliding_window_view(clip, WINDOW_FRAMES, axis=0)[::HOP_FRAMES]
            yield cut.reshape(len(cut), -1)
