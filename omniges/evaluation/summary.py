"""From scored clips to figures with intervals: variants, floors, effect of audio, comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.errors import EvaluationError
from omniges.evaluation import distances, frechet
from omniges.evaluation.diversity import spectral_distance
from omniges.evaluation.reconstruction import (
    CLAIM_CLIPS,
    AudioEffect,
    Interval,
    audio_effect,
    finite,
    interval,
)
from omniges.evaluation.scoring import ClipScore, VariantScores

Array = NDArray[np.float64]
MEASURES = (
    *("l1div", "bc", "bc_difference", "scorer_auc", "scorer_r1", "pause_ratio"),
    *("wrist_speed", "jerk", "foot_sliding", "root_drift"),
)
PART_EDGES: dict[str, tuple[int, ...]] = {
    "torso_head": (3, 4),
    "jaw_eyes": (5, 6, 7),
    "arms": (8, 14),
    "fingers": (9, 10, 11, 12, 13, 15, 16, 17, 18, 19),
    "root_legs": (0, 1, 2),
}
"""The embedder's last 20 edges (12 channels each) by body part; neighbouring edges mix on the way, so parts
overlap a little.
"""


@dataclass(frozen=True)
class Distance:
    """A distribution distance with its interval."""

    value: float
    low: float
    high: float
    n_clips: int
    n_vectors: int
    infinite: float | None = None  # extrapolated to infinitely many samples

    def as_dict(self) -> dict[str, Any]:
        return {
            k: finite(v) if isinstance(v, float) else v for k, v in self.__dict__.items() if v is not None
        }


@dataclass
class VariantSummary:
    """All figures of one variant."""

    label: str
    role: str
    n_clips: int
    n_frames: int
    fgd: Distance | None = None
    kid: Distance | None = None
    parts: dict[str, float] = field(default_factory=dict)
    speakers: dict[str, float] = field(default_factory=dict)
    overlap: distances.Overlap | None = None
    measures: dict[str, Interval] = field(default_factory=dict)
    rms_errors: dict[str, Interval] = field(default_factory=dict)
    r2: dict[str, float] = field(default_factory=dict)
    spectra: dict[str, float] = field(default_factory=dict)  # distance to the ground truth's, in decades
    notes: list[str] = field(default_factory=list)
    fgd_samples: Array | None = None  # under the bootstrap's resamples, in their order
    fgd_clips: list[str] = field(default_factory=list)  # that were resampled

    def as_dict(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "label": self.label,
            "role": self.role,
            "n_clips": self.n_clips,
            "n_frames": self.n_frames,
        }
        result["fgd"] = self.fgd.as_dict() if self.fgd else None
        result["fgd_draws"] = [] if self.fgd_samples is None else self.fgd_samples.tolist()
        result["fgd_clips"] = self.fgd_clips
        result["kid"] = self.kid.as_dict() if self.kid else None
        result["fgd_parts"], result["fgd_speakers"], result["r2"] = self.parts, self.speakers, self.r2
        if self.overlap:
            result["precision"], result["recall"] = self.overlap.precision, self.overlap.recall
        result["measures"] = {name: x.as_dict() for name, x in self.measures.items()}
        result["rms_errors"] = {name: x.as_dict() for name, x in self.rms_errors.items()}
        result["spectral_distance"] = self.spectra
        result["notes"] = self.notes
        return result


def summarise(
    scores: VariantScores,
    truth: VariantScores,
    mean_pose: VariantScores | None,
    seed: int,
    n: int,
    n_fgd: int,
) -> VariantSummary:
    """Figures of a variant against the ground truth of the same clips."""
    by_clip = {c.clip: c for c in truth.clips}
    clips = [c for c in scores.clips if c.clip in by_clip]
    paired = [by_clip[c.clip] for c in clips]
    result = VariantSummary(
        scores.variant.label, scores.variant.role, len(clips), sum(c.n_frames for c in clips)
    )
    if not clips:
        return result
    for name in MEASURES:
        x = scores.column(name)
        if np.isfinite(x).any():
            result.measures[name] = interval(x[np.isfinite(x)], seed, n)
    for group in sorted(clips[0].errors):
        x = scores.column(f"error/{group}")
        mean = interval(x[np.isfinite(x)], seed, n)
        # one clip has no interval: its bounds are infinite
        value, low, high = (float(np.sign(v) * np.sqrt(abs(v))) for v in (mean.value, mean.low, mean.high))
        result.rms_errors[group] = Interval(value, low, high, mean.n)
    if mean_pose is not None and scores.variant.role != "ground-truth":
        result.r2 = r_squared(scores, mean_pose)
    if scores.variant.role != "ground-truth":
        _distances(result, scores, clips, paired, seed, n_fgd)
        result.spectra = spectral_distances(clips, paired)
    return result


def r_squared(scores: VariantScores, mean_pose: VariantScores) -> dict[str, float]:
    """1 − error / error of the speaker's mean pose, by group; below 0 is usual for samples."""
    base = {c.clip: c.errors for c in mean_pose.clips}
    result = {}
    for group in sorted(set().union(*(c.errors for c in scores.clips))):
        pairs = [
            (c.errors[group], base[c.clip].get(group, 0.0))
            for c in scores.clips
            if c.clip in base and group in c.errors
        ]
        total = sum(b for _, b in pairs)
        if total > 0:
            result[group] = 1 - sum(e for e, _ in pairs) / total
    return result


