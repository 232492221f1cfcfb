"""A BEAT2 tree as `omniges evaluate` reads it: references, a train sample, and baselines made from that."""

import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.audio.files import read_wave
from omniges.audio.onsets import onset_times
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
from omniges.evaluation.own_scorer import mfcc_of_wave
from omniges.evaluation.results import find_result
from omniges.evaluation.scoring import Reference, Result, Variant
from omniges.log import progress
from omniges.types import ClipFault, Motion, Word

logger = logging.getLogger(__name__)
TRAIN_CLIPS = 60
"""Train clips that the embedder and the baselines look at, spread over the split."""


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
        path = self.wave_path(clip)
        return onset_times(read_wave(path)) if path.is_file() else None

    def wave(self, clip: str) -> NDArray[np.float32]:
        """[N] at 16 kHz."""
        return read_wave(self.wave_path(clip))

    def wave_path(self, clip: str) -> Path:
        return self.root / WAVE_FOLDER / f"{clip}.wav"

    def mfcc(self, clip: str) -> NDArray[np.float32]:
        """[T, 128] of the clip's sound, a row a motion frame."""
        motion = self.motion(clip)
        return mfcc_of_wave(self.wave(clip), motion.n_frames, motion.fps)

    def words(self, clip: str) -> list[Word] | None:
        path = self.root / TEXTGRID_FOLDER / f"{clip}.TextGrid"
        return read_words(path) if path.is_file() else None


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


def read_references(
    tree: Tree, clips: Sequence[str], *, sound: bool = True
) -> tuple[list[Reference], list[ClipFault]]:
    """What is true of the clips; those whose own files can't be read are named.

    Args:
        tree: the BEAT2 tree.
        clips: ids.
        sound: False leaves onsets and words unread, for who reads the sound otherwise.
    """
    references: list[Reference] = []
    faults: list[ClipFault] = []
    for clip in progress(clips, "listening for onsets"):
        try:
            tree.motion(clip)  # it is read again when it is scored; here only so that a bad one is left out
            references.append(
                Reference(
                    clip=clip,
                    speaker=speaker_of(clip),
                    split=tree.splits[clip],
                    motion=partial(tree.motion, clip),
                    onsets_s=tree.onsets_s(clip) if sound else None,
                    words=tree.words(clip) if sound else None,
                    mfcc=partial(tree.mfcc, clip) if sound and tree.wave_path(clip).is_file() else None,
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


def train_baselines(train: dict[str, Motion], truths: Callable[[str], Motion], seed: int) -> list[Variant]:
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
