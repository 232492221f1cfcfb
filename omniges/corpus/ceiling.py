"""How much of the motion a perfect listener could predict, by drawing the hidden part again and again.

For some clips the speech stays and everything hidden (unrelated plan, flips, posture, steps, blinks) is drawn
anew K times. With V the variance of a track over all draws, clips and frames of a speaker, and H the variance
over the draws of one frame, the best R² from speech is 1 - E[H] / V (law of total variance).
"""

from dataclasses import dataclass

import numpy as np

from omniges.config import CorpusParams
from omniges.corpus.clips import Cast, make_motion
from omniges.corpus.controls import Floats
from omniges.corpus.statistics import tracks

GROUPS = ("wrist_height", "wrist_speed", "head", "jaw", "expressions")
CLIPS = 2  # of a speaker
TAKES = 6


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Variances of one group, summed over its channels."""

    total: float
    hidden: float


def spread(draws: Floats) -> Spread:
    """Split the variance.

    Args:
        draws: [clips, K, T, C] a speaker's tracks; K draws of what is hidden for the same speech.
    """
    hidden = draws.var(axis=1, ddof=1).mean(axis=(0, 1)).sum()
    return Spread(total=float(draws.reshape(-1, draws.shape[-1]).var(axis=0).sum()), hidden=float(hidden))


def measure(params: CorpusParams, whole: Cast) -> dict[str, Spread]:
    """Variances of a speaker's groups, from the last clips (the test split's)."""
    parts = whole.parts[-CLIPS:]
    groups = [
        [tracks(make_motion(params, whole, part, take)) for take in range(1, TAKES + 1)] for part in parts
    ]
    return {
        name: spread(np.array([[getattr(take, name) for take in clip] for clip in groups])) for name in GROUPS
    }


def ceilings(speakers: list[dict[str, Spread]]) -> dict[str, float]:
    """R² by group over all speakers; near 0 it may fall slightly below, as any estimate does."""
    return {
        name: 1.0 - sum(one[name].hidden for one in speakers) / sum(one[name].total for one in speakers)
        for name in GROUPS
    }
