"""What a page needs of bodies and motions, as JSON, and the pieces of HTML and script that the pages share.

Shapes: T frames, J = 55 joints, M morph targets, V vertices, N samples.
"""

import base64
import re
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.audio.onsets import onset_times
from omniges.motion.layout import EYES, JAW, PARENTS, PARTS
from omniges.motion.skeleton import REST_OFFSETS, joint_positions, rest_joints
from omniges.rendering.body import SHIRT, Mesh, body_mesh
from omniges.rendering.face import HEAD, MORPHS, face_mesh, face_weights
from omniges.rendering.glb import quaternions_of
from omniges.rendering.painter import FLOOR_JOINTS, Stage, shirt_color
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

PEAKS = 900  # columns of the waveform
WRISTS = (20, 21)
BEAT_SPEED, BEAT_GAP_S = 0.3, 0.25  # m/s that a hand must have reached; seconds between two beats


def piece(name: str, package: str = "omniges.rendering") -> str:
    """A text file of a package's `data`; `{{other}}` marks in HTML stand for the shared files so named."""
    text = resources.files(package).joinpath("data", name).read_text("utf-8")
    return re.sub(r"\{\{([a-z.]+)\}\}", lambda mark: piece(mark[1]), text) if name.endswith(".html") else text


def body_json() -> dict[str, Any]:
    """The body that all motions share: skeleton, skin, face, and which joints a part has."""
    face = face_mesh()
    joints = {name.replace("_trans", ""): list(part.joints) for name, part in PARTS.items() if part.joints}
    return {
        "mesh": {
            "body": _mesh(body_mesh()),
            "face": _mesh(face.mesh) | {"morphs": base64_of(face.morphs.astype("<f4"))},
        },
        "parents": list(PARENTS),
        "offsets": REST_OFFSETS.tolist(),
        "joints": rest_joints().tolist(),
        "parts": joints | {"jaw": [JAW], "eyes": list(EYES)},
        "morphs": list(MORPHS),
        "head": HEAD,
        "feet": list(FLOOR_JOINTS[2:]),
        "shirt": list(SHIRT),
    }


def clip_json(label: str, motion: Motion, index: int) -> dict[str, Any]:
    """One whole clip.

    Args:
        label: shown beside the body.
        motion: T frames, T >= 1.
        index: of the body, from the left; decides its colour.
    """
    return {"label": label, "color": list(shirt_color(index)), **frames_json(motion), **facts_json(motion)}


def frames_json(motion: Motion, face: NDArray[np.float32] | None = None) -> dict[str, Any]:
    """The frames of a clip, or of a part of one.

    Args:
        motion: T frames.
        face: [T, M] weights of the morph targets; None takes the motion's own.
    """
    return {
        "fps": motion.fps,
        "frames": motion.n_frames,
        "turns": base64_of(np.round(quaternions_of(motion) * 32767).astype("<i2")),
        "root": base64_of((motion.trans + REST_OFFSETS[0]).astype("<f4")),
        "face": face_json(face_weights(motion) if face is None else face),
    }


def face_json(weights: NDArray[np.float32]) -> str:
    """Weights [T, M] in 0..1 as bytes."""
    return base64_of(np.round(weights * 255).astype(np.uint8))


def facts_json(motion: Motion) -> dict[str, Any]:
    """What is known of a clip as a whole: where it stands, and when its hands stop."""
    return {**stage_json(motion), "beats": motion_beats_s(joint_positions(motion), motion.fps)}


def stage_json(motion: Motion) -> dict[str, Any]:
    """Where the body stands: the floor's height, and the middle of its path, metres."""
    stage = Stage.of([joint_positions(motion)])
    return {"floor": stage.floor_y, "centre": stage.centre.tolist()}


def sound_json(wave: NDArray[np.float32] | None, seconds: float) -> dict[str, Any]:
    """Peaks of the wave and moments at which the sound sets in, of the first so many seconds.

    Args:
        wave: [N] at 16 kHz; None is no sound.
        seconds: that the time line spans.
    """
    if wave is None or len(wave) == 0:
        return {"peaks": [], "onsets": []}
    heard = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    heard[: min(len(wave), len(heard))] = wave[: len(heard)]
    peaks = [float(np.abs(part).max()) if len(part) else 0.0 for part in np.array_split(heard, PEAKS)]
    loudest = max(peaks) or 1.0
    return {
        "peaks": [round(peak / loudest, 3) for peak in peaks],
        "onsets": [round(float(at), 3) for at in onset_times(heard)],
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


def base64_of(values: NDArray[Any] | bytes) -> str:
    raw = values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
    return base64.b64encode(raw).decode("ascii")


def _mesh(mesh: Mesh) -> dict[str, Any]:
    weights = np.round(mesh.weights * 255).astype(np.int64)
    weights[:, 0] += 255 - weights.sum(1)  # bytes that sum to one, or bones would pull vertices to the origin
    unit = mesh.normals / np.linalg.norm(mesh.normals, axis=1, keepdims=True)
    return {
        "vertices": len(mesh.vertices),
        "position": base64_of(mesh.vertices.astype("<f4")),
        "normal": base64_of(np.round(unit * 127).astype(np.int8)),
        "color": base64_of(np.round(mesh.colors * 255).astype(np.uint8)),
        "skinIndex": base64_of(mesh.joints.astype(np.uint8)),
        "skinWeight": base64_of(weights.astype(np.uint8)),
        "triangles": base64_of(mesh.triangles.astype("<u2")),
    }
