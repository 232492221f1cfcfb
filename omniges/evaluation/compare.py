"""Do two runs differ? A paired bootstrap over the clips that both scored, from the reports of both.

Figures are compared clip by clip (the mean over a run's seeds), since clips differ far more from each other
than runs do. FGD has no value a clip: both runs' distances under the SAME resamples of clips, which
report.json holds, are subtracted. Only figures of one encoder, one scorer and one split are ever compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from omniges.errors import EvaluationError
from omniges.evaluation.frechet import centred_interval
from omniges.evaluation.reconstruction import CLAIM_CLIPS, GROUPS, Interval, interval
from omniges.files import read_json

Array = NDArray[np.float64]
Better = Literal["higher", "lower"]
ByClip = Mapping[str, float]
HIGHER = {"scorer_auc": "AUC of the scorer", "scorer_r1": "R@1 of the scorer"}
NEAR = {
    "bc_difference": "ΔBC",
    "pause_ratio": "speed in pauses over speech",
    "wrist_speed": "wrist speed",
    "jerk": "jerk",
    "l1div": "L1Div",
    "foot_sliding": "foot sliding",
    "root_drift": "root drift",
}
"""Best near the ground truth's value: their distance to it is compared. BC is left out: it can't tell ground
truth from smooth noise.
"""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What a report says of its model, clip by clip."""

    label: str
    split: str
    encoder: str | None  # SHA-256 of FGD's network, with the length it is fed
    scorer: str | None
    fgd: float | None
    fgd_draws: Array  # under the resamples that `resampled` names; empty where there is no FGD
    resampled: tuple[Any, ...]
    values: Mapping[str, ByClip]  # measure or "error/GROUP", mean over seeds
    wrong: Mapping[str, ByClip]  # "error/GROUP" with wrong audio
    still: Mapping[str, ByClip]  # "error/GROUP" of the mean pose
    truth: Mapping[str, ByClip]  # measure of the ground truth


@dataclass(frozen=True)
class Difference:
    """One figure of both runs."""

    name: str
    better: Better
    a: float
    b: float
    by: Interval  # b − a

    @property
    def winner(self) -> Literal["a", "b"] | None:
        """Whose figure is better, clear of zero."""
        if not self.by.clear_of_zero:
            return None
        return "b" if self.by.above_zero == (self.better == "higher") else "a"

    def as_dict(self) -> dict[str, Any]:
        row = {"name": self.name, "better": self.better, "a": self.a, "b": self.b}
        return row | {"b_minus_a": self.by.as_dict(), "winner": self.winner}


@dataclass(frozen=True)
class RunComparison:
    """All figures that both runs have, and why others could not be compared."""

    a: str
    b: str
    clips: int
    differences: Sequence[Difference]
    left_out: Sequence[str]

    def won_by(self, side: Literal["a", "b"]) -> list[str]:
        return [x.name for x in self.differences if x.winner == side]

    def in_words(self) -> list[str]:
        """The answer, in sentences."""
        if self.clips < CLAIM_CLIPS:
            return [f"Only {self.clips} clip(s) were scored in both runs: too few to claim any difference."]
        lines = [
            f"{label} is better, clear of zero, in: {', '.join(names)}."
            for label, names in ((self.a, self.won_by("a")), (self.b, self.won_by("b")))
            if names
        ]
        n, told = len(self.differences), len(self.won_by("a")) + len(self.won_by("b"))
        if not told:
            lines = [f"{self.a} and {self.b} can't be told apart: every interval covers zero."]
        elif told < n:
            lines.append(f"In the other {n - told} figures they can't be told apart.")
        lines.append(
            f"{n} figures at 95 % over {self.clips} clips: about {0.05 * n:.1g} would be clear of zero by "
            "chance alone."
        )
        return lines

    def as_dict(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            "clips": self.clips,
            "in_words": self.in_words(),
            "figures": [x.as_dict() for x in self.differences],
            "left_out": list(self.left_out),
        }


def read_side(folder: Path, label: str) -> Side:
    """Read a report.

    Args:
        folder: holds report.json and clips.parquet, as `evaluate` writes them.
        label: how the run is called.
    Raises:
        EvaluationError: no report, or one of a version before comparisons were possible.
    """
    for name in ("report.json", "clips.parquet"):
        if not (folder / name).is_file():
            raise EvaluationError(f"{folder}: no {name}; wanted a folder that `evaluate` wrote.")
    full = read_json(folder / "report.json")
    if "bootstrap" not in full:
        raise EvaluationError(f"{folder}/report.json: of an older version; run the stage `evaluate` again.")
    rows = pq.read_table(folder / "clips.parquet").to_pylist()
    models = [x for x in full["variants"].values() if x["role"] == "model" and x["fgd"]]
    encoder = full["encoder"]
    return Side(
        label=label,
        split=full["split"],
        encoder=f"{encoder['sha256']} {encoder['context']}" if encoder else None,
        scorer=full["scorer_sha256"],
        fgd=float(np.mean([x["fgd"]["value"] for x in models])) if models else None,
        fgd_draws=np.mean([x["fgd_draws"] for x in models], axis=0) if models else np.zeros(0),
        resampled=(full["bootstrap"]["seed"], *sorted({tuple(x["fgd_clips"]) for x in models})),
        values=_by_clip(rows, "model"),
        wrong=_by_clip(rows, "wrong-audio"),
        still=_by_clip([r for r in rows if r["variant"] == "mean-pose"], "baseline"),
        truth=_by_clip(rows, "ground-truth"),
    )


