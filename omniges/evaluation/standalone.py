"""Score a folder of results against a BEAT2 tree, without the rest of the pipeline.

Beside the results stand, for scale, the ground truth, the mean pose and a random other clip of the speaker,
the last two from the tree's train split. Without an embedder one is trained on the train split, and every
figure says so.
"""

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.audio.files import read_wave
from omniges.audio.onsets import onset_times
from omniges.config import EmbedderParams
from omniges.data.beat2 import read_motion
from omniges.data.clips import (
    EXPRESSION_FOLDER,
    TEXTGRID_FOLDER,
    WAVE_FOLDER,
    motion_folder,
    read_split_file,
    speaker_of,
)
from omniges.data.textgrids import read_words
from omniges.errors import DataError, EvaluationError
from omniges.evaluation import embedder as embedders
from omniges.evaluation import report
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.evaluation import Evaluation, Options, evaluate
from omniges.evaluation.report.provenance import machine, package_versions
from omniges.evaluation.results import find_result, read_result
from omniges.evaluation.scoring import Reference, Result, Variant
from omniges.log import progress
from omniges.motion.features import motion_to_features
from omniges.motion.layout import POSE_WIDTH
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion, Word

logger = logging.getLogger(__name__)
TRAIN_CLIPS = 60
"""Train clips that the embedder and the baselines look at, spread over the split."""
TRAINING = EmbedderParams(weights=None, seed=19, steps=150, batch=16, window_frames=64, lr=2e-3)


@dataclass(frozen=True)
class Tree:
    """A BEAT2 tree."""

    root: Path
    splits: dict[str, str]

    @classmethod
    def at(cls, root: Path) -> "Tree":
        return cls(root, dict(read_split_file(root).splits))

    def clips(self, split: str) -> list[str]:
        return sorted(clip for clip, kind in self.splits.items() if kind == split)

    def motion(self, clip: str) -> Motion:
        expression = self.root / EXPRESSION_FOLDER / f"{clip}.npz"
        return read_motion(
            motion_folder(self.root) / f"{clip}.npz", expression if expression.is_file() else None
        )

    def onsets_s(self, clip: str) -> NDArray[np.float64] | None:
        path = self.root / WAVE_FOLDER / f"{clip}.wav"
        return onset_times(read_wave(path)) if path.is_file() else None

    def words(self, clip: str) -> list[Word] | None:
        path = self.root / TEXTGRID_FOLDER / f"{clip}.TextGrid"
        return read_words(path) if path.is_file() else None


def score_folder(
    results: Path, root: Path, out: Path, *, split: str, embedder: Path | None, options: Options
) -> Evaluation:
    """Score every clip of a split that has a result, and write the report.

    Args:
        results: folder with CLIP.npz or res_CLIP.npz.
        root: the BEAT2 tree.
        out: where the report goes.
        split: whose clips are asked for.
        embedder: AESKConv_240_100.bin or an embedder's folder; None trains one on the tree's train split.
        options: seed and bootstrap.
    Raises:
        EvaluationError: nothing could be scored.
    """
    tree = Tree.at(root)
    clips = wanted_clips(tree, results, split)
    references, faults = read_references(tree, clips)
    truths = lru_cache(maxsize=2)(tree.motion)
    train = train_sample(tree)
    judge = embedders.load(embedder) if embedder else own_embedder(train)
    variants = [
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
        *train_baselines(train, truths, options.seed),
    ]
    real = [judge.features(rot6d(motion)) for motion in train.values()] if judge else []
    result = evaluate(references, variants, judge, None, options, train=real)
    result.scores["results"].faults.extend(faults)
    note_results(result)
    made = made_from(results, root, judge, clips)
    material = report.Material(
        name=root.name,
        made=made,
        references=references,
        variants=variants,
        wave_of=partial(_wave, tree) if all(r.onsets_s is not None for r in references) else None,
        video_note="No videos: `omniges evaluate` scores only.",
    )
    report.write(out, result, material)
    return result


def wanted_clips(tree: Tree, results: Path, split: str) -> list[str]:
    """The split's clips, of which at least one must have a result.

    Raises:
        EvaluationError: no such folder, empty split, or no result for any of its clips.
    """
    if not results.is_dir():
        raise EvaluationError(f"{results}: no such folder of results.")
    clips = tree.clips(split)
    if not clips:
        kinds = sorted(set(tree.splits.values()))
        raise EvaluationError(
            f"{tree.root}: the split '{split}' is empty; it has {', '.join(kinds) or 'no clips'}."
        )
    present = [clip for clip in clips if _has(results, clip)]
    if not present:
        found = sorted(p.name for p in results.glob("*.npz"))[:3]
        raise EvaluationError(
            f"{results}: no result for any of the {len(clips)} clips of the split '{split}' "
            f"(wanted e.g. {clips[0]}.npz; found {', '.join(found) or 'no npz file'})."
        )
    others = sum(1 for clip in tree.splits if clip not in clips and _has(results, clip))
    if others:
        logger.warning(
            "%s: %d results of clips outside the split '%s' are left aside", results, others, split
        )
    return clips


