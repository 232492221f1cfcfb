"""One HTML file that plays bodies beside each other with sound; nothing is fetched, it works from `file://`.

Shapes: T frames, J = 55 joints, M morph targets, V vertices.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from omniges.errors import DataError
from omniges.files import atomic_path
from omniges.motion.layout import JAW, N_JOINTS, PARENTS, PARTS
from omniges.motion.skeleton import REST_OFFSETS, joint_positions, rest_joints
from omniges.rendering.body import SHIRT, body_mesh, join
from omniges.rendering.face import HEAD, MORPHS, face_mesh, face_weights
from omniges.rendering.glb import continuous_quaternions
from omniges.rendering.painter import FLOOR_JOINTS, Stage, shirt_color
from omniges.rendering.video import encode_sound
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion, Word

PEAKS = 900  # columns of the waveform
WRISTS = (20, 21)
BEAT_SPEED, BEAT_GAP_S = 0.3, 0.25  # m/s that a hand must have reached; seconds between two beats


def write_viewer(
    path: Path,
    motions: Mapping[str, Motion],
    wave: NDArray[np.float32] | None,
    words: Sequence[Word] = (),
    title: str = "Omniges",
) -> None:
    """Write the page.

    Args:
        path: the HTML file, written atomically.
        motions: label -> motion, left to right.
        wave: [N] at 16 kHz; None plays without sound.
        words: shown under the waveform.
        title: of the page.

    Raises:
        DataError: there is no motion, or one without frames.
    """
    if not motions or any(motion.n_frames == 0 for motion in motions.values()):
        raise DataError(f"{path}: got {len(motions)} motions, or one without frames; wanted one at least.")
    data = {
        "title": title,
        "clips": [_clip(label, motion, i) for i, (label, motion) in enumerate(motions.items())],
        "mesh": _mesh(),
        "parents": list(PARENTS),
        "offsets": REST_OFFSETS.tolist(),
        "joints": rest_joints().tolist(),
        "parts": {name: list(part.joints) for name, part in PARTS.items() if part.joints} | {"jaw": [JAW]},
        "morphs": list(MORPHS),
        "head": HEAD,
        "feet": list(FLOOR_JOINTS[2:]),
        "shirt": list(SHIRT),
        "words": [{"text": word.text, "start_s": word.start_s, "end_s": word.end_s} for word in words],
        "peaks": _peaks(wave, min(motion.duration_s for motion in motions.values())),
        "sound": None if wave is None else _base64(_sound(wave)),
        "soundType": "audio/mp4",
    }
    page = resources.files("omniges.rendering").joinpath("data", "viewer.html").read_text("utf-8")
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(page.replace("/*DATA*/null", text), "utf-8")


def _clip(label: str, motion: Motion, index: int) -> dict[str, Any]:
    joints = joint_positions(motion)
    stage = Stage.of(joints)
    turns = Rotation.from_rotvec(np.asarray(motion.poses, np.float64).reshape(-1, 3)).as_quat()
    turns = continuous_quaternions(turns.reshape(-1, N_JOINTS, 4))
    return {
        "label": label,
        "fps": motion.fps,
        "frames": motion.n_frames,
        "turns": _base64(np.round(turns * 32767).astype("<i2")),
        "root": _base64(joints[:, 0].astype("<f4")),
        "face": _base64(np.round(face_weights(motion) * 255).astype(np.uint8)),
        "floor": stage.floor_y,
        "centre": stage.centre.tolist(),
        "color": list(shirt_color(index)),
        "beats": motion_beats_s(joints, motion.fps),
    }


def motion_beats_s(joints: NDArray[np.float64], fps: float) -> list[float]:
    """Moments at which the faster wrist comes to a stop after a stroke, seconds; for the eye, not for scores.

    Args:
        joints: [T, 55, 3] metres.
        fps: frames a second.
    """
    if len(joints) < 3:
        return []
    speed = np.linalg.norm(np.gradient(joints[:, WRISTS], 1 / fps, axis=0), axis=-1).max(1)
    gap = max(1, round(BEAT_GAP_S * fps))
    beats: list[int] = []
    for i in range(1, len(speed) - 1):
        stroke = speed[max(0, i - 2 * gap) : i].max()
        stops = speed[i - 1] > speed[i] <= speed[i + 1] and stroke > BEAT_SPEED and speed[i] < 0.5 * stroke
        if stops and (not beats or i - beats[-1] >= gap):
            beats.append(i)
    return [round((i + 0.5) / fps, 3) for i in beats]


def _mesh() -> dict[str, Any]:
    mesh, face = join([body_mesh(), face_mesh().mesh]), face_mesh()
    weights = np.round(mesh.weights * 255).astype(np.int64)
    weights[:, 0] += 255 - weights.sum(1)  # bytes that sum to one, or bones would pull vertices to the origin
    unit = mesh.normals / np.linalg.norm(mesh.normals, axis=1, keepdims=True)
    return {
        "position": _base64(mesh.vertices.astype("<f4")),
        "normal": _base64(np.round(unit * 127).astype(np.int8)),
        "color": _base64(np.round(mesh.colors * 255).astype(np.uint8)),
        "joints": _base64(mesh.joints.astype(np.uint8)),
        "weights": _base64(weights.astype(np.uint8)),
        "triangles": _base64(mesh.triangles.astype("<u2")),
        "morphs": _base64(face.morphs.astype("<f4")),
        "faceFrom": len(mesh.vertices) - len(face.mesh.vertices),
    }


def _peaks(wave: NDArray[np.float32] | None, seconds: float) -> list[float]:
    if wave is None or len(wave) == 0:
        return []
    heard = np.abs(np.zeros(round(seconds * SAMPLE_RATE), np.float32))
    heard[: min(len(wave), len(heard))] = np.abs(wave[: len(heard)])
    peaks = [float(part.max()) if len(part) else 0.0 for part in np.array_split(heard, PEAKS)]
    loudest = max(peaks) or 1.0
    return [round(peak / loudest, 3) for peak in peaks]


def _sound(wave: NDArray[np.float32]) -> bytes:
    """AAC in MP4, whose edit list lets players skip the encoder's delay."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate, audio.time_base = 64_000, Fraction(1, SAMPLE_RATE)
        encode_sound(container, audio, np.asarray(wave, np.float32))
    return stream.getvalue()


def _base64(values: NDArray[Any] | bytes) -> str:
    raw = values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
    return base64.b64encode(raw).decode("ascii")
