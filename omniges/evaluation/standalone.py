"""Score a folder of results against a BEAT2 tree, without the rest of the pipeline.

Beside the results stand, for scale, the ground truth, the mean pose and a random other clip of the speaker,
the last two from the tree's train split. Without an embedder one is trained on the train split, and every
figure says so; so is the scorer that tells a clip's own sound from another's.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.config import EmbedderParams
from omniges.evaluation import embedder as embedders
from omniges.evaluation import report
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.evaluation import Evaluation, Options, evaluate
from omniges.evaluation.own_scorer import train_own
from omniges.evaluation.protocol import Published, Tools, score_published
from omniges.evaluation.report.clipviews import VideoOptions
from omniges.evaluation.report.provenance import machine, package_versions
from omniges.evaluation.results import read_result
from omniges.evaluation.scorer import Scorer
from omniges.evaluation.scoring import Result, Variant
from omniges.evaluation.tree import Tree, read_references, train_baselines, train_sample, wanted_clips
from omniges.files import write_json
from omniges.motion.features import motion_to_features
from omniges.motion.layout import POSE_WIDTH
from omniges.types import Motion

logger = logging.getLogger(__name__)
TRAINING = EmbedderParams(weights=None, seed=19, steps=150, batch=16, window_frames=64, lr=2e-3)
NO_VIDEOS = "No videos: not asked for (--render draws some)."


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be scored, against what."""

    results: Path  # folder with CLIP.npz or res_CLIP.npz
    root: Path  # the BEAT2 tree
    out: Path  # where the report goes
    split: str  # whose clips are asked for
    embedder: Path | Embedder | None  # a published file or an embedder's folder; None: see `own_embedder`
    options: Options
    scorer: Scorer | None = None  # None: one is trained on the train split's sound and motion
    context_frames: int | None = None  # fed to FGD's network at once; None: whole clips
    video: VideoOptions | None = None
    published: Tools | None = None  # also the published protocol


def score_folder(task: Task) -> Evaluation:
    """Score every clip of a split that has a result, and write the report.

    Raises:
        EvaluationError: nothing could be scored.
    """
    tree = Tree.at(task.root)
    clips = wanted_clips(tree, task.results, task.split)
    references, faults = read_references(tree, clips)
    truths = lru_cache(maxsize=2)(tree.motion)
    train = train_sample(tree)
    judge = judge_of(task, train)
    pair = variants_of(task.results, truths)
    variants = [*pair, *train_baselines(train, truths, task.options.seed)]
    real = [judge.features(rot6d(motion)) for motion in train.values()] if judge else []
    scorer, lacking = (task.scorer, "") if task.scorer else train_own(train, tree.wave)
    result = evaluate(references, variants, judge, scorer, task.options, train=real)
    result.summaries["results"].notes += [lacking] if lacking else []
    result.scores["results"].faults.extend(faults)
    if task.published is not None:
        result.published = score_published(references, pair, truths, tree.wave, task.published)
    note_results(result)
    material = report.Material(
        name=task.root.name,
        made=made_from(task, judge, clips),
        references=references,
        variants=variants,
        wave_of=tree.wave if all(r.onsets_s is not None for r in references) else None,
        video=task.video,
        video_note="" if task.video else NO_VIDEOS,
    )
    report.write(task.out, result, material)
    return result


def score_published_only(task: Task, tools: Tools) -> Published:
    """The published protocol alone; writes `published.json`."""
    tree = Tree.at(task.root)
    clips = wanted_clips(tree, task.results, task.split)
    references, _ = read_references(tree, clips, sound=False)
    truths = lru_cache(maxsize=2)(tree.motion)
    found = score_published(references, variants_of(task.results, truths), truths, tree.wave, tools)
    write_json(task.out / "published.json", found.as_dict() | {"made": made_from(task, None, clips)})
    return found


def variants_of(results: Path, truths: Callable[[str], Motion]) -> list[Variant]:
    """The results, and the ground truth beside them."""
    return [
        Variant(
            name="results",
            label=results.name,
            role="model",
            read=lambda r: read_result(results, r, truths(r.clip)),
        ),
        Variant(
            name="ground-truth",
            label="ground truth",
            role="ground-truth",
            read=lambda r: Result(motion=truths(r.clip)),
        ),
    ]


def judge_of(task: Task, train: dict[str, Motion]) -> Embedder | None:
    """The encoder of FGD that the task asks for."""
    if isinstance(task.embedder, Path):
        return embedders.load(task.embedder, task.context_frames)
    found = task.embedder or own_embedder(train)
    return replace(found, context_frames=task.context_frames) if found else None


def own_embedder(train: dict[str, Motion]) -> Embedder | None:
    """An embedder trained on the spot; None, with a warning, where there is no train motion."""
    clips = [rot6d(motion) for motion in train.values() if motion.n_frames >= TRAINING.window_frames]
    if not clips:
        logger.warning("no train clip is there to train an embedder on: no FGD. Give --embedder to have one.")
        return None
    network, _ = embedders.train(clips, TRAINING)
    label = f"{embedders.OWN_LABEL} ({len(clips)} clips)"
    return Embedder(network, label, embedders.state_hash(network))


def rot6d(motion: Motion) -> NDArray[np.float32]:
    """[T, 330]."""
    return motion_to_features(motion).values[:, :POSE_WIDTH]


def note_results(result: Evaluation) -> None:
    """Lift what was done to single results into the page: one note a kind, with how often."""
    counts: dict[str, int] = {}
    for clip in result.scores["results"].clips:
        for note in clip.notes:
            counts[note] = counts.get(note, 0) + 1
    result.summaries["results"].notes += [f"{note} ({n} clips)" for note, n in sorted(counts.items())]


def made_from(task: Task, embedder: Embedder | None, clips: Sequence[str]) -> dict[str, Any]:
    return {
        "results": str(task.results),
        "reference": str(task.root),
        "clips_of_the_split": len(clips),
        "embedder": embedder.named() if embedder else None,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "packages": package_versions(),
    }