def _has(results: Path, clip: str) -> bool:
    try:
        find_result(results, clip)
    except DataError:
        return False
    return True


def read_references(tree: Tree, clips: Sequence[str]) -> tuple[list[Reference], list[Any]]:
    """What is true of the clips; those whose own files can't be read are named."""
    from omniges.types import ClipFault

    references, faults = [], []
    for clip in progress(clips, "listening for onsets"):
        try:
            references.append(
                Reference(
                    clip=clip,
                    speaker=speaker_of(clip),
                    split=tree.splits[clip],
                    motion=partial(tree.motion, clip),
                    onsets_s=tree.onsets_s(clip),
                    words=tree.words(clip),
                    mfcc=None,
                )
            )
        except DataError as error:
            faults.append(ClipFault(clip=clip, problem=f"reference: {error}", remedy="Fetch the clip again."))
    if not references:
        raise EvaluationError(
            f"{tree.root}: no clip of the split can be read; the first reason: {faults[0].problem}"
        )
    return references, faults


def train_sample(tree: Tree) -> dict[str, Motion]:
    """Up to `TRAIN_CLIPS` readable train clips, evenly spread over the split."""
    clips = tree.clips("train")
    found = {}
    for clip in clips[:: max(1, -(-len(clips) // TRAIN_CLIPS))]:
        try:
            found[clip] = tree.motion(clip)
        except DataError as error:
            logger.warning("%s: left out of the train sample: %s", clip, error)
    return found


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


def train_baselines(train: dict[str, Motion], truths: Any, seed: int) -> list[Variant]:
    """Mean pose and random other clip of the same speaker (of anybody, without train clips of theirs)."""
    if not train:
        return []

    def of_speaker(clip: str) -> list[Motion]:
        own = [m for c, m in train.items() if speaker_of(c) == speaker_of(clip)]
        return own or list(train.values())

    def mean_pose(reference: Reference) -> Result:
        truth = truths(reference.clip)
        poses, expressions, height = _mean(tuple(id(m) for m in of_speaker(reference.clip)))
        n = truth.n_frames
        trans = np.tile([truth.trans[0, 0], height, truth.trans[0, 2]], (n, 1))
        return Result(motion=_motion(np.tile(poses, (n, 1, 1)), trans, np.tile(expressions, (n, 1)), truth))

    by_id = {id(m): m for m in train.values()}

    @lru_cache
    def _mean(ids: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any], float]:
        clips = [by_id[i] for i in ids]
        poses = np.concatenate([c.poses for c in clips]).mean(0)
        height = float(np.concatenate([c.trans[:, 1] for c in clips]).mean())
        return poses, np.concatenate([c.expressions for c in clips]).mean(0), height

    def random_clip(reference: Reference) -> Result:
        truth, choices = truths(reference.clip), of_speaker(reference.clip)
        rng = np.random.default_rng([seed, zlib.crc32(reference.clip.encode())])
        long_enough = [m for m in choices if m.n_frames >= truth.n_frames]
        picked = (
            long_enough[int(rng.integers(len(long_enough)))]
            if long_enough
            else max(choices, key=lambda m: m.n_frames)
        )
        start = int(rng.integers(0, max(1, picked.n_frames - truth.n_frames + 1)))
        span = slice(start, start + truth.n_frames)
        return Result(motion=_motion(picked.poses[span], picked.trans[span], picked.expressions[span], truth))

    return [
        Variant(name="mean-pose", label="mean pose", role="baseline", read=mean_pose),
        Variant(name="random-clip", label="random other clip", role="baseline", read=random_clip),
    ]


def _motion(poses: NDArray[Any], trans: NDArray[Any], expressions: NDArray[Any], truth: Motion) -> Motion:
    return Motion(
        poses=poses.astype(np.float32), trans=trans, expressions=expressions, betas=truth.betas, fps=truth.fps
    )


def note_results(result: Evaluation) -> None:
    """Lift what was done to single results into the page: one note a kind, with how often."""
    counts: dict[str, int] = {}
    for clip in result.scores["results"].clips:
        for note in clip.notes:
            counts[note] = counts.get(note, 0) + 1
    result.summaries["results"].notes += [f"{note} ({n} clips)" for note, n in sorted(counts.items())]


def made_from(results: Path, root: Path, embedder: Embedder | None, clips: Sequence[str]) -> dict[str, Any]:
    return {
        "results": str(results),
        "reference": str(root),
        "clips_of_the_split": len(clips),
        "embedder": {"label": embedder.label, "sha256": embedder.hash} if embedder else None,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "packages": package_versions(),
    }


def _wave(tree: Tree, clip: str) -> NDArray[np.float32]:
    wave = read_wave(tree.root / WAVE_FOLDER / f"{clip}.wav")
    return wave[: 20 * SAMPLE_RATE]
