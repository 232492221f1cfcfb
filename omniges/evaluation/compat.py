"""The field's published protocol to the digit, faults included: only for comparison with printed numbers.

Two variants exist. `omniges` is what GestureLSM, SynTalker and SemTalk share; `emage` is PantoMatrix's
`emage_evaltools`. What is wrong with them, and what `correct` mode does instead, stands in
docs/evaluation.md; every letter below names a fault there.

Conventions: joints [T, 55, 3] float32 in metres from a licensed SMPL-X file, 30 fps, 16 kHz. float32 is kept
    where the field has it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import argrelextrema
from torch.nn import functional

from omniges.errors import EvaluationError
from omniges.evaluation.fgd_network import LENGTH_MULTIPLE
from omniges.evaluation.frechet import frechet_distance, frechet_emage
from omniges.evaluation.kinematics import UPPER_JOINTS
from omniges.motion.layout import EYES, JAW
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

Protocol = Literal["omniges", "emage"]
Float32 = NDArray[np.float32]
FPS = 30
ALIGN_FRAMES = 60
ORDER = 7
SIGMA_S = 0.3
MOVING = {"omniges": 0.3, "emage": 0.1}
"""Speeds (in units of the joint's mean) above which a frame counts as moving."""
ROUND, OVERLAP = 128, 16


def generated_frames(audio_s: float, motion_frames: int) -> int:
    """Frames that the omniges protocol generates and scores: whole seconds, whole rounds; the tail is dropped
    (fault F).

    Args:
        audio_s: seconds of sound.
        motion_frames: frames of ground truth at 30 fps.
    """
    n = FPS * min(int(audio_s), motion_frames // FPS)
    n -= n % 8
    rounds = (n - OVERLAP) // (ROUND - OVERLAP)
    if rounds < 1:
        raise EvaluationError(f"compat: {n} frames are shorter than one round of {ROUND}.")
    return OVERLAP + (ROUND - OVERLAP) * rounds


def through_field_rotations(poses: Float32) -> Float32:
    """[T, 55, 3] axis-angle through rot6d and back, in float32, by the field's formulas: up to 4e-4 rad off.

    Each |component| of the quaternion comes from the diagonal and its sign from off the diagonal, which loses
    digits. The `omniges` protocol scores ground truth and results alike after this.
    """
    matrix = _matrix(torch.from_numpy(np.asarray(poses, np.float32)))
    first = functional.normalize(matrix[..., 0, :], dim=-1)
    second = matrix[..., 1, :]
    second = functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    m = torch.stack([first, second, torch.cross(first, second, dim=-1)], dim=-2)
    trace = [m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]]
    signs = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    parts = [
        0.5 * torch.sqrt(torch.clamp(1 + a * trace[0] + b * trace[1] + c * trace[2], min=0))
        for a, b, c in signs
    ]
    off = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]]
    vector = torch.stack([torch.where(o < 0, -p, p) for p, o in zip(parts[1:], off, strict=True)], dim=-1)
    half = torch.atan2(vector.norm(dim=-1, keepdim=True), parts[0][..., None])
    angle = 2 * half
    scale = torch.where(angle.abs() < 1e-6, 0.5 - angle**2 / 48, torch.sin(half) / angle)
    return (vector / scale).numpy()


def rot6d(poses: Float32) -> Float32:
    """[T, 55, 3] axis-angle to [T, 330] rot6d (first two rows), in float32 as the field's network is fed."""
    matrix = _matrix(torch.from_numpy(np.asarray(poses, np.float32)))
    return matrix[..., :2, :].reshape(len(poses), -1).numpy()


