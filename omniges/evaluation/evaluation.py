"""All that an evaluation finds, and the function that finds it; knows nothing of stages or pages."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.config import EvaluateParams
from omniges.errors import EvaluationError
from omniges.evaluation import summary
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.protocol import Published
from omniges.evaluation.reconstruction import GROUPS, AudioEffect
from omniges.evaluation.scorer import Scorer
from omniges.evaluation.scoring import Judge, Reference, Variant, VariantScores, score_variants
from omniges.evaluation.summary import Comparison, VariantSummary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How sure to be; see the section `evaluate` of params.yaml."""

    seed: int
    bootstrap: int  # resamples behind an interval
    bootstrap_fgd: int

    @classmethod
    def of(cls, params: EvaluateParams) -> "Options":
        return cls(seed=params.seed, bootstrap=params.bootstrap, bootstrap_fgd=params.bootstrap_fgd)


@dataclass
class Evaluation:
    """All figures of one evaluation."""

    split: str
    scores: dict[str, VariantScores]
    summaries: dict[str, VariantSummary]
    effects: dict[str, AudioEffect]
    comparisons: list[Comparison]
    floors: dict[str, float]
    encoder: dict[str, str] | None
    scorer_hash: str | None
    listening: dict[str, Any] = field(default_factory=dict)
    ceiling: Mapping[str, float] = field(default_factory=dict)
    bootstrap: Mapping[str, int] = field(default_factory=dict)
    published: Published | None = None  # by the published protocol, where its files are given

    def of_role(self, role: str) -> list[str]:
        return [name for name, x in self.summaries.items() if x.role == role and x.n_clips]

    @property
    def model(self) -> str | None:
        """The first seed's variant."""
        names = self.of_role("model")
        return names[0] if names else None

    def share_of_ceiling(self) -> dict[str, float]:
        """Explained variance over what the corpus lets anybody explain, by group."""
        return {
            g: e.explained.value / self.ceiling[g]
            for g, e in self.effects.items()
            if self.ceiling.get(g, 0) > 0
        }


def evaluate(
    references: Sequence[Reference],
    variants: Sequence[Variant],
    embedder: Embedder | None,
    scorer: Scorer | None,
    options: Options,
    train: Sequence[NDArray[np.floating]] = (),
) -> Evaluation:
    """Score every variant on every clip.

    Args:
        references: truth of each clip.
        variants: what is scored; one of the role "ground-truth" must be among them.
        embedder: None leaves the distribution distances out.
        scorer: None leaves its listening figures out.
        options: seed and number of bootstrap samples.
        train: embedder features of real train clips, for the floor.
    Raises:
        EvaluationError: nothing could be scored.
    """
    judge = Judge.of(references, embedder, scorer)
    scores = score_variants(variants, references, judge)
    truth = next((s for s in scores.values() if s.variant.role == "ground-truth"), None)
    if truth is None or not truth.clips:
        raise EvaluationError("no ground truth could be read, so nothing can be scored.")
    if not any(s.clips for s in scores.values() if s.variant.role == "model"):
        faults = [f.problem for s in scores.values() if s.variant.role == "model" for f in s.faults]
        raise EvaluationError(
            "no result could be scored" + (f"; the first reason: {faults[0]}" if faults else ".")
        )
    mean_pose = scores.get("mean-pose")
    seed, n = options.seed, options.bootstrap
    summaries = {
        name: summary.summarise(s, truth, mean_pose, seed, n, options.bootstrap_fgd)
        for name, s in scores.items()
    }
    features = [c.features for c in truth.clips if len(c.features)]
    result = Evaluation(
        split=references[0].split,
        scores=scores,
        summaries=summaries,
        effects=_effects(scores, mean_pose, seed, n),
        comparisons=[],
        floors=summary.floors(train, features, seed) if embedder else {},
        encoder=embedder.named() if embedder else None,
        scorer_hash=scorer.hash if scorer else None,
        bootstrap={"seed": seed, "resamples": n, "resamples_fgd": options.bootstrap_fgd},
    )
    result.comparisons = _comparisons(result)
    return result


def _effects(
    scores: Mapping[str, VariantScores], mean_pose: VariantScores | None, seed: int, n: int
) -> dict[str, AudioEffect]:
    right = {s.variant.seed: s for s in scores.values() if s.variant.role == "model"}
    wrong = {s.variant.seed: s for s in scores.values() if s.variant.role == "wrong-audio"}
    pairs = [(right[seed_], wrong[seed_]) for seed_ in right if seed_ in wrong]
    if mean_pose is None or not pairs:
        return {}
    found = summary.audio_effects(pairs, mean_pose, seed, n)
    order = [*GROUPS, *sorted(set(found) - set(GROUPS))]
    return {group: found[group] for group in order if group in found}


def _comparisons(result: Evaluation) -> list[Comparison]:
    if result.model is None:
        return []
    others = [n for n, s in result.summaries.items() if s.role in ("baseline", "wrong-audio") and s.n_clips]
    found = [summary.compare(result.summaries, result.model, other) for other in others]
    return [x for x in found if x is not None]
