"""Scores of what moves by speech on the held-out clips: many sampled seeds, right and wrong audio.

R² here is that of the mean over seeds, on the five groups of tracks whose ceiling the corpus card gives,
about the speaker's train mean; dividing by the ceiling says how much of what can be known from speech the
model knows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from takes import Take

from omniges.config import Params
from omniges.corpus.ceiling import GROUPS
from omniges.corpus.statistics import tracks
from omniges.evaluation import embedder as embedders
from omniges.evaluation import scorer as scorers
from omniges.evaluation import summary
from omniges.evaluation.baselines import as_motion, joined
from omniges.evaluation.baselines import folder as baseline_folder
from omniges.evaluation.diversity import between_seeds
from omniges.evaluation.kinematics import kinematics
from omniges.evaluation.listening import swap_distance
from omniges.evaluation.scoring import (
    Judge,
    Reference,
    Result,
    Role,
    Variant,
    VariantScores,
    from_folder,
    score_variants,
)
from omniges.evaluation.sources import clips_of, motion_of
from omniges.evaluation.stage import read_references
from omniges.files import read_json
from omniges.types import Motion
from omniges.workspace import Workspace

Array = NDArray[np.float64]
Tracks = dict[str, Array]
MEASURES = ("scorer_auc", "foot_sliding", "wrist_speed", "jerk", "l1div")
EXPLAINED = ("jaw", "face", "wrists", "head", "body")
UPPER = slice(3, 22)
"""Joints from the spine up, without fingers and face."""
SEEDS = 16
"""R² is stated for the mean of so many."""
KNOWABLE = 0.05
"""A ceiling below this is an estimate of nothing, and no share of it exists."""


@dataclass
class Bench:
    """What all variants of a corpus are held against."""

    params: Params
    W: Workspace
    references: list[Reference]
    judge: Judge
    truth: dict[str, Tracks]  # clip → group → [T, C]
    mean: dict[int, Tracks]  # speaker → group → [C], over the train split
    ceiling: dict[str, float]
    baselines: dict[str, VariantScores] = field(default_factory=dict)

    @classmethod
    def of(cls, params: Params, W: Workspace) -> "Bench":
        references = read_references(params, W)
        judge = Judge.of(references, embedders.load(W.embedder), scorers.load(W.scorer))
        mean = {}
        for speaker in sorted({r.speaker for r in references}):
            clips = [c.id for c in clips_of(W, "train") if c.speaker == speaker]
            found = [tracks_of(truth_motion(W, clip, params.data.fps)) for clip in clips]
            mean[speaker] = {g: np.concatenate([x[g] for x in found]).mean(0) for g in GROUPS}
        return cls(
            params=params,
            W=W,
            references=references,
            judge=judge,
            truth={r.clip: tracks_of(r.motion()) for r in references},
            mean=mean,
            ceiling=read_json(W.corpus_card / "card.json")["ceiling_r2"],
        )

    def score_folder(self, name: str, role: Role = "baseline") -> VariantScores:
        """Scores of a baseline of the pipeline, computed once."""
        if name not in self.baselines:
            variant = from_folder(name, name, role, baseline_folder(self.W, name))
            self.baselines |= score_variants([variant], self.references, self.judge)
        return self.baselines[name]

    def r2(self, predicted: Mapping[str, Tracks]) -> dict[str, tuple[Array, Array]]:
        """Group → ([clips] squared error, [clips] squared deviation from the speaker's mean), sums."""
        found = {}
        for group in GROUPS:
            pairs = []
            for reference in self.references:
                truth, guess = self.truth[reference.clip][group], predicted[reference.clip][group]
                n = min(len(truth), len(guess))
                still = self.mean[reference.speaker][group]
                pairs.append((((truth[:n] - guess[:n]) ** 2).sum(), ((truth[:n] - still) ** 2).sum()))
            found[group] = tuple(np.array(side) for side in zip(*pairs, strict=True))
        return found


def truth_motion(W: Workspace, clip: str, fps: float) -> Motion:
    features = motion_of(W, clip)
    return as_motion(joined(features), features.origin, fps)


def tracks_of(motion: Motion) -> Tracks:
    """Group → [T, C] of the card's five groups."""
    found = tracks(motion)
    return {name: np.asarray(getattr(found, name), np.float64) for name in GROUPS}


def measure(bench: Bench, take: Take, *, seeds: int, swaps: int, scored: int) -> dict[str, Any]:
    """All figures of what moves by speech.

    Args:
        bench: corpus and judges.
        take: seed and whether speech is the right one → clip → motion.
        seeds: sampled seeds whose mean is held against the truth.
        swaps: of these, seeds that also hear wrong audio; half as many as seeds say what audio moves of a
            mean.
        scored: of these, seeds whose motion is scored whole (FGD, AUC, sliding).
    """
    sums: dict[str, Tracks] = {}
    squares: dict[str, Tracks] = {}
    right_takes: list[dict[str, Motion]] = []
    wrong_takes: list[dict[str, Motion]] = []
    means = MeansOf(seeds // 2) if 2 * swaps == seeds else None
    for seed in range(seeds):
        right = take(seed, True)
        for clip, motion in right.items():
            found = tracks_of(motion)
            before = sums.get(clip)
            sums[clip] = found if before is None else {g: before[g] + found[g] for g in GROUPS}
            squared = {g: found[g] ** 2 for g in GROUPS}
            past = squares.get(clip)
            squares[clip] = squared if past is None else {g: past[g] + squared[g] for g in GROUPS}
        if seed < max(scored, 2):
            right_takes.append(right)
        if means:
            means.add("right" if seed < swaps else "again", right)
        if seed < swaps:
            wrong = take(seed, False)
            if seed < max(scored, 2):
                wrong_takes.append(wrong)
            if means:
                means.add("wrong", wrong)
    mean_tracks = {clip: {g: x / seeds for g, x in found.items()} for clip, found in sums.items()}
    scatter = {
        clip: {g: (squares[clip][g] - seeds * mean_tracks[clip][g] ** 2).sum() / (seeds - 1) for g in GROUPS}
        for clip in sums
    }
    figures = {"r2": r2_figures(bench, mean_tracks, scatter, seeds), **(means.moved() if means else {})}
    return figures | _scored(bench, right_takes[:scored], wrong_takes) | _moved(right_takes, wrong_takes)


class MeansOf:
    """Mean motions of n seeds: of the right speech, of the wrong one, and of the right one again under other
    seeds. A single take also moves by all that speech doesn't decide; of a mean that is 1 / n.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.sums: dict[str, dict[str, Array]] = {"right": {}, "wrong": {}, "again": {}}

    def add(self, side: str, take: Mapping[str, Motion]) -> None:
        """One seed more; positions [T, J, 3] of the upper body's joints in metres."""
        for clip, motion in take.items():
            positions = kinematics(motion).body[:, UPPER]
            self.sums[side][clip] = self.sums[side].get(clip, 0.0) + positions

    def moved(self) -> dict[str, float]:
        """Distance of the mean under wrong speech, and under other seeds, mean over clips, in metres."""
        found = {}
        for key, other in (("swap_of_means_m", "wrong"), ("seed_of_means_m", "again")):
            pairs = [(mean, self.sums[other][clip]) for clip, mean in self.sums["right"].items()]
            found[key] = float(np.mean([between_seeds([a / self.n, b / self.n]) for a, b in pairs]))
        return found


def baseline_figures(bench: Bench, name: str) -> dict[str, Any]:
    """A baseline's figures; R² of its one motion, without correction."""
    scores = bench.score_folder(name)
    motions = {r.clip: scores.variant.read(r).motion for r in bench.references}
    truth, still = bench.score_folder("ground-truth", "ground-truth"), bench.score_folder("mean-pose")
    evaluate = bench.params.evaluate
    found = summary.summarise(scores, truth, still, evaluate.seed, 1000, evaluate.bootstrap_fgd)
    return {
        "r2": r2_figures(bench, {clip: tracks_of(motion) for clip, motion in motions.items()}),
        "fgd": {"value": found.fgd.value if found.fgd else None},
        "measures": {measure: found.measures[measure].as_dict() for measure in MEASURES},
    }


def r2_figures(
    bench: Bench,
    predicted: Mapping[str, Tracks],
    scatter: Mapping[str, Mapping[str, float]] | None = None,
    seeds: int = SEEDS,
) -> dict[str, Any]:
    """R² by group with a bootstrap interval over clips, and its share of the ceiling.

    Args:
        bench: truth and ceiling.
        predicted: means over seeds.
        scatter: clip → group → summed variance between seeds. With fewer seeds than `SEEDS`, the error of
            the mean of `SEEDS` follows without bias: less by scatter (1 / seeds - 1 / SEEDS).
        seeds: how many were averaged.
    """
    n = len(bench.references)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=1000)
    found = {}
    for group, (error, total) in bench.r2(predicted).items():
        spread = np.array([scatter[r.clip][group] for r in bench.references]) if scatter else np.zeros(n)
        error = error - spread * (1 / seeds - 1 / SEEDS)
        drawn = 1 - (counts @ error) / (counts @ total)
        value = float(1 - error.sum() / total.sum())
        ceiling = bench.ceiling[group]
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
        share = value / ceiling if ceiling > KNOWABLE else None
        found[group] = {"r2": value, "low": low, "high": high, "share": share, "ceiling": ceiling}
    return found


def _reader(take: Mapping[str, Motion]) -> Callable[[Reference], Result]:
    return lambda reference: Result(motion=take[reference.clip])


def _scored(
    bench: Bench, right: Sequence[Mapping[str, Motion]], wrong: Sequence[Mapping[str, Motion]]
) -> dict[str, Any]:
    """FGD, scorer and explained shares."""
    variants = [
        Variant(name=f"{role}-{seed}", label=role, role=role, read=_reader(take), seed=seed)  # type: ignore[arg-type]
        for role, takes in (("model", right), ("wrong-audio", wrong))
        for seed, take in enumerate(takes)
    ]
    scores = score_variants(variants, bench.references, bench.judge)
    truth, still = bench.score_folder("ground-truth", "ground-truth"), bench.score_folder("mean-pose")
    evaluate = bench.params.evaluate
    first = summary.summarise(scores["model-0"], truth, still, evaluate.seed, 1000, evaluate.bootstrap_fgd)
    models = [s for s in scores.values() if s.variant.role == "model"]
    pairs = [(scores[f"model-{i}"], scores[f"wrong-audio-{i}"]) for i in range(min(len(right), len(wrong)))]
    effects = summary.audio_effects(pairs, still, evaluate.seed, evaluate.bootstrap)
    features = [c.features for c in truth.clips]
    fgds = [summary.fgd([c.features for c in s.clips], features, 0, 2)[0].value for s in models]
    return {
        "fgd": {"value": float(np.mean(fgds)), "seeds": fgds, "low": first.fgd.low, "high": first.fgd.high},
        "fgd_parts": first.parts,
        "measures": {name: first.measures[name].as_dict() for name in MEASURES},
        "explained": {g: effects[g].explained.as_dict() for g in EXPLAINED if g in effects},
        "rms": {g: first.rms_errors[g].value for g in EXPLAINED},
        "rms_mean_pose": {g: float(np.sqrt(still.column(f"error/{g}").mean())) for g in EXPLAINED},
        "auc_wrong": float(np.mean(scores["wrong-audio-0"].column("scorer_auc"))) if wrong else None,
    }


def _moved(right: Sequence[Mapping[str, Motion]], wrong: Sequence[Mapping[str, Motion]]) -> dict[str, Any]:
    """How far other audio moves the upper body, and how far another seed does."""
    swap, seed = [], []
    for clip in right[0]:
        own = [kinematics(take[clip]) for take in right]
        swap += [swap_distance(own[i], kinematics(take[clip])) for i, take in enumerate(wrong)]
        seed.append(between_seeds([k.body[:, UPPER] for k in own]))
    return {"swap_m": float(np.mean(swap)) if swap else None, "seed_m": float(np.mean(seed))}