def _matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    """[..., 3] to [..., 3, 3] by way of a quaternion, in float32."""
    angle = axis_angle.norm(dim=-1, keepdim=True)
    scale = torch.where(angle.abs() < 1e-6, 0.5 - angle**2 / 48, torch.sin(0.5 * angle) / angle)
    r, i, j, k = torch.unbind(torch.cat([torch.cos(0.5 * angle), axis_angle * scale], dim=-1), -1)
    two = 2.0 / (r * r + i * i + j * j + k * k)
    rows = (
        *(1 - two * (j * j + k * k), two * (i * j - k * r), two * (i * k + j * r)),
        *(two * (i * j + k * r), 1 - two * (i * i + k * k), two * (j * k - i * r)),
        *(two * (i * k - j * r), two * (j * k + i * r), 1 - two * (i * i + j * j)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def scored_pose(motion: Motion, protocol: Protocol) -> Motion:
    """What of a motion reaches the body model: betas stay; place and expressions go, in `emage` also root,
    jaw and eyes.
    """
    poses = motion.poses.copy() if protocol == "emage" else through_field_rotations(motion.poses)
    if protocol == "emage":
        poses[:, [0, JAW, *EYES]] = 0
    n = motion.n_frames
    zeros = np.zeros_like(motion.expressions)
    return Motion(poses=poses, trans=np.zeros((n, 3)), expressions=zeros, betas=motion.betas, fps=motion.fps)


def l1_deviation(joints: Float32) -> Float32:
    """[T, 165]: |x − mean_t x|, what L1Div sums and, in `omniges`, what BC is then computed on (fault C)."""
    flat = joints.reshape(len(joints), -1)
    return np.abs(flat - flat.mean(0))


def l1div(clips: Sequence[Float32]) -> float:
    """Sum over clips of Σ|x − mean| over all frames together."""
    return float(sum(l1_deviation(x).sum(dtype=np.float32) for x in clips) / sum(len(x) for x in clips))


def beats(joints: Float32, mean_velocity: Float32, moving: float) -> list[NDArray[np.int64]]:
    """Each joint's beats as the field finds them: frame numbers within [60, T − 60).

    A minimum is kept if its number IN THE WINDOW is a moving frame of the WHOLE clip: 60 frames off (fault
    D).

    Args:
        joints: [T, 55, 3], or what L1Div left of it.
        mean_velocity: [55] mean speeds of the data set.
        moving: in units of the mean speed.
    """
    x = joints.reshape(len(joints), -1)
    rate = np.concatenate([(x[1:2] - x[:1]) * FPS, (x[2:] - x[:-2]) * (FPS / 2), (x[-1:] - x[-2:-1]) * FPS])
    speed = np.linalg.norm(rate.reshape(len(x), -1, 3), axis=2) / mean_velocity
    found = []
    for column in speed.T:
        minima = argrelextrema(column[ALIGN_FRAMES : len(x) - ALIGN_FRAMES], np.less, order=ORDER)[0]
        found.append(minima[column[minima] > moving])
    return found


def beat_consistency(
    joints: Float32, onsets_s: NDArray[np.float64], mean_velocity: Float32, protocol: Protocol
) -> float:
    """BC of one clip; onsets in seconds from second 2, see `audio_window`.

    Args:
        joints: [T, 55, 3].
        onsets_s: audio onsets in the window.
        mean_velocity: [55].
        protocol: `omniges` scores what L1Div left of the joints.
    """
    positions = l1_deviation(joints) if protocol == "omniges" else joints
    found = beats(positions, mean_velocity, MOVING[protocol])
    return float(np.mean([_alignment(onsets_s, found[j] / FPS) for j in UPPER_JOINTS]))


def _alignment(onsets_s: NDArray[np.float64], beats_s: NDArray[np.float64]) -> float:
    if len(beats_s) == 0:
        return 0.0
    nearest = np.abs(onsets_s[:, None] - beats_s[None]).min(1)
    return float(np.exp(-(nearest**2) / (2 * SIGMA_S**2)).mean())


def audio_window(wave: Float32, n_frames: int, protocol: Protocol) -> Float32:
    """The stretch of sound in which onsets are sought.

    Args:
        wave: [N] at 16 kHz; for `omniges` after `omniges.audio.onsets.field_round_trip`.
        n_frames: scored frames.
        protocol: `omniges` cuts the sound to n frames but takes the end from its full length, so the tail
            stays (fault E).
    """
    if protocol == "emage":
        return wave[2 * SAMPLE_RATE : int((n_frames - ALIGN_FRAMES) / FPS * SAMPLE_RATE)]
    cut = wave[: int(n_frames * SAMPLE_RATE / FPS)]
    return cut[2 * SAMPLE_RATE : len(wave) - 2 * SAMPLE_RATE]


def fgd(results: Sequence[Float32], truths: Sequence[Float32], protocol: Protocol) -> float:
    """FGD over all clips' features [N_i, 240], concatenated."""
    a, b = np.concatenate(results), np.concatenate(truths)
    return frechet_distance(a, b) if protocol == "omniges" else frechet_emage(a, b)


def fgd_frames(n_frames: int) -> int:
    """Frames fed to the network: cut to a multiple of 32."""
    return n_frames - n_frames % LENGTH_MULTIPLE


@dataclass(frozen=True)
class Face:
    """Errors of the face's vertices, metres."""

    mse: float
    lvd: float


def face_errors(result: Float32, truth: Float32, protocol: Protocol) -> Face:
    """Vertex errors as printed.

    Args:
        result: [T, V, 3] vertices.
        truth: [T, V, 3].
        protocol: see `face_of_differences`.
    """
    return face_of_differences([result - truth], protocol)


def face_of_differences(blocks: Iterable[Float32], protocol: Protocol) -> Face:
    """The same from result − truth in consecutive blocks of frames [t, V, 3], so that no clip's mesh is held
    whole.

    `omniges` calls velocity what subtracts the truth's LAST frame from the result's next one (fault G). Held
    against the truth's own velocity that last frame cancels, and what is left is |result − truth| of every
    frame but the first. `emage` divides T − 1 differences by T (fault H).
    """
    squares, velocity, frames, width = 0.0, 0.0, 0, 0
    last: Float32 | None = None
    for block in blocks:
        squares += _total(np.square(block))
        frames, width = frames + len(block), block[0].size
        if protocol == "omniges":
            velocity += _total(np.abs(block if last is not None else block[1:]))
        else:
            joined = block if last is None else np.concatenate([last, block])
            velocity += _total(np.abs(np.diff(joined, axis=0)))
        last = block[-1:]
    steps = frames - 1 if protocol == "omniges" else frames
    return Face(squares / (frames * width), velocity / (steps * width))


def _total(x: Float32) -> float:
    """Sum of frames' sums: float32 within a frame, float64 over frames."""
    return float(x.reshape(len(x), -1).sum(1).sum(dtype=np.float64))


def vertex_velocity_error(result: Float32, truth: Float32) -> float:
    """The corrected LVD: mean |difference of frame differences|, metres a frame."""
    return float(np.abs(np.diff(result, axis=0) - np.diff(truth, axis=0)).mean(dtype=np.float64))
