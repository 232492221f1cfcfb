"""Normalisation of one part's channels, from the train split only."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omniges.errors import TrainingError
from omniges.motion.layout import PARTS, TRANS_SLICE

FLOOR = 1e-3
"""Smallest standard deviation of a rot6d or expression channel: a still joint must not be magnified."""
TRANS_FLOOR = 1e-4
"""The same for translation channels, metres (x and z: metres per frame)."""


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of a part's channels."""

    mean: NDArray[np.float32]  # [C]
    std: NDArray[np.float32]  # [C]


def measure(part: str, clips: Iterable[NDArray[np.floating]]) -> Statistics:
    """Mean and standard deviation over all frames, in float64, with a floor under the deviation.

    Args:
        part: name of the body part.
        clips: [T, C] raw channels of each train clip.
    """
    total, count = np.zeros(PARTS[part].width), 0
    squares = np.zeros_like(total)
    shift: NDArray[np.float64] | None = None
    for clip in clips:
        values = np.asarray(clip, np.float64)
        shift = values[0] if shift is None else shift  # keeps the difference of squares well-conditioned
        total += (values - shift).sum(axis=0)
        squares += np.square(values - shift).sum(axis=0)
        count += len(values)
    if shift is None:
        raise TrainingError(
            f"tokenizer {part}: the train split is empty. Look into the ingest report for clips that were "
            "left out, and at data.speakers in params.yaml."
        )
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return Statistics(
        mean=(mean + shift).astype(np.float32), std=np.maximum(std, floors(part)).astype(np.float32)
    )


def floors(part: str) -> NDArray[np.float64]:
    """[C] smallest standard deviations allowed."""
    channels = PARTS[part].channels
    is_trans = (channels >= TRANS_SLICE.start) & (channels < TRANS_SLICE.stop)
    return np.where(is_trans, TRANS_FLOOR, FLOOR)
