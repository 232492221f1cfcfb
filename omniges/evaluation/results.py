"""Reading anybody's results: BEAT2's npz with whatever other code left out or changed, and what was done
about it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.data.beat2 import read_arrays
from omniges.errors import DataError, EvaluationError
from omniges.evaluation.scoring import Reference, Result
from omniges.motion.layout import N_BETAS, N_EXPRESSIONS, N_JOINTS
from omniges.motion.resample import resample_motion
from omniges.types import Motion

logger = logging.getLogger(__name__)
PREFIXES = ("", "res_")
"""Files may be called CLIP.npz or, as EMAGE and its descendants write them, res_CLIP.npz."""
DEFAULT_FPS = 30.0
MOST_RAD = 4 * np.pi
"""Sums of axis-angle steps may pass one turn; nothing real passes two."""
FAR_OFF = 0.9  # a result shorter than this share of its ground truth is worth a note


def find_result(folder: Path, clip: str) -> Path:
    """The file that holds a clip's result.

    Raises:
        DataError: there is none.
    """
    for prefix in PREFIXES:
        path = folder / f"{prefix}{clip}.npz"
        if path.is_file():
            return path
    raise DataError(f"{folder}: no result for {clip}; wanted {clip}.npz or res_{clip}.npz.")


def read_result(folder: Path, reference: Reference, truth: Motion) -> Result:
    """Read a clip's result and bring it to the ground truth's frame rate.

    Args:
        folder: results.
        reference: names the clip.
        truth: gives rate and length.
    Raises:
        DataError: missing, damaged, or no poses in it.
        EvaluationError: not finite, or without frames.
    """
    path = find_result(folder, reference.clip)
    arrays = read_arrays(path)
    notes: list[str] = []
    poses = _poses(arrays, path)
    n = len(poses)
    motion = Motion(
        poses=poses,
        trans=_rows(
            arrays,
            "trans",
            3,
            n,
            notes,
            "no translation: it stands at the ground truth's first place",
            truth.trans[0],
        ),
        expressions=_expressions(arrays, n, notes),
        betas=np.zeros(N_BETAS, np.float32),
        fps=_fps(arrays, notes),
    )
    if not all(np.isfinite(x).all() for x in (motion.poses, motion.trans, motion.expressions)):
        raise EvaluationError(f"{path.name} holds NaN or infinity.")
    if (largest := float(np.abs(motion.poses).max())) > MOST_RAD:
        notes.append("rotations beyond two turns: radians are wanted, degrees look like this")
        logger.warning("%s: rotations up to %.3g rad; are these degrees?", path.name, largest)
    if n > 1 and not np.ptp(motion.poses, axis=0).any():
        notes.append("its poses never change: a figure that stands still")
    if motion.fps != truth.fps:
        notes.append(f"{motion.fps:g} fps brought to {truth.fps:g} fps on the sphere")
        motion = resample_motion(motion, truth.fps)
    if motion.n_frames < FAR_OFF * truth.n_frames:
        notes.append(f"{motion.n_frames} of {truth.n_frames} frames: only these are scored")
    return Result(motion=motion, has_expressions=_has_expressions(arrays), notes=tuple(notes))


def _poses(arrays: Mapping[str, NDArray[Any]], path: Path) -> NDArray[np.float32]:
    if "poses" not in arrays:
        raise DataError(f"{path}: got arrays {sorted(arrays)}, wanted poses [T, {3 * N_JOINTS}].")
    poses = arrays["poses"]
    if poses.ndim not in (2, 3) or len(poses) == 0 or poses[0].size != 3 * N_JOINTS:
        raise EvaluationError(
            f"{path.name}: poses have shape {poses.shape}, wanted [T >= 1, {3 * N_JOINTS}]."
        )
    _check_numbers(poses, "poses")
    return poses.reshape(len(poses), N_JOINTS, 3).astype(np.float32)


def _check_numbers(values: NDArray[Any], name: str) -> None:
    if values.dtype.kind not in "fiu":
        raise EvaluationError(f"{name}: got type {values.dtype}, wanted real numbers.")


def _rows(
    arrays: Mapping[str, NDArray[Any]],
    key: str,
    width: int,
    n: int,
    notes: list[str],
    missing: str,
    default: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """[n, width] of an array that may be absent; absent ones rest at `default`, and a note says so."""
    if key not in arrays:
        notes.append(missing)
        return np.tile(np.zeros(width) if default is None else default, (n, 1))
    _check_numbers(arrays[key], key)
    values = np.asarray(arrays[key], np.float64)
    if values.shape != (n, width):
        raise EvaluationError(f"{key} has shape {values.shape}, wanted ({n}, {width}) to go with the poses.")
    return values


def _has_expressions(arrays: Mapping[str, NDArray[Any]]) -> bool:
    return "expressions" in arrays and arrays["expressions"].size > 0


def _expressions(arrays: Mapping[str, NDArray[Any]], n: int, notes: list[str]) -> NDArray[np.float64]:
    """[n, 100]. SMPL-X's coefficients are ordered by weight, and models differ in how many they keep: those
    that are not given rest at zero, as the body model has it, and those beyond are left out.
    """
    found = np.zeros((n, N_EXPRESSIONS))
    if not _has_expressions(arrays):
        notes.append("no expressions: the face is not scored")
        return found
    given = arrays["expressions"]
    _check_numbers(given, "expressions")
    if given.ndim != 2 or len(given) != n:
        raise EvaluationError(
            f"expressions has shape {given.shape}, wanted ({n}, {N_EXPRESSIONS}) to go with the poses."
        )
    width = given.shape[1]
    if width < N_EXPRESSIONS:
        notes.append(f"{width} of {N_EXPRESSIONS} expressions: the others are scored as zero, a face at rest")
    if width > N_EXPRESSIONS:
        notes.append(f"{width} expressions: only the first {N_EXPRESSIONS} are scored")
    found[:, :width] = given[:, :N_EXPRESSIONS]
    return found


def _fps(arrays: Mapping[str, NDArray[Any]], notes: list[str]) -> float:
    if "mocap_frame_rate" not in arrays:
        notes.append(f"no mocap_frame_rate: taken as {DEFAULT_FPS:g} fps")
        return DEFAULT_FPS
    rate = arrays["mocap_frame_rate"]
    _check_numbers(rate, "mocap_frame_rate")
    if rate.size != 1:
        raise EvaluationError(f"mocap_frame_rate has shape {rate.shape}, wanted one number.")
    fps = float(rate.reshape(()))
    if not 1 <= fps <= 240:
        raise EvaluationError(f"mocap_frame_rate is {fps:g}, wanted 1 to 240.")
    return fps
