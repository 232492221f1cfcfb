"""How well a tokenizer gives motion back: in degrees, millimetres and speed, and how it uses its codes.

Shapes: T frames, cut to a multiple of 4; C channels of the part; Q quantizers; J joints of the part, M joints
that it moves. Every clip is encoded in one pass. Errors are means over frames and joints of all clips
together, so that long clips count for more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omniges.motion.emage import CONTACT_JOINTS, CONTACT_M
from omniges.motion.features import translation_from_features
from omniges.motion.layout import FRAMES_PER_CODE, JOINT_NAMES, N_TRANS, PARTS, ROT6D, Part
from omniges.motion.rotations import geodesic_angle, rot6d_to_matrix
from omniges.tokenizers.distance import MotionEmbedder, distance
from omniges.tokenizers.losses import moved_joints, posed, walks
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.statistics import Statistics

MM_PER_M = 1000.0
BY_JOINT, TRUE_SLIDE = "_by_joint", "true_foot_slide_mm_per_s"
Figures = dict[str, NDArray[np.float64]]
"""Values by name; the first axis is frames, contacts or windows."""


@dataclass(frozen=True)
class ClipChannels:
    """One clip's raw channels of the part."""

    clip: str
    values: NDArray[np.float32]  # [T, C]


def measure(
    part: str,
    model: RVQVAE,
    statistics: Statistics,
    clips: Sequence[ClipChannels],
    fps: float,
    split: str,
    embedder: MotionEmbedder | None = None,
) -> dict[str, Any]:
    """Reconstruction figures of some clips, JSON values with units in their names.

    Args:
        part: name of the body part.
        model: in evaluation mode.
        statistics: the model's normalisation.
        clips: at least one, each of 4 frames or more.
        fps: frames a second.
        split: where the clips come from, for the record.
        embedder: of the part's motion, for FGD; None leaves FGD out.
    Returns:
        each error with all quantizers by its name, with the first 1, 2, ... Q in `by_quantizers_kept`.
    """
    wanted = [_whole_codes(clip.values) for clip in clips]
    codes: list[Tensor] = []
    found: list[list[Figures]] = []
    for values in wanted:
        clip_codes, by_kept = _passes(model, statistics, values)
        codes.append(clip_codes)
        truth = _Channels.of(PARTS[part], values.astype(np.float64))
        found.append([_figures(PARTS[part], statistics, raw, truth, fps, embedder) for raw in by_kept])
    joined = {
        name: [np.concatenate([clip[kept][name] for clip in found]) for kept in range(len(found[0]))]
        for name in found[0][0]
    }
    features = joined.pop("features", None)
    means = {name: [_mean(values) for values in kept] for name, kept in joined.items()}
    by_joint = {name: means.pop(name)[-1] for name in list(means) if name.endswith(BY_JOINT)}
    floor = {TRUE_SLIDE: means.pop(TRUE_SLIDE)[-1]} if TRUE_SLIDE in means else {}
    if embedder is not None and features is not None:
        real = embedder.features(wanted)
        means["fgd"] = [distance(real, kept) for kept in features]
        floor["fgd_of_train_split"] = distance(real, embedder.train)
    return {
        "split": split,
        "clips": len(clips),
        "frames": sum(map(len, wanted)),
        **{name: values[-1] for name, values in means.items()},
        **floor,
        "by_quantizers_kept": means,
        "by_joint": _named(PARTS[part], by_joint),
        "codes": code_use(torch.cat(codes), model.config.quantizer.codes, model.config.quantizer.quantizers),
    }


@torch.no_grad()
def _passes(
    model: RVQVAE, statistics: Statistics, wanted: NDArray[np.float32]
) -> tuple[Tensor, list[NDArray[np.float64]]]:
    """Codes [N, Q] and the raw reconstruction [T, C] with the first 1, 2, ... Q quantizers."""
    normalised = torch.from_numpy((wanted - statistics.mean) / statistics.std)[None]
    codes = model.encode(normalised.to(next(model.parameters()).device))
    mean, std = (x.astype(np.float64) for x in (statistics.mean, statistics.std))
    decoded = (model.decode_codes(codes[..., : q + 1])[0].cpu().numpy() for q in range(codes.shape[-1]))
    return codes[0].cpu(), [x * std + mean for x in decoded]


