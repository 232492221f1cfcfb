"""Stage `evaluate`: score the model beside its baselines and write the report.

reads   generated/, baselines/, latent_flow/, embedder/, scorer/, the corpus card, the tokenizers' reports
writes  reports/{metrics.json, report.json, clips.parquet, index.html, plots/, videos/}
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
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
from omniges.errors import DataError, EvaluationError
from omniges.evaluation import embedder as embedders
from omniges.evaluation import report, scorer
from omniges.evaluation.baselines import folder as baseline_folder
from omniges.evaluation.baselines import names as baseline_names
from omniges.evaluation.diversity import between_seeds
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.evaluation import Evaluation, Options, evaluate
from omniges.evaluation.kinematics import Kinematics, kinematics
from omniges.evaluation.listening import swap_distance
from omniges.evaluation.protocol import Published, Tools, score_published
from omniges.evaluation.report import tables
from omniges.evaluation.report.provenance import made_by
from omniges.evaluation.scoring import Reference, Role, Variant, from_folder
from omniges.evaluation.sources import clips_of, mfcc_of, result_path, split_motion
from omniges.files import read_json
from omniges.motion.layout import PART_NAMES, POSE_WIDTH
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
        path: Path,
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
    variants = variants_of(params, W)
    embedder = embedders.load(W.embedder, params.evaluate.context_frames)
    train = [embedder.features(values[:, :POSE_WIDTH]) for _, values in split_motion(W, "train")]
    result = evaluate(
        references, variants, embedder, scorer.load(W.scorer), Options.of(params.evaluate), train=train
    )
    result.listening |= swap_figures(variants, references)
    result.ceiling = ceiling_of(W)
    result.published = published_of(params, W, references, variants, embedder)
    made = made_by(params, W, result)
    report.write(W.reports, result, material_of(params, W, made, references, variants, render))
    track(params, W, result, made)
    return result


def published_of(
    params: Params,
    W: Workspace,
    references: Sequence[Reference],
    variants: Sequence[Variant],
    embedder: Embedder,
) -> Published | None:
    """Model and tokenizers by the published protocol, where params.yaml names its three files."""
    section = params.evaluate
    if section.mean_velocity is None or section.smplx_model is None:
        return None
    files = {clip.id: clip for clip in planned(params, W)}
    tools = Tools.of(embedder, Path(section.smplx_model), Path(section.mean_velocity))
    return score_published(
        references,
        [v for v in variants if v.role in ("model", "ground-truth") or v.name == "reconstruction"],
        lambda clip: read_motion(files[clip].npz, files[clip].expression),
        lambda clip: read_wave(files[clip].wav),
        tools,
    )


def material_of(
    params: Params,
    W: Workspace,
    made: Mapping[str, Any],
    references: Sequence[Reference],
    variants: Sequence[Variant],
    render: Render | None,
) -> report.Material:
    """What the page shows beside the figures."""
    options, waves = params.evaluate, {clip.id: clip.wav for clip in planned(params, W)}
    body = Path(options.smplx_model) if options.smplx_model else None
    video, note = None, "No video: evaluate.render is false or evaluate.num_samples is 0 in params.yaml."
    if render is not None:
        note = f"Drawn with the SMPL-X model {body}." if body else "Drawn on the project's own body."
        video = report.VideoOptions(
            render=render,
            clips=options.num_samples,
            height=options.video_height,
            max_s=options.video_s,
            smplx_model=body,
        )
    return report.Material(
        name=params.data.name,
        made=made,
        references=references,
        variants=variants,
        wave_of=lambda clip: read_wave(waves[clip]),
        video=video,
        video_note=note,
        tokenizers=tokenizer_figures(W),
    )


def tokenizer_figures(W: Workspace) -> dict[str, Any]:
    """What the tokenizers' stage measured on val, or on train where there is no val, by part: plain numbers
    and texts only, the split among them.
    """
    found: dict[str, Any] = {}
    for part in PART_NAMES:
        path = W.tokenizer(part) / "report.json"
        if path.is_file():
            figures = read_json(path).get("reconstruction") or {}
            split = "val" if figures.get("val") else "train"
            figures = figures.get(split) or {}
            plain = {k: v for k, v in figures.items() if isinstance(v, int | float | str)}
            found[part] = {"split": split} | plain
    return found


def variants_of(params: Params, W: Workspace) -> list[Variant]:
    """The model's results by seed, with right and wrong audio, then the baselines.

    Args:
        params: `evaluate.clean`, which the model's results go through first and baselines never do; and which
            baselines there are.
        W: paths.
    Raises:
        EvaluationError: the model has generated nothing.
    """
    found = []
    for folder in sorted(W.generated.iterdir()) if W.generated.is_dir() else []:
        match = GENERATED.match(folder.name)
        if match and folder.is_dir():
            role: Role = "model" if match[1] == "model" else "wrong-audio"
            seed = int(match[2])
            label = f"model, seed {seed}" if role == "model" else f"model with wrong audio, seed {seed}"
            found.append(from_folder(folder.name, label, role, folder, seed, params.evaluate.clean))
    if not any(v.role == "model" for v in found):
        raise EvaluationError(f"{W.generated}: no folder model-seed*; run the stage `generate` first.")
    labels = {"reconstruction": "tokenizer reconstruction", "random-clip": "random other clip"}
    for name in baseline_names(params):
        kind: Role = "ground-truth" if name == "ground-truth" else "baseline"
        found.append(
            from_folder(name, labels.get(name, name.replace("-", " ")), kind, baseline_folder(W, name))
        )
    return found


def read_references(params: Params, W: Workspace) -> list[Reference]:
    """What is true of every test clip."""
    waves = {clip.id: clip.wav for clip in planned(params, W)}
    references = []
    for clip in clips_of(W, "test"):
        references.append(
            Reference(
                clip=clip.id,
                speaker=clip.speaker,
                split=clip.split,
                motion=partial(read_motion, result_path(baseline_folder(W, "ground-truth"), clip.id)),
                onsets_s=onset_times(read_wave(waves[clip.id])),
                words=read_text_table(W.feature("text") / f"{clip.id}.parquet").words,
                mfcc=partial(mfcc_of, W, clip.id),
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


def _kinematics(variant: Variant, reference: Reference) -> Kinematics | None:
    try:
        return kinematics(variant.read(reference).motion)
    except DataError:
        return None  # named among what was not scored


CEILING_GROUPS = {
    "jaw": "jaw",
    "head": "head",
    "face": "expressions",
    "wrist_height": "wrist_height",
    "wrist_speed": "wrist_speed",
}
"""Groups of errors and the card's names for what they hold."""


def ceiling_of(W: Workspace) -> dict[str, float]:
    """Share of variance that the corpus lets anybody explain, by group, if its card tells."""
    path = W.corpus_card / "card.json"
    found = read_json(path).get("ceiling_r2") if path.is_file() else None
    if not isinstance(found, dict):
        return {}
    known = {group: found.get(name) for group, name in CEILING_GROUPS.items()}
    return {group: float(value) for group, value in known.items() if isinstance(value, int | float)}


def track(params: Params, W: Workspace, result: Evaluation, made: Mapping[str, Any]) -> None:
    """Add figures and page to the run that trained the model, or to a new one where that is not there."""
    if not params.tracking.trackers:
        return
    from omniges.tracking import RUN_FILE, start_run

    with start_run(params, W, "evaluate", resume_from=W.a2g / RUN_FILE) as run:
        run.log_metrics({"evaluate": tables.tracked(result)})
        run.set_tags({name: str(made[name]) for name in ("model_sha256", "data_sha256", "commit")})
        for name in ("metrics.json", "report.json", "index.html", "clips.parquet", "plots", "videos"):
            run.log_artifact(W.reports / name)
