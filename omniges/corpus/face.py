"""Jaw, eyes, blinks and the 100 expression coefficients, which all come from a fixed basis of low rank."""

import numpy as np

from omniges.corpus.arms import JOINT
from omniges.corpus.controls import FACE_CHANNELS, INDEX, Floats, smooth
from omniges.corpus.speakers import random_state
from omniges.motion.layout import N_EXPRESSIONS

_BASIS_SEED = 20240
_GAIN = (11.0, 10.0, 11.0, 9.0, 6.0, 9.0, 6.0, 6.0)  # length of each face channel's direction in coefficients
_BLINK_GAIN = 6.0
_JAW_REST_RAD, _JAW_RAD = 0.012, 0.055


def expression_basis() -> Floats:
    """[9, 100] directions: the eight face channels, then the blink. The same for every corpus and speaker."""
    draw = random_state(_BASIS_SEED)
    directions = np.linalg.qr(draw.standard_normal((N_EXPRESSIONS, len(_GAIN) + 1)))[0].T
    return np.asarray(directions * np.array([*_GAIN, _BLINK_GAIN])[:, None])


def expressions(controls: Floats, blink: Floats, noise: Floats, neutral: Floats) -> Floats:
    """[T, 100] coefficients.

    Args:
        controls: [T, C].
        blink: [T] 0 open, 1 closed.
        noise: [T, 3] unit noise that moves the face a little without speech.
        neutral: [100] the speaker's resting face.
    """
    basis = expression_basis()
    drive: Floats = controls[:, [INDEX[name] for name in FACE_CHANNELS]].copy()
    drive[:, -3:] += np.array([0.06, 0.12, 0.06]) * noise
    return np.asarray(neutral + drive @ basis[:-1] + blink[:, None] * basis[-1])


def pose_jaw(poses: Floats, controls: Floats) -> None:
    """Write the jaw: it opens about x."""
    poses[:, JOINT["jaw"], 0] = _JAW_REST_RAD + _JAW_RAD * controls[:, INDEX["jaw"]]


def pose_eyes(poses: Floats, draw: np.random.RandomState, fps: float) -> None:
    """Write both eyes: they jump to a new point every 0.4 to 2 s, together."""
    n_frames = len(poses)
    gaze: Floats = np.zeros((n_frames, 2))
    frame = 0
    while frame < n_frames:
        length = max(1, round(float(draw.uniform(0.4, 2.0)) * fps))
        gaze[frame : frame + length] = draw.normal(0.0, [0.012, 0.020])
        frame += length
    gaze = smooth(gaze, 0.02, fps)
    for side in ("left", "right"):
        poses[:, JOINT[f"{side}_eye_smplhf"], :2] = gaze


def blinks(draw: np.random.RandomState, n_frames: int, fps: float) -> Floats:
    """[T] 0 to 1: a fast lid about 17 times a minute."""
    times_s, out = (np.arange(n_frames) + 0.5) / fps, np.zeros(n_frames)
    at_s = float(draw.uniform(0.3, 4.0))
    while at_s < n_frames / fps:
        out = np.maximum(out, np.exp(-0.5 * ((times_s - at_s) / 0.06) ** 2))
        at_s += float(draw.uniform(1.2, 5.8))
    return out