@dataclass(frozen=True)
class _Channels:
    """A clip's raw channels and what they mean in space."""

    values: NDArray[np.float64]  # [T, C]
    turns: Tensor  # [T, J, 3, 3], float64; J may be 0
    places: Tensor  # [T, M, 3] metres, the pelvis standing still

    @classmethod
    def of(cls, part: Part, values: NDArray[np.float64]) -> "_Channels":
        joints = len(part.joints)
        rot6d = torch.from_numpy(values[:, : joints * ROT6D]).unflatten(1, (joints, ROT6D))
        turns = rot6d_to_matrix(rot6d)
        return cls(values, turns, posed(part, turns) if joints else turns.new_zeros(len(values), 0, 3))


def _figures(
    part: Part,
    statistics: Statistics,
    raw: NDArray[np.float64],
    truth: _Channels,
    fps: float,
    embedder: MotionEmbedder | None,
) -> Figures:
    """One clip's errors, frame by frame, and its features."""
    figures = _errors(part, _Channels.of(part, raw), truth, fps)
    figures["normalised_abs_error"] = np.abs((raw - truth.values) / statistics.std).mean(axis=1)
    if embedder is not None:
        figures["features"] = embedder.features([raw])
    return figures


def code_use(codes: Tensor, size: int, quantizers: int) -> dict[str, list[float]]:
    """Share of codes in use and perplexity of each quantizer.

    Args:
        codes: [M, Q] int64.
        size: K.
        quantizers: Q.
    """
    shares, perplexities = [], []
    for q in range(quantizers):
        count = torch.bincount(codes[:, q], minlength=size).double()
        share = count / count.sum()
        shares.append(float((count > 0).double().mean()))
        perplexities.append(float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum())))
    return {"used_share": [round(v, 4) for v in shares], "perplexity": [round(v, 2) for v in perplexities]}


def _errors(part: Part, found: _Channels, truth: _Channels, fps: float) -> Figures:
    """Named errors of one clip, a value (or a row of joints) for each frame."""
    if not part.joints:
        gap = found.values - truth.values
        velocity = np.abs(np.diff(gap, axis=0)).mean(axis=1) * fps
        return {"abs_error": np.abs(gap).mean(axis=1), "velocity_error_per_s": velocity}
    gap_m = found.places - truth.places
    degrees = torch.rad2deg(geodesic_angle(found.turns, truth.turns))
    millimetres = gap_m.norm(dim=-1) * MM_PER_M
    errors = {
        "degrees": degrees.mean(1).numpy(),
        "joints_mm": millimetres.mean(1).numpy(),
        "velocity_mm_per_s": gap_m.diff(dim=0).norm(dim=-1).mean(1).numpy() * MM_PER_M * fps,
        "degrees" + BY_JOINT: degrees.numpy(),
        "joints_mm" + BY_JOINT: millimetres.numpy(),
    }
    return errors | _path_errors(part, found, truth, fps) if walks(part) else errors


def _path_errors(part: Part, found: _Channels, truth: _Channels, fps: float) -> Figures:
    """Errors of the integrated translation, and how fast feet slide that the truth keeps on the ground."""
    path, true_path = (translation_from_features(x.values[:, -N_TRANS:], np.zeros(2)) for x in (found, truth))
    feet = [moved_joints(part).index(joint) for joint in CONTACT_JOINTS]
    moves, true_moves = (
        np.linalg.norm(np.diff(x.places.numpy()[:, feet] + way[:, None], axis=0), axis=-1)
        for x, way in ((found, path), (truth, true_path))
    )
    grounded = true_moves < CONTACT_M
    return {
        "trans_drift_mm": np.linalg.norm(path - true_path, axis=1) * MM_PER_M,
        "trans_velocity_mm_per_s": np.linalg.norm(np.diff(path - true_path, axis=0), axis=1) * MM_PER_M * fps,
        "foot_slide_mm_per_s": moves[grounded] * MM_PER_M * fps,
        TRUE_SLIDE: true_moves[grounded] * MM_PER_M * fps,
    }


def _mean(values: NDArray[np.float64]) -> Any:
    """Mean over frames: a number, or a list of one for each joint; null where nothing was counted."""
    return np.round(values.mean(axis=0), 6).tolist() if len(values) else None


def _named(part: Part, by_joint: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        name.removesuffix(BY_JOINT): {
            JOINT_NAMES[joint]: value
            for joint, value in zip(
                part.joints if name == "degrees" + BY_JOINT else moved_joints(part), values, strict=True
            )
        }
        for name, values in by_joint.items()
    }


def _whole_codes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[: len(values) // FRAMES_PER_CODE * FRAMES_PER_CODE]
