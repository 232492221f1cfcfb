"""Starting and moving a codebook: moving averages, k-means, dead codes, several ranks.

Shapes: M rows, D channels, K codes. With torch.distributed running, every rank ends with the same codebook:
sums and counts are added over ranks, and what is drawn is rank 0's draw.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch import distributed as dist

from omniges.errors import ShapeError


@dataclass(frozen=True)
class Averages:
    """Moving averages behind a codebook; a resumed training needs them as much as the weights."""

    total: Tensor  # [K, D]
    count: Tensor  # [K]

    @classmethod
    def of(cls, codebook: Tensor) -> "Averages":
        return cls(codebook.clone(), torch.ones(len(codebook), device=codebook.device))


@dataclass(frozen=True)
class Rule:
    decay: float
    dead_below: float  # count under which a code is replaced by a row of the batch
    first_rows: bool  # the published rule: replacements are the batch's first rows, averages are kept


def update(
    averages: Averages, rows: Tensor, codes: Tensor, rule: Rule, generator: Generator | None = None
) -> tuple[Averages, Tensor]:
    """One moving-average step (van den Oord et al. 2017, appendix A.1).

    Args:
        averages: before the step.
        rows: [M, D].
        codes: [M] int64, the code each row chose.
        rule: decay and the fate of unused codes.
        generator: CPU generator for drawing replacements.
    Returns:
        averages after the step and the codebook [K, D].
    """
    size = len(averages.count)
    total, count = summed_by_code(rows, codes, size)
    packed = _add_over_ranks(torch.cat([total, count[:, None]], dim=1))
    total = torch.lerp(packed[:, :-1], averages.total, rule.decay)
    count = torch.lerp(packed[:, -1], averages.count, rule.decay)
    dead = (count < rule.dead_below).unsqueeze(1)
    if rule.first_rows:
        fresh = from_rank_zero(first_rows(rows, size, generator))
        return Averages(total, count), torch.where(dead, fresh, total / count.unsqueeze(1))
    fresh = from_rank_zero(random_rows(rows, size, generator))
    total = torch.where(dead, fresh, total)
    count = torch.where(dead.squeeze(1), 1.0, count)
    return Averages(total, count), total / count.unsqueeze(1)


def summed_by_code(rows: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sum [K, D] and number [K] of the rows of each code, without a one-hot matrix."""
    total = rows.new_zeros(size, rows.shape[1]).index_add_(0, codes, rows)
    return total, torch.bincount(codes, minlength=size).to(rows.dtype)


def perplexity(codes: Tensor, size: int) -> Tensor:
    """Exponential of the entropy of code use: 1 if one code is used, `size` if all are used alike."""
    share = _add_over_ranks(torch.bincount(codes, minlength=size).float())
    share = share / share.sum()
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())


def first_rows(rows: Tensor, size: int, generator: Generator | None = None) -> Tensor:
    """The first K rows; fewer rows are repeated with a little noise (0.01 / sqrt(D))."""
    _check_rows(rows)
    if len(rows) >= size:
        return rows[:size]
    repeated = rows.repeat(-(-size // len(rows)), 1)[:size]
    return repeated + _noise(repeated, generator)


def random_rows(rows: Tensor, size: int, generator: Generator | None = None) -> Tensor:
    """K rows drawn without repeating any before all were drawn; repeats carry a little noise."""
    _check_rows(rows)
    order = torch.randperm(len(rows), generator=generator).to(rows.device)
    return first_rows(rows[order], size, generator)


def kmeans(rows: Tensor, size: int, generator: Generator | None = None, rounds: int = 10) -> Tensor:
    """K centres by Lloyd's rounds from random rows; a centre that loses its rows stays where it is."""
    centres = random_rows(rows, size, generator)
    for _ in range(rounds):
        nearest = torch.addmm(centres.square().sum(1), rows, centres.t(), alpha=-2).argmin(dim=1)
        total, count = summed_by_code(rows, nearest, size)
        centres = torch.where(count[:, None] > 0, total / count[:, None].clamp(min=1), centres)
    return centres


def from_rank_zero(value: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank."""
    if not _many_ranks():
        return value
    value = value.contiguous().clone()
    dist.broadcast(value, src=0)
    return value


def _add_over_ranks(value: Tensor) -> Tensor:
    if _many_ranks():
        dist.all_reduce(value)
    return value


def _many_ranks() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _noise(like: Tensor, generator: Generator | None) -> Tensor:
    noise: Any = torch.randn(like.shape, generator=generator)
    return noise.to(like) * (0.01 / like.shape[1] ** 0.5)


def _check_rows(rows: Tensor) -> None:
    if len(rows) == 0:
        raise ShapeError("codebook: got a batch without rows, wanted at least one latent.")