def _distances(
    result: VariantSummary,
    scores: VariantScores,
    clips: Sequence[ClipScore],
    truth: Sequence[ClipScore],
    seed: int,
    n: int,
) -> None:
    kept = [(a, b) for a, b in zip(clips, truth, strict=True) if len(a.features) and len(b.features)]
    if not kept:
        return
    a, b = [x.features for x, _ in kept], [y.features[: len(x.features)] for x, y in kept]
    try:
        result.fgd, result.fgd_samples = fgd(a, b, seed, n)
        result.fgd_clips = [x.clip for x, _ in kept]
    except EvaluationError as error:
        result.notes.append(f"FGD: {error}")
        return
    joined_a, joined_b = np.concatenate(a), np.concatenate(b)
    for part, edges in PART_EDGES.items():
        channels = np.concatenate([np.arange(12 * e, 12 * e + 12) for e in edges])
        result.parts[part] = frechet.frechet_distance(joined_a[:, channels], joined_b[:, channels])
    if scores.face.n >= frechet.MIN_VECTORS:
        faces = scores.face.gaussian(), scores.true_face.gaussian()
        result.parts["expressions_raw"] = frechet.frechet(*faces)
    result.speakers = _by_speaker(kept)
    result.overlap = distances.overlap(joined_a, joined_b)
    if len(a) > 1:
        kernel = distances.kernel_distance(a, b, frechet.resamples(len(a), n, seed))
        low, high = frechet.quantiles(kernel.samples, len(a))
        result.kid = Distance(kernel.value, float(low), float(high), len(a), len(joined_a))
    else:
        result.notes.append("kernel distance: one clip only; no interval, and no unbiased value, exists")


def spectral_distances(clips: Sequence[ClipScore], truth: Sequence[ClipScore]) -> dict[str, float]:
    """`spectral_distance` of the mean spectra over clips, for speed and jerk."""
    return {
        name: spectral_distance(
            np.mean([c.spectra[name][1] for c in clips], axis=0),
            np.mean([c.spectra[name][1] for c in truth], axis=0),
        )
        for name in clips[0].spectra
    }


def fgd(
    a: Sequence[NDArray[np.floating]], b: Sequence[NDArray[np.floating]], seed: int, n: int
) -> tuple[Distance, Array]:
    """FGD of two sets by clip (same clips), its interval and the bootstrap samples behind it."""
    joined_a, joined_b = np.concatenate(a), np.concatenate(b)
    value = frechet.frechet_distance(joined_a, joined_b)
    infinite = frechet.extrapolated(joined_a, joined_b, seed)
    if len(a) < 2:
        return Distance(value, -np.inf, np.inf, len(a), len(joined_a), infinite), np.array([value])
    samples = frechet.bootstrap(a, b, frechet.resamples(len(a), n, seed))
    low, high = frechet.centred_interval(value, samples, len(a))
    return Distance(value, max(low, 0.0), high, len(a), len(joined_a), infinite), samples


def _by_speaker(kept: Sequence[tuple[ClipScore, ClipScore]]) -> dict[str, float]:
    result = {}
    for speaker in sorted({x.speaker for x, _ in kept}):
        own = [(x.features, y.features) for x, y in kept if x.speaker == speaker]
        a, b = (np.concatenate(side) for side in zip(*own, strict=True))
        if min(len(a), len(b)) >= frechet.MIN_VECTORS:
            result[str(speaker)] = frechet.frechet_distance(a, b)
    return result


