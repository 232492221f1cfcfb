"""Which windows a step sees: a pure function of (seed, step), so that a resumed run goes on where it
stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch

from omniges.training.draws import seed_of


@dataclass(frozen=True, kw_only=True)
class Order:
    """Windows in shuffled epochs, dealt out to processes.

    Every epoch is a permutation of all windows; epochs follow each other without a gap, so that no window
    is dropped.
    """

    seed: int
    n_windows: int
    batch: int  # windows of one pass of one process
    accumulate: int  # passes a step
    processes: int
    rank: int

    def places(self, micro: int) -> list[int]:
        """Places in the step's global batch that this process computes in its pass `micro`."""
        first = (micro * self.processes + self.rank) * self.batch
        return list(range(first, first + self.batch))

    def windows(self, step: int, micro: int) -> list[int]:
        """Indices of the windows of one pass."""
        base = step * self.batch * self.accumulate * self.processes
        return [self._window(base + place) for place in self.places(micro)]

    def batches(self, first_step: int, last_step: int) -> Iterator[list[int]]:
        """A batch sampler: windows of every pass from `first_step` to before `last_step`."""
        for step in range(first_step, last_step):
            for micro in range(self.accumulate):
                yield self.windows(step, micro)

    def _window(self, position: int) -> int:
        epoch, place = divmod(position, self.n_windows)
        return int(_permutation(self.seed, epoch, self.n_windows)[place])


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed_of(seed, "epoch", epoch))
    return torch.randperm(n, generator=generator)
