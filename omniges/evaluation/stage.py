"""Stage `evaluate`: score the model beside its baselines and write the report.

reads   generated/, baselines/, embedder/, scorer/, the corpus card, the tokenizers' reports
writes  reports/{metrics.json, report.json, clips.parquet, index.html, plots/, videos/}
"""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from omniges.audio.files import read_wave
from omniges.audio.onsets import onset_times
from omniges.config import Params
from omniges.data.beat2 import read_motion
from omniges.data.clips import planned
from omniges.data.table import read_text_table
from omniges.errors import EvaluationError
from omniges.evaluation import embedder as embedders
from omniges.evaluation import report, scorer
from omniges.evaluation.baselines import NAMES as BASELINES
from omniges.evaluation.baselines import folder as baseline_folder
from omniges.evaluation.diversity import between_seeds
from omniges.evaluation.evaluation import Evaluation, evaluate
from omniges.evaluation.kinematics import kinematics
from omniges.evaluation.listening import swap_distance
from omniges.evaluation.report import tables
from omniges.evaluation.scoring import Reference, Variant
from omniges.evaluation.sources import clips_of, mfcc_of, result_path, split_motion
from omniges.files import read_json
from omniges.motion.layout import POSE_WIDTH
from omniges.types import Motion
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)
GENERATED = re.compile(r"^(model|wrong-audio)-seed(\d+)$")


class Render(Protocol):
    """Draws motions side by side with sound; evaluation and rendering don't know each other, the command line
    joins them.
    """

    def __call__(
        self,
        path_mp4: Path,
        motions: dict[str, Motion],
        wave: NDArray[np.float32] | None,
        *,
        height: int,
        max_s: float,
        smplx_model: Path | None = None,
    ) -> object: ...


def run(params: Params, W: Workspace, render: Render | None = None) -> Evaluation:
    """Evaluate the test split and write `reports/`.

    Args:
        params: section `evaluate`.
        W: paths.
        render: None leaves the videos out, and the report says so.
    """
    references = read_references(params, W)
    variants = variants_of(W)
    embedder = embedders.load(W.embedder)
    train = [embedder.features(values[:, :POSE_WIDTH]) for _, values in split_motion(W, "train")]
    result = evaluate(
        references,
        variants,
        embedder,
        scorer.load(W.scorer),
        params.evaluate,
        read=lambda path, _: (read_motion(path), True, []),
        train=train,
    )
    result.listening |= swap_figures(variants, references)
    result.ceiling = ceiling_of(W)
    made = report.write(result, params, W, references, variants, render)
    track(params, W, result, made)
    return result


def variants_of(W: Workspace) -> list[Variant]:
    """The model's results by seed, with right and wrong audio, then the baselines.

    Raises:
        EvaluationError: the model has generated nothing.
    """
    found = []
    for folder in sorted(W.generated.iterdir()) if W.generated.is_dir() else []:
        match = GENERATED.match(folder.name)
        if match and folder.is_dir():
            role, seed = match[1], int(match[2])
            label = f"model, seed {seed}" if role == "model" else f"model with wrong audio, seed {seed}"
            found.append(Variant(name=folder.name, label=label, role=role, folder=folder, seed=seed))  # type: ignore[arg-type]
    if not any(v.role == "model" for v in found):
        raise EvaluationError(f"{W.generated}: no folder model-seed*; run the stage `generate` first.")
    for name in BASELINES:
        role = "ground-truth" if name == "ground-truth" else "baseline"
        label = {"reconstruction": "tokenizer reconstruction", "random-clip": "random other clip"}.get(
            name, name.replace("-", " ")
        )
        found.append(Variant(name=name, label=label, role=role, folder=baseline_folder(W, name)))  # type: ignore[arg-type]
    return found


def read_references(params: Params, W: Workspace) -> list[Reference]:
    """What is true of every test clip."""
    waves = {clip.id: clip.wav for clip in planned(params, W)}
    references = []
    for clip in clips_of(W, "test"):
        motion = read_motion(result_path(baseline_folder(W, "ground-truth"), clip.id))
        references.append(
            Reference(
                clip=clip.id,
                speaker=clip.speaker,
                split=clip.split,
                motion=motion,
                onsets_s=onset_times(read_wave(waves[clip.id])),
                words=read_text_table(W.feature("text") / f"{clip.id}.parquet").words,
                mfcc=mfcc_of(W, clip.id),
            )
        )
    return references


def swap_figures(variants: Sequence[Variant], references: Sequence[Reference]) -> dict[str, Any]:
    """Audio-swap sensitivity: how far other audio moves the result under the same noise, beside how far
    another seed does.
    """
    right = {v.seed: v for v in variants if v.role == "model"}
    wrong = {v.seed: v for v in variants if v.role == "wrong-audio"}
    swaps: list[float] = []
    seeds: list[float] = []
    for reference in references:
        own = {seed: _kinematics(v, reference) for seed, v in right.items()}
        other = {seed: _kinematics(v, reference) for seed, v in wrong.items()}
        swaps += [swap_distance(k, w) for seed, k in own.items() if k and (w := other.get(seed))]
        present = [k.body[:, 3:22] for k in own.values() if k]
        if len(present) > 1:
            seeds.append(between_seeds(present))
    found: dict[str, Any] = {"swap_distance_m": float(np.mean(swaps)) if swaps else None}
    found["seed_distance_m"] = float(np.mean(seeds)) if seeds else None
    found["swap_over_seed"] = (
        float(np.mean(swaps) / np.mean(seeds)) if swaps and seeds and np.mean(seeds) > 0 else None
    )
    return found


def _kinematics(variant: Variant, reference: Reference) -> Any:
    path = result_path(variant.folder, reference.clip)
    return kinematics(read_motion(path)) if path.is_file() else None


def ceiling_of(W: Workspace) -> Mapping[str, float]:
    """The corpus's known ceiling of explained variance by group, where its card tells; else empty."""
    path = W.corpus_card / "card.json"
    if not path.is_file():
        return {}
    found = read_json(path).get("ceiling") or {}
    return {k: float(v) for k, v in found.items() if isinstance(v, int | float)}


def track(params: Params, W: Workspace, result: Evaluation, made: Mapping[str, Any]) -> None:
    """Add figures and page to the run that trained the model, or to a new one where that is not there."""
    if not params.tracking.trackers:
        return
    from omniges.tracking import start_run

    run_file = W.a2g / "run.json"
    run = start_run(params, W, "evaluate", resume_from=run_file if run_file.is_file() else None)
    run.log_metrics({f"evaluate/{k}": float(v) for k, v in tables.first_figures(result).items()}, step=0)
    run.log_params({f"evaluate.{k}": str(made[k]) for k in ("model_sha256", "data_sha256")})
    for name in ("metrics.json", "report.json", "index.html"):
        run.log_artifact(W.reports / name)
    for folder in ("plots", "videos"):
        for path in sorted((W.reports / folder).glob("*")):
            run.log_artifact(path)
    run.finish()
