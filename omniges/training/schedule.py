"""How much of the learning rate a step gets, and how long training lasts."""

import math

from omniges.config import TrainParams
from omniges.errors import TrainingError

FINAL_SHARE = 0.02
"""Share of the learning rate that is left at the last step."""


def learning_rate(step: int, train: TrainParams, total_steps: int) -> float:
    """Linear warm-up, then a cosine to FINAL_SHARE of the peak.

    Args:
        step: 0-based.
        train: peak rate and warm-up.
        total_steps: of the whole run.
    """
    if step < train.warmup_steps:
        return train.lr * (step + 1) / train.warmup_steps
    progress = (step - train.warmup_steps) / max(1, total_steps - train.warmup_steps)
    return train.lr * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def total_steps(train: TrainParams, n_windows: int, processes: int) -> int:
    """Optimizer steps of a run.

    Raises:
        TrainingError: there is nothing to train on.
    """
    if n_windows == 0:
        raise TrainingError(
            "train: the train split has no window. Its clips may be shorter than "
            f"train.window_frames = {train.window_frames}, or the split may be "
            "empty (see the ingest report), or empty in the shards that train.shards names."
        )
    steps = math.ceil(train.epochs * n_windows / global_batch(train, processes))
    return steps if train.max_steps is None else min(steps, train.max_steps)


def global_batch(train: TrainParams, processes: int) -> int:
    """Windows of one optimizer step, over all processes and accumulated passes."""
    return train.batch_per_process * train.accumulate * processes