def _by_clip(rows: Sequence[Mapping[str, Any]], role: str) -> dict[str, dict[str, float]]:
    """Column → clip → mean over the variants of a role; errors are called error/GROUP."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in (r for r in rows if r["role"] == role):
        for column, value in row.items():
            if isinstance(value, float) and np.isfinite(value):
                name = f"error/{column[6:]}" if column.startswith("error_") else column
                found.setdefault(name, {}).setdefault(row["clip"], []).append(value)
    return {name: {c: float(np.mean(v)) for c, v in clips.items()} for name, clips in found.items()}


def compare_runs(a: Side, b: Side, seed: int, n_bootstrap: int) -> RunComparison:
    """Every figure that both runs have.

    Args:
        a: one run.
        b: the other; differences are b − a.
        seed: of the bootstrap.
        n_bootstrap: resamples of clips.
    Raises:
        EvaluationError: other splits, or no clip in common.
    """
    if a.split != b.split:
        raise EvaluationError(
            f"{a.label} was scored on the split '{a.split}', {b.label} on '{b.split}'; wanted one split."
        )
    clips = sorted(_clips(a) & _clips(b))
    if not clips:
        raise EvaluationError(f"{a.label} and {b.label} have no scored clip in common.")
    if not _same_truth(a, b):
        raise EvaluationError(
            f"{a.label} and {b.label} were scored against different ground truth (another corpus, rate or "
            "version of it), so their figures can't be compared."
        )
    left_out: list[str] = []
    found = [*_distance(a, b, left_out), *_listening(a, b, clips, seed, n_bootstrap)]
    for name, title in HIGHER.items():
        if a.scorer != b.scorer:
            if a.scorer and b.scorer:
                left_out.append(f"{title}: another scorer in each run")
            continue
        found += _paired(title, "higher", a.values.get(name), b.values.get(name), seed, n_bootstrap)
    for name, title in NEAR.items():
        sides = [_away(side.values.get(name), side.truth.get(name)) for side in (a, b)]
        found += _paired(f"{title}, away from the truth", "lower", sides[0], sides[1], seed, n_bootstrap)
    for name in sorted(x for x in a.values if x.startswith("error/")):
        title = f"squared error of {name[6:].replace('_', ' ')}"
        found += _paired(title, "lower", a.values[name], b.values.get(name), seed, n_bootstrap)
    return RunComparison(a.label, b.label, len(clips), found, left_out)


def _clips(side: Side) -> set[str]:
    return set().union(*side.values.values())


def _same_truth(a: Side, b: Side) -> bool:
    """Whether both reports saw the same motion, by measures that need no encoder."""
    for name in ("l1div", "wrist_speed"):
        x, y = a.truth.get(name, {}), b.truth.get(name, {})
        if not all(np.isclose(x[clip], y[clip], rtol=1e-5) for clip in x.keys() & y.keys()):
            return False
    return True


def _away(values: ByClip | None, truth: ByClip | None) -> ByClip:
    if values is None or truth is None:
        return {}
    return {clip: abs(x - truth[clip]) for clip, x in values.items() if clip in truth}


def _paired(
    name: str, better: Better, a: ByClip | None, b: ByClip | None, seed: int, n: int
) -> list[Difference]:
    clips = sorted(set(a or {}) & set(b or {}))
    if not clips or a is None or b is None:
        return []
    x, y = (np.array([side[clip] for clip in clips]) for side in (a, b))
    return [Difference(name, better, float(x.mean()), float(y.mean()), interval(y - x, seed, n))]


def _listening(a: Side, b: Side, clips: Sequence[str], seed: int, n: int) -> list[Difference]:
    """Variance that the right audio explains, by group; see `reconstruction.audio_effect`."""
    found = []
    for group in GROUPS:
        column = f"error/{group}"
        still = [a.still.get(column, {}).get(clip, np.nan) for clip in clips]
        scale = 2 * float(np.mean(still))
        if not scale > 0:
            continue
        x, y = (_heard(side, column, scale) for side in (a, b))
        found += _paired(f"share of {group} that the audio explains", "higher", x, y, seed, n)
    return found


def _heard(side: Side, column: str, scale: float) -> ByClip:
    right = side.values.get(column, {})
    return {c: (wrong - right[c]) / scale for c, wrong in side.wrong.get(column, {}).items() if c in right}


def _distance(a: Side, b: Side, left_out: list[str]) -> list[Difference]:
    """FGD under the same resamples; why not, where that can't be."""
    if a.fgd is None or b.fgd is None:
        left_out.append("FGD: not in both reports")
    elif a.encoder != b.encoder:
        left_out.append("FGD: another encoder in each run, so the figures have no common scale")
    elif a.resampled != b.resampled or len(a.resampled) != 2 or len(a.fgd_draws) != len(b.fgd_draws):
        left_out.append("FGD: other clips or another bootstrap in each run; evaluate both alike")
    else:
        difference, clips = b.fgd - a.fgd, len(a.resampled[1])
        low, high = centred_interval(difference, b.fgd_draws - a.fgd_draws, clips)
        return [Difference("FGD", "lower", a.fgd, b.fgd, Interval(difference, low, high, clips))]
    return []
