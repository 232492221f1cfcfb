"""Errors against a clip's own ground truth, and the paired test of whether the right audio lowers them.

Conventions: an error is the mean over frames of the squared distance |x − x̂|² summed over a group's channels
    (units in
`kinematics.groups`, squared). A *sampled* gesture is further from the truth than a mean pose in this measure
even where it is perfect, since both the truth and the sample scatter; so like is compared with like: the same
model, the same noise, right against wrong audio.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.errors import EvaluationError
from omniges.evaluation.frechet import quantiles, resamples

Array = NDArray[np.float64]
GROUPS = ("jaw", "face", "wrists", "head")
"""Groups of the headline test; all others stand in the tables."""
CLAIM_CLIPS = 5
"""With fewer clips no interval supports a claim: even all of four signs agree by chance in one case of eight.
"""


def squared_errors(predicted: Mapping[str, Array], truth: Mapping[str, Array]) -> dict[str, float]:
    """Error of every group that both sides have, over the frames that both have."""
    return {name: squared_error(x, truth[name]) for name, x in predicted.items() if name in truth}


def squared_error(x: Array, y: Array) -> float:
    """Mean over frames of |x − y|², the longer side cut to the shorter.

    Raises:
        EvaluationError: no common frame.
    """
    n = min(len(x), len(y))
    if n == 0:
        raise EvaluationError("no frame is common to the result and its ground truth.")
    return float(((x[:n] - y[:n]) ** 2).sum(-1).mean())


@dataclass(frozen=True)
class Interval:
    """A mean over clips with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int  # clips

    @property
    def above_zero(self) -> bool:
        """Whether one may say so: never from fewer than `CLAIM_CLIPS` clips."""
        return self.low > 0 and self.n >= CLAIM_CLIPS

    @property
    def below_zero(self) -> bool:
        return self.high < 0 and self.n >= CLAIM_CLIPS

    @property
    def clear_of_zero(self) -> bool:
        return self.above_zero or self.below_zero

    def as_dict(self) -> dict[str, Any]:
        """JSON values; an interval that does not exist (one clip) is null."""
        ends = {"low": finite(self.low), "high": finite(self.high)}
        return {"value": self.value, **ends, "n": self.n, "clear_of_zero": self.clear_of_zero}


def finite(x: float) -> float | None:
    """x, or None where it is infinite or NaN."""
    return float(x) if np.isfinite(x) else None


def interval(values: Array, seed: int, n_bootstrap: int, weights: Array | None = None) -> Interval:
    """Mean over clips and percentile bootstrap interval.

    Args:
        values: [clips], one number a clip.
        seed: of the resamples.
        n_bootstrap: number of resamples.
        weights: [clips] lengths; None weighs clips alike.
    Raises:
        EvaluationError: no clip, or a value that is not finite.
    """
    x = np.asarray(values, np.float64)
    if len(x) == 0 or not np.isfinite(x).all():
        raise EvaluationError(
            f"interval: {len(x)} clips of which {np.isfinite(x).sum()} have a finite value."
        )
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    counts = resamples(len(x), n_bootstrap, seed) * w
    drawn = counts @ x / counts.sum(1)
    low, high = quantiles(drawn, len(x))
    return Interval(float(x @ w / w.sum()), low, high, len(x))


@dataclass(frozen=True)
class AudioEffect:
    """How much the right audio lowers one group's error."""

    group: str
    lower_by: Interval  # error(wrong) − error(right), in the group's squared unit
    explained: Interval  # the same over twice the error of the speaker's mean pose; see `audio_effect`
    share_of_clips: float  # clips whose error is lower with the right audio

    def in_words(self) -> str:
        if self.lower_by.above_zero:
            return f"{self.group}: the error is lower with the right audio, clear of zero"
        if self.lower_by.below_zero:
            return f"{self.group}: the error is HIGHER with the right audio, clear of zero"
        return f"{self.group}: right and wrong audio can't be told apart (the interval covers zero)"

    def as_dict(self) -> dict[str, Any]:
        return {
            "lower_by": self.lower_by.as_dict(),
            "explained": self.explained.as_dict(),
            "share_of_clips": self.share_of_clips,
            "in_words": self.in_words(),
        }


def audio_effect(
    group: str, right: Array, wrong: Array, mean_pose: Array, seed: int, n_bootstrap: int
) -> AudioEffect:
    """Paired test over clips.

    error(wrong) − error(right) = 2 (cov(truth, right) − cov(truth, wrong)), whether the model samples or
    predicts a mean; over twice the variance about the speaker's mean pose it is the share of variance that
    the model has from the audio, and for a perfect model equals the corpus's ceiling.

    Args:
        group: its name.
        right: [clips] errors with the clip's own audio.
        wrong: [clips] errors with another clip's audio, same noise.
        mean_pose: [clips] errors of the speaker's mean pose.
        seed: of the bootstrap.
        n_bootstrap: number of resamples.
    """
    difference = np.asarray(wrong, np.float64) - np.asarray(right, np.float64)
    scale = 2 * float(np.mean(mean_pose))
    if not scale > 0:
        raise EvaluationError(
            f"{group}: the ground truth never leaves the mean pose, so no share of its variance exists."
        )
    lower_by = interval(difference, seed, n_bootstrap)
    explained = interval(difference / scale, seed, n_bootstrap)
    return AudioEffect(group, lower_by, explained, float((difference > 0).mean()))
