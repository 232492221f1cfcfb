"""Score results clip by clip: one pass over each variant's files; only features and numbers stay in memory.

A *variant* is a folder of results for the same clips: the model under a seed, a baseline, somebody else's
output.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omniges.data.beat2 import read_motion
from omniges.errors import DataError, EvaluationError
from omniges.evaluation.beats import beat_consistency
from omniges.evaluation.diversity import foot_sliding, jerk, jerk_norm, l1_diversity, root_drift, spectrum
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.frechet import Moments
from omniges.evaluation.kinematics import WRISTS, Kinematics, groups, kinematics, speed
from omniges.evaluation.listening import (
    beat_difference,
    others_of,
    pause_ratio,
    speech_mask,
    window_scores,
)
from omniges.evaluation.reconstruction import squared_errors
from omniges.evaluation.scorer import Scorer
from omniges.log import progress
from omniges.motion.cleanup import clean
from omniges.motion.features import motion_to_features
from omniges.motion.layout import N_EXPRESSIONS, POSE_WIDTH
from omniges.types import ClipFault, Motion, Word

logger = logging.getLogger(__name__)
Array = NDArray[np.float64]
Role = Literal["model", "wrong-audio", "ground-truth", "baseline"]
MIN_FRAMES = 16
FACE_WIDTH = 2 * N_EXPRESSIONS


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What is true of one clip; its big arrays are read when they are needed, and forgotten."""

    clip: str
    speaker: int
    split: str
    motion: Callable[[], Motion]
    onsets_s: Array | None  # None: there is no sound
    words: Sequence[Word] | None  # None: there is no transcript
    mfcc: Callable[[], NDArray[np.float32]] | None  # [T, 128]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A variant's motion of a clip, at the reference's rate."""

    motion: Motion
    has_expressions: bool = True
    notes: tuple[str, ...] = ()  # what had to be done to it


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Results to be scored."""

    name: str  # "model-seed0"
    label: str  # "model, seed 0"
    role: Role
    read: Callable[[Reference], Result]
    seed: int | None = None


def from_folder(
    name: str,
    label: str,
    role: Role,
    folder: Path,
    seed: int | None = None,
    clean_up: Sequence[str] = (),
) -> Variant:
    """A variant whose results are the npz files of a folder, one a clip, at the references' rate.

    Args:
        name: see `Variant`.
        label: see `Variant`; what is cleaned up is added to it.
        role: see `Variant`.
        folder: of the results.
        seed: see `Variant`.
        clean_up: steps of `omniges.motion.cleanup` that each result goes through before it is scored.
    """

    def read(reference: Reference) -> Result:
        return Result(motion=clean(read_motion(folder / f"{reference.clip}.npz"), clean_up)[0])

    label = f"{label}, cleaned up ({', '.join(clean_up)})" if clean_up else label
    return Variant(name=name, label=label, role=role, seed=seed, read=read)


@dataclass(kw_only=True)
class ClipScore:
    """Everything known about one clip of one variant."""

    clip: str
    speaker: int
    n_frames: int  # scored
    values: dict[str, float]  # per-clip measures
    errors: dict[str, float]  # squared error by group
    features: NDArray[np.float32]  # [N, 240] of the embedder
    spectra: dict[str, tuple[Array, Array]]  # of the wrists' `speed` and `jerk`: Hz, power
    notes: list[str] = field(default_factory=list)


@dataclass
class VariantScores:
    """A variant's clips, in the references' order, and what could not be scored."""

    variant: Variant
    clips: list[ClipScore]
    faults: list[ClipFault]
    face: Moments = field(default_factory=lambda: Moments(FACE_WIDTH))  # of expressions and their change
    true_face: Moments = field(default_factory=lambda: Moments(FACE_WIDTH))  # of the same frames

    def column(self, name: str) -> Array:
        """[clips] of a measure or, as `error/GROUP`, of an error; NaN where a clip has none."""
        if name.startswith("error/"):
            return np.array([c.errors.get(name[6:], np.nan) for c in self.clips])
        return np.array([c.values.get(name, np.nan) for c in self.clips])


@dataclass
class Judge:
    """Encoders and the references' sound, shared by all variants."""

    embedder: Embedder | None
    scorer: Scorer | None
    onsets_s: dict[str, Array]
    speakers: dict[str, int]
    audio: dict[str, NDArray[np.float32]]  # clip → scorer's audio embedding

    @classmethod
    def of(cls, references: Sequence[Reference], embedder: Embedder | None, scorer: Scorer | None) -> "Judge":
        audio = {}
        if scorer is not None:
            audio = {r.clip: scorer.embed_audio(r.mfcc()) for r in references if r.mfcc is not None}
        onsets_s = {r.clip: r.onsets_s for r in references if r.onsets_s is not None}
        return cls(embedder, scorer, onsets_s, {r.clip: r.speaker for r in references}, audio)


def score_variants(
    variants: Sequence[Variant], references: Sequence[Reference], judge: Judge
) -> dict[str, VariantScores]:
    """Score every variant of every clip that can be scored; name every one that can't."""
    scores = {v.name: VariantScores(v, [], []) for v in variants}
    for reference in progress(references, f"scoring {len(variants)} variants of every clip"):
        truth = reference.motion()
        truths: dict[int, Kinematics] = {}
        for variant in variants:
            try:
                add_clip(scores[variant.name], variant.read(reference), truth, reference, judge, truths)
            except (DataError, EvaluationError) as error:
                problem = f"{variant.label}: {error}"
                fault = ClipFault(
                    clip=reference.clip, problem=problem, remedy="Make it again, or leave it out."
                )
                scores[variant.name].faults.append(fault)
                logger.warning("%s not scored: %s", fault.clip, fault.problem)
    return scores


