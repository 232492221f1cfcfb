"""The published protocol on whole folders: every variant, both of its forms, streamed clip by clip.

`compat` holds the formulas. Here clips are cut, jaws are copied, and sums are kept as published code does it.
What a printed table holds is met only with the authors' own weights, whose SHA-256 stands beside the figures.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from omniges.audio.onsets import field_round_trip, onset_times
from omniges.errors import CheckpointError, DataError, EvaluationError
from omniges.evaluation import compat
from omniges.evaluation import embedder as embedders
from omniges.evaluation.compat import FPS, Float32, Protocol
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.fgd_network import FgdNetwork
from omniges.evaluation.scoring import Reference, Variant, cut
from omniges.files import sha256_file
from omniges.log import progress
from omniges.motion.layout import EYES, JAW, N_JOINTS
from omniges.motion.smplx_body import SmplxBody
from omniges.motion.smplx_face import FaceMesh
from omniges.timing import SAMPLE_RATE
from omniges.types import ClipFault, Motion

logger = logging.getLogger(__name__)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
MEAN_VELOCITY = Path("weights/mean_vel_smplxflame_30.npy")
WEIGHTS = Path("weights/AESKConv_240_100.bin")
"""Where a BEAT2 tree holds the two files that come with it."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the protocol needs beside the clips: the user's own, licensed files."""

    network: FgdNetwork
    body: SmplxBody
    face: FaceMesh
    mean_velocity: Float32  # [55]
    hashes: Mapping[str, str]  # SHA-256 by file's purpose

    @classmethod
    def load(cls, weights: Path, smplx_model: Path, mean_velocity: Path) -> "Tools":
        """Read the three files.

        Args:
            weights: AESKConv_240_100.bin.
            smplx_model: SMPLX_NEUTRAL_2020.npz.
            mean_velocity: mean_vel_smplxflame_30.npy.
        Raises:
            CheckpointError: one is missing, or not what it should be.
        """
        return cls.of(embedders.load(weights), smplx_model, mean_velocity)

    @classmethod
    def of(cls, embedder: Embedder, smplx_model: Path, mean_velocity: Path) -> "Tools":
        """The same with weights that are loaded already.

        Raises:
            CheckpointError: the weights come from no published file, or see `load`.
        """
        if embedder.label != embedders.PUBLISHED_LABEL:
            raise CheckpointError(
                f"published protocol: got an embedder called {embedder.label!r}, wanted "
                "AESKConv_240_100.bin (embedder.weights, or --weights)."
            )
        hashes = {
            "weights": embedder.hash,
            "smplx_model": sha256_file(smplx_model) if smplx_model.is_file() else "",
            "mean_velocity": sha256_file(mean_velocity) if mean_velocity.is_file() else "",
        }
        body = SmplxBody(smplx_model)
        return cls(
            network=embedder.network,
            body=body,
            face=FaceMesh(body),
            mean_velocity=read_mean_velocity(mean_velocity),
            hashes=hashes,
        )


