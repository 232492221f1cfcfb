"""An exponential moving average of the weights; what is validated and saved."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Average of a module's parameters, on the same device; buffers are constants here and need none.

    Args:
        module: the module that is trained; with sharded parameters, each process averages its own shard.
        decay: share of the old average that a step keeps, reached gradually: (1 + step) / (10 + step) at
            first.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = dict(module.named_parameters())
        torch._foreach_lerp_(list(self.average.values()), [parameters[n] for n in self.average], 1 - decay)

    @contextmanager
    @torch.no_grad()
    def swapped(self, module: nn.Module) -> Iterator[None]:
        """Put the average into the module for the block's duration."""
        kept = {name: p.detach().clone() for name, p in module.named_parameters()}
        self._put(module, self.average)
        try:
            yield
        finally:
            self._put(module, kept)

    def state(self) -> dict[str, Tensor]:
        return dict(self.average)

    def load(self, state: dict[str, Tensor]) -> None:
        """Take back `state`; keys must be the module's."""
        for name, value in self.average.items():
            value.copy_(state[name])

    @staticmethod
    def _put(module: nn.Module, values: dict[str, Tensor]) -> None:
        for name, parameter in module.named_parameters():
            parameter.copy_(values[name])