def add_clip(
    scores: VariantScores,
    result: Result,
    truth: Motion,
    reference: Reference,
    judge: Judge,
    truths: dict[int, Kinematics],
) -> None:
    """Take all measures of one clip.

    Args:
        scores: the variant's, to which the clip is added.
        result: the motion to score.
        truth: the clip's own motion; the longer one is cut.
        reference: the clip's sound and words.
        judge: encoders.
        truths: by length, the truth's derived quantities; filled here.
    Raises:
        EvaluationError: too short, or not finite.
    """
    n = min(result.motion.n_frames, truth.n_frames)
    if n < MIN_FRAMES:
        raise EvaluationError(f"{n} frames in common with the ground truth, wanted at least {MIN_FRAMES}.")
    motion = cut(result.motion, n)
    if not all(np.isfinite(x).all() for x in (motion.poses, motion.trans, motion.expressions)):
        raise EvaluationError("the result holds NaN or infinity.")
    if n not in truths:
        truths[n] = kinematics(cut(truth, n))
    own = kinematics(motion, result.has_expressions)
    features = motion_to_features(motion).values
    values = motion_values(own) | listening_values(own, reference, judge)
    if judge.scorer is not None and reference.clip in judge.audio and result.has_expressions:
        values |= scorer_values(features, reference.clip, judge)
    embedded = judge.embedder.features(features[:, :POSE_WIDTH]) if judge.embedder else None
    clip = ClipScore(
        clip=reference.clip,
        speaker=reference.speaker,
        n_frames=n,
        values=values,
        errors=squared_errors(groups(own), groups(truths[n])),
        features=np.empty((0, 240), np.float32) if embedded is None else embedded,
        spectra=motion_spectra(own),
        notes=list(result.notes),
    )
    faces = face_features(own), face_features(truths[n])
    if all(len(face) for face in faces):
        scores.face.add(faces[0])
        scores.true_face.add(faces[1])
    scores.clips.append(clip)


def cut(motion: Motion, n: int) -> Motion:
    """The first n frames."""
    if n == motion.n_frames:
        return motion
    return Motion(
        poses=motion.poses[:n],
        trans=motion.trans[:n],
        expressions=motion.expressions[:n],
        betas=motion.betas,
        fps=motion.fps,
    )


def motion_values(k: Kinematics) -> dict[str, float]:
    """Measures of the motion alone."""
    wrists = k.body[:, list(WRISTS)]
    return {
        "l1div": l1_diversity(k.body),
        "jerk": jerk(wrists, k.fps),
        "wrist_speed": float(speed(wrists, k.fps).mean()),
        "foot_sliding": foot_sliding(k),
        "root_drift": root_drift(k),
    }


def listening_values(k: Kinematics, reference: Reference, judge: Judge) -> dict[str, float]:
    """Beat consistency, its difference to wrong audio, and arm speed in pauses; what can't be computed is
    left out.
    """
    values: dict[str, float] = {}
    onsets_s = reference.onsets_s
    others = [judge.onsets_s[c] for c in others_of(reference.clip, judge.speakers, judge.onsets_s)]
    measures: dict[str, Callable[[], float]] = {}
    if onsets_s is not None:
        measures["bc"] = lambda: beat_consistency(k.body, onsets_s, k.fps)
        measures["bc_difference"] = lambda: beat_difference(k.body, onsets_s, others, k.fps)
    for name, measure in measures.items():
        try:
            values[name] = measure()
        except EvaluationError as error:
            logger.debug("%s: %s left out: %s", reference.clip, name, error)
    if reference.words is not None:
        ratio = pause_ratio(k, speech_mask(reference.words, k.n_frames, k.fps))
        if ratio is not None:
            values["pause_ratio"] = ratio
    return values


def scorer_values(features: NDArray[np.float32], clip: str, judge: Judge) -> dict[str, float]:
    """AUC and R@1 of the contrastive scorer."""
    if judge.scorer is None:
        return {}
    others = others_of(clip, judge.speakers, judge.audio)
    audio = [judge.audio[c] for c in [clip, *others]]
    found = window_scores(judge.scorer.embed_motion(features), audio, 0, judge.scorer.window_steps)
    candidates = {"scorer_auc": found.auc(), "scorer_r1": found.recall_at_1()}
    return {name: value for name, value in candidates.items() if value is not None}


def motion_spectra(k: Kinematics) -> dict[str, tuple[Array, Array]]:
    """Power by frequency of the wrists' speed and jerk, both wrists' mean."""
    wrists = k.body[:, list(WRISTS)]
    signals = {"speed": speed(wrists, k.fps), "jerk": jerk_norm(wrists, k.fps)}
    return {name: spectrum(x.mean(1), k.fps) for name, x in signals.items()}


def face_features(k: Kinematics) -> Array:
    """[M, 200]: expressions and their change per frame, every fourth frame; empty without expressions."""
    if k.expressions is None or k.n_frames < 2:
        return np.empty((0, FACE_WIDTH))
    both = np.concatenate([k.expressions[1:], np.diff(k.expressions, axis=0) * k.fps / 10], axis=1)
    return both[::4]