def read_mean_velocity(path: Path) -> Float32:
    """[55] mean joint speeds of the data set.

    Raises:
        CheckpointError: missing, or another shape.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: can't be read: {error}. Wanted BEAT2's {MEAN_VELOCITY} (--mean-vel)."
        ) from error
    if not isinstance(values, np.ndarray) or values.shape != (N_JOINTS,) or not (values > 0).all():
        raise CheckpointError(f"{path}: wanted {N_JOINTS} positive mean speeds, got {np.shape(values)}.")
    return values.astype(np.float32)


@dataclass
class Sums:
    """A variant under one protocol while clips go by."""

    clips: int = 0
    frames: int = 0
    l1: float = 0.0
    beats: float = 0.0
    beat_weight: int = 0
    mse: float = 0.0
    lvd: float = 0.0
    features: list[Float32] = field(default_factory=list)
    true_features: list[Float32] = field(default_factory=list)


@dataclass(frozen=True)
class Published:
    """All figures of the published protocol."""

    hashes: Mapping[str, str]
    figures: Mapping[Protocol, Mapping[str, Mapping[str, float]]]  # protocol → label → figure
    faults: Sequence[ClipFault]

    def as_dict(self) -> dict[str, Any]:
        return {
            "sha256": dict(self.hashes),
            "protocols": {p: {label: dict(row) for label, row in x.items()} for p, x in self.figures.items()},
            "not_scored": [f.__dict__ for f in self.faults],
        }


def score_published(
    references: Sequence[Reference],
    variants: Sequence[Variant],
    truth_of: Callable[[str], Motion],
    wave_of: Callable[[str], Float32],
    tools: Tools,
) -> Published:
    """Score ground truth and variants as printed tables do.

    Args:
        references: the clips.
        variants: what is scored; of the role "ground-truth" only what needs no other side.
        truth_of: clip → its motion at 30 fps, as the data set holds it.
        wave_of: clip → [N] at 16 kHz.
        tools: weights and body.
    Raises:
        EvaluationError: no clip of any variant but the ground truth could be scored.
    """
    sums = {protocol: {v.label: Sums() for v in variants} for protocol in PROTOCOLS}
    faults: list[ClipFault] = []
    for reference in progress(references, "scoring by the published protocol"):
        try:
            truth, wave = truth_of(reference.clip), wave_of(reference.clip)
            heard: dict[tuple[Protocol, int], np.ndarray] = {}
            for variant in variants:
                result = replace(variant.read(reference).motion, betas=truth.betas)
                for protocol in PROTOCOLS:
                    real = variant.role == "ground-truth"
                    add_clip(
                        sums[protocol][variant.label],
                        truth if real else result,
                        truth,
                        wave,
                        tools,
                        protocol,
                        heard,
                    )
        except (DataError, EvaluationError) as error:
            faults.append(ClipFault(clip=reference.clip, problem=f"published protocol: {error}", remedy=""))
            logger.warning("%s: published protocol: %s", reference.clip, error)
    scored = [x for v in variants if v.role != "ground-truth" for x in [sums["omniges"][v.label]] if x.clips]
    if not scored:
        raise EvaluationError(
            "published protocol: no result could be scored"
            + (f"; the first reason: {faults[0].clip}: {faults[0].problem}" if faults else ".")
        )
    real_labels = {v.label for v in variants if v.role == "ground-truth"}
    figures = {
        protocol: {label: totals(x, protocol, label in real_labels) for label, x in rows.items() if x.clips}
        for protocol, rows in sums.items()
    }
    return Published(tools.hashes, figures, faults)


def add_clip(
    sums: Sums,
    result: Motion,
    truth: Motion,
    wave: Float32,
    tools: Tools,
    protocol: Protocol,
    heard: dict[tuple[Protocol, int], np.ndarray],
) -> None:
    """Score one clip of one variant and add it to its sums.

    Args:
        sums: filled here.
        result: the motion; the same object as `truth` for the ground truth's own row.
        truth: the clip's motion.
        wave: [N] at 16 kHz.
        tools: weights and body.
        protocol: `omniges` copies the truth's jaw into the result and rests its eyes (fault J).
        heard: onsets by protocol and frames, filled here.
    """
    for motion in (result, truth):
        if motion.fps != FPS:
            raise EvaluationError(f"{motion.fps:g} fps, wanted {FPS}: the published protocol knows no other.")
    n = scored_frames(result, truth, wave, protocol)
    a, b = cut(result, n), cut(truth, n)
    if protocol == "omniges" and result is not truth:
        poses = a.poses.copy()
        poses[:, JAW], poses[:, list(EYES)] = b.poses[:, JAW], 0
        a = replace(a, poses=poses)
    if (protocol, n) not in heard:
        sound = field_round_trip(wave) if protocol == "omniges" else wave
        heard[protocol, n] = onset_times(compat.audio_window(sound, n, protocol))
    joints = tools.body.joints(compat.scored_pose(a, protocol))
    sums.clips, sums.frames = sums.clips + 1, sums.frames + n
    sums.l1 += float(compat.l1_deviation(joints).sum(dtype=np.float32))
    if len(heard[protocol, n]):
        score = compat.beat_consistency(joints, heard[protocol, n], tools.mean_velocity, protocol)
        weight = n - 2 * compat.ALIGN_FRAMES
        sums.beats, sums.beat_weight = sums.beats + weight * score, sums.beat_weight + weight
    if result is truth:
        return
    sums.features.append(features(tools.network, a))
    sums.true_features.append(features(tools.network, b))
    face = compat.face_of_differences(tools.face.differences(a, b), protocol)
    sums.mse, sums.lvd = sums.mse + n * face.mse, sums.lvd + n * face.lvd


def scored_frames(result: Motion, truth: Motion, wave: Float32, protocol: Protocol) -> int:
    """Frames that are scored: whole rounds of `omniges`, or what both sides have."""
    both = min(result.n_frames, truth.n_frames)
    if protocol == "omniges":
        both = min(both, compat.generated_frames(len(wave) / SAMPLE_RATE, truth.n_frames))
    least = 2 * compat.ALIGN_FRAMES + 2 * compat.ORDER + 1
    if both < least:
        raise EvaluationError(f"{both} frames to score, wanted at least {least}.")
    return both


@torch.inference_mode()
def features(network: FgdNetwork, motion: Motion) -> Float32:
    """[n / 16, 240] of a clip cut to a multiple of 32 frames, fed whole."""
    poses = motion.poses[: compat.fgd_frames(motion.n_frames)]
    return network.encode(torch.from_numpy(compat.rot6d(poses))[None])[0].numpy()


def totals(x: Sums, protocol: Protocol, real: bool) -> dict[str, float]:
    """Figures over all clips; what the ground truth has no other side for, or no onset, is left out."""
    found: dict[str, float] = {"clips": x.clips, "frames": x.frames, "l1div": x.l1 / x.frames}
    if x.beat_weight > 0:
        found["bc"] = x.beats / x.beat_weight
    if not real:
        found["fgd"] = compat.fgd(x.features, x.true_features, protocol)
        found |= {"face_mse": x.mse / x.frames, "lvd": x.lvd / x.frames}
    return found