def floors(
    train: Sequence[NDArray[np.floating]], test: Sequence[NDArray[np.floating]], seed: int
) -> dict[str, float]:
    """FGD between sets of real motion: what no model can be expected to beat.

    Args:
        train: features of train clips, a set by clip.
        test: features of test clips.
        seed: of the halving.
    """
    found = {}
    if train and test:
        found["train_vs_test"] = frechet.frechet_distance(np.concatenate(train), np.concatenate(test))
    if len(test) >= 4:
        order = np.random.default_rng(seed).permutation(len(test))
        halves = [
            np.concatenate([test[i] for i in half])
            for half in (order[: len(test) // 2], order[len(test) // 2 :])
        ]
        found["halves_of_test"] = frechet.frechet_distance(*halves)
    return found


def audio_effects(
    pairs: Sequence[tuple[VariantScores, VariantScores]], mean_pose: VariantScores, seed: int, n: int
) -> dict[str, AudioEffect]:
    """The paired test over clips, by group.

    Args:
        pairs: (right audio, wrong audio) of each seed, same noise within a pair.
        mean_pose: scores of the mean pose.
        seed: of the bootstrap.
        n: number of resamples.
    """
    base = {c.clip: c.errors for c in mean_pose.clips}
    sides = [({c.clip: c.errors for c in r.clips}, {c.clip: c.errors for c in w.clips}) for r, w in pairs]
    clips = sorted(set(base).intersection(*(set(r) & set(w) for r, w in sides))) if sides else []
    found: dict[str, AudioEffect] = {}
    if not clips:
        return found
    for group in sorted(set.intersection(*(set(r[c]) & set(w[c]) for r, w in sides for c in clips))):
        right, wrong = (np.array([np.mean([s[i][c][group] for s in sides]) for c in clips]) for i in (0, 1))
        still = np.array([base[c][group] for c in clips])
        if still.mean() > 0:
            found[group] = audio_effect(group, right, wrong, still, seed, n)
    return found


@dataclass(frozen=True)
class Comparison:
    """Whether two variants' FGD differ, on the same resampled clips."""

    better: str
    worse: str
    difference: float
    low: float
    high: float
    n_clips: int

    @property
    def clear(self) -> bool:
        return self.low > 0 and self.n_clips >= CLAIM_CLIPS

    def as_dict(self) -> dict[str, Any]:
        return {
            "better": self.better,
            "worse": self.worse,
            "difference": self.difference,
            "n_clips": self.n_clips,
            "low": finite(self.low),
            "high": finite(self.high),
            "clear_of_zero": self.clear,
            "in_words": self.in_words(),
        }

    def in_words(self) -> str:
        span = f"{self.difference:.3g} (95 % interval {self.low:.3g} to {self.high:.3g})"
        if self.n_clips < CLAIM_CLIPS:
            return (
                f"FGD of {self.better} is below that of {self.worse} by {self.difference:.3g}, "
                f"but {self.n_clips} clip(s) are too few to claim it"
            )
        if self.clear:
            return f"FGD of {self.better} is below that of {self.worse} by {span}: clear of zero"
        return f"FGD of {self.better} and {self.worse} can't be told apart: difference {span} covers zero"


def compare(summaries: Mapping[str, VariantSummary], a: str, b: str) -> Comparison | None:
    """Paired bootstrap of FGD(worse) − FGD(better); None where either has no FGD, or their clips differ in
    number.
    """
    x, y = summaries[a], summaries[b]
    if (
        x.fgd is None
        or y.fgd is None
        or x.fgd_samples is None
        or y.fgd_samples is None
        or x.n_clips != y.n_clips
    ):
        return None
    if x.fgd.value > y.fgd.value:
        x, y = y, x
    assert x.fgd and y.fgd and x.fgd_samples is not None and y.fgd_samples is not None  # noqa: PT018
    difference = y.fgd.value - x.fgd.value
    low, high = frechet.centred_interval(difference, y.fgd_samples - x.fgd_samples, x.n_clips)
    return Comparison(x.label, y.label, difference, low, high, x.n_clips)
