"""Mean and standard deviation of channels, added up clip by clip in float64 (Chan, Golub & LeVeque 1983)."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.errors import DataError

_ROWS = 128
"""Cast to float64 at a time: they stay in the processor's cache, which halves the time."""


@dataclass
class Accumulator:
    """Statistics of all rows seen so far; memory does not grow with them."""

    count: int = 0
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # [W]
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # [W] about the mean

    def add(self, rows: NDArray[np.floating]) -> None:
        """Take in rows [N, W]."""
        if len(rows) == 0:
            return
        mean, squares = _moments(rows)
        if self.count == 0:
            self.count, self.mean, self.squares = len(rows), mean, squares
            return
        total = self.count + len(rows)
        step = mean - self.mean
        self.squares = self.squares + squares + np.square(step) * (self.count * len(rows) / total)
        self.mean = self.mean + step * (len(rows) / total)
        self.count = total

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation, [W] each; a channel that never changes gets std 1, so it maps to 0.

        Raises:
            DataError: no row was added.
        """
        if self.count == 0:
            raise DataError("statistics: got no rows, wanted at least one train clip. Check the train split.")
        std = np.sqrt(np.maximum(self.squares, 0.0) / self.count)
        # Rounding leaves a little spread in constant channels: below a millionth of the mean it is noise.
        still = std <= 1e-6 * np.maximum(np.abs(self.mean), 1e-3)
        return self.mean.astype(np.float32), np.where(still, 1.0, std).astype(np.float32)


def _moments(rows: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of rows [N, W], N > 0, and the sum of squares about it, [W] each.

    Sums are taken about the first row, so that they don't cancel where the mean is far from zero.
    """
    n, width = rows.shape
    first = rows[0].astype(np.float64)
    sums, squares = np.zeros(width), np.zeros(width)
    held = torch.empty(min(n, _ROWS), width, dtype=torch.float64)
    for start in range(0, n, _ROWS):
        piece = np.array(rows[start : start + _ROWS])  # torch takes no array that can't be written to
        block = held[: len(piece)].copy_(torch.from_numpy(piece)).numpy()  # twice as fast as numpy's cast
        block -= first
        sums += np.ones(len(block)) @ block
        squares += np.einsum("ij,ij->j", block, block)
    return first + sums / n, squares - np.square(sums) / n
