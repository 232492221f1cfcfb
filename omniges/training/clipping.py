"""Clipping and the optimizer's step, in one pass over the gradients where that is possible."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType
from torch import Tensor, nn

EPSILON = 1e-6
"""Added to the norm, as `torch.nn.utils.clip_grad_norm_` does."""


def clip_and_step(
    accelerator: Accelerator,
    optimizer: AcceleratedOptimizer,
    parameters: Iterable[nn.Parameter],
    limit: float,
) -> Tensor:
    """Shorten the gradient to `limit` where it is longer, and take the optimizer's step.

    Args:
        accelerator: knows how gradients are distributed and scaled.
        optimizer: as accelerate wraps it; inside, torch's fused AdamW.
        parameters: all that learn.
        limit: the most that the gradient's Euclidean norm may be.
    Returns:
        the norm before.
    """
    whole = accelerator.distributed_type in (DistributedType.NO, DistributedType.MULTI_CPU)
    if accelerator.device.type == "cpu" and whole and accelerator.scaler is None:
        return clipped_step(optimizer.optimizer, parameters, limit)
    norm = accelerator.clip_grad_norm_(parameters, limit)
    optimizer.step()
    return norm


def clipped_step(
    optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], limit: float
) -> Tensor:
    """The same for gradients that lie here as a whole: fused AdamW divides them as it reads them, which
    spares a pass that reads and writes them all.
    """
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    optimizer.grad_scale = ((norm + EPSILON) / limit).clamp(min=1)  # type: ignore[attr-defined]
    try:
        optimizer.step()
    finally:
        del optimizer.grad_scale  # type: ignore[attr-defined]
    return norm
