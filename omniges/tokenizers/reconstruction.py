"""How well a tokenizer gives motion back: in degrees, millimetres and speed, and how it uses its codes.

Shapes: T frames, cut to a multiple of 4; C channels of the part; Q quantizers. Every clip is encoded in one
pass. Errors are means over frames and joints of all clips together, so that long clips count for more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omniges.motion.features import translation_from_features
from omniges.motion.layout import FRAMES_PER_CODE, N_TRANS, PARTS, ROT6D, TRANS_SLICE
from omniges.motion.rotations import geodesic_angle, rot6d_to_matrix
from omniges.tokenizers.losses import posed
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.statistics import Statistics

MM_PER_M = 1000.0


@dataclass(frozen=True)
class ClipChannels:
    """One clip's raw channels of the part."""

    clip: str
    values: NDArray[np.float32]  # [T, C]


def measure(
    part: str, model: RVQVAE, statistics: Statistics, clips: Sequence[ClipChannels], fps: float, split: str
) -> dict[str, Any]:
    """Reconstruction figures of some clips, JSON values with units in their names.

    Args:
        part: name of the body part.
        model: in evaluation mode.
        statistics: the model's normalisation.
        clips: at least one, each of 4 frames or more.
        fps: frames a second.
        split: where the clips come from, for the record.
    """
    device = next(model.parameters()).device
    quantizers = model.config.quantizer.quantizers
    codes, kept_errors = [], []
    totals: dict[str, list[NDArray[np.float64]]] = {}
    for clip in clips:
        wanted = _whole_codes(clip.values)
        normalised = _normalised(wanted, statistics).to(device)
        found_codes, by_kept = _passes(model, normalised)
        codes.append(found_codes)
        kept_errors.append([(x - normalised).abs().mean().item() for x in by_kept])
        raw = by_kept[-1][0].cpu().double() * torch.from_numpy(statistics.std) + torch.from_numpy(
            statistics.mean
        )
        for name, values in _errors(part, raw, torch.from_numpy(wanted).double(), fps).items():
            totals.setdefault(name, []).append(values.numpy())
    weights = np.array([len(c) for c in codes], np.float64)
    kept = np.average(np.array(kept_errors), axis=0, weights=weights)
    return {
        "split": split,
        "clips": len(clips),
        "frames": int(weights.sum()) * FRAMES_PER_CODE,
        "normalised_abs_error_by_quantizers_kept": [round(float(v), 6) for v in kept],
        **{name: round(float(np.concatenate(values).mean()), 6) for name, values in totals.items()},
        "codes": code_use(torch.cat(codes), model.config.quantizer.codes, quantizers),
    }


@torch.no_grad()
def _passes(model: RVQVAE, normalised: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Codes [N, Q] and the reconstruction [1, T, C] with the first 1, 2, ... Q quantizers."""
    codes = model.encode(normalised[None] if normalised.ndim == 2 else normalised)
    return codes[0].cpu(), [model.decode_codes(codes[..., : q + 1]) for q in range(codes.shape[-1])]


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


def _errors(part: str, found: Tensor, wanted: Tensor, fps: float) -> dict[str, Tensor]:
    """Named per-frame errors of one clip; found and wanted [T, C] raw, float64."""
    joints = len(PARTS[part].joints)
    if not joints:
        return {
            "abs_error": (found - wanted).abs().mean(1),
            "velocity_error_per_s": (found.diff(dim=0) - wanted.diff(dim=0)).abs().mean(1) * fps,
        }
    turns, true_turns = (
        rot6d_to_matrix(x[:, : joints * ROT6D].unflatten(1, (joints, ROT6D))) for x in (found, wanted)
    )
    places, true_places = posed(PARTS[part], turns), posed(PARTS[part], true_turns)
    speed = (places.diff(dim=0) - true_places.diff(dim=0)).norm(dim=-1) * fps
    errors = {
        "degrees": torch.rad2deg(geodesic_angle(turns, true_turns)).mean(1),
        "joints_mm": (places - true_places).norm(dim=-1).mean(1) * MM_PER_M,
        "velocity_mm_per_s": speed.mean(1) * MM_PER_M,
    }
    if TRANS_SLICE.start in PARTS[part].channels:
        origin = np.zeros(2)
        path, true_path = (
            translation_from_features(x[:, -N_TRANS:].numpy(), origin) for x in (found, wanted)
        )
        step = np.linalg.norm(np.diff(path, axis=0) - np.diff(true_path, axis=0), axis=1)
        errors["trans_drift_mm"] = torch.from_numpy(np.linalg.norm(path - true_path, axis=1)) * MM_PER_M
        errors["trans_velocity_mm_per_s"] = torch.from_numpy(step) * MM_PER_M * fps
    return errors


def _whole_codes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[: len(values) // FRAMES_PER_CODE * FRAMES_PER_CODE]


def _normalised(values: NDArray[np.float32], statistics: Statistics) -> Tensor:
    return torch.from_numpy((values - statistics.mean) / statistics.std)[None]
