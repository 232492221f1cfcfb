"""From controls to a BEAT2 motion: posture, steps, gaze and blinks, all hidden, join the plan."""

import numpy as np
from numpy.typing import NDArray

from omniges.corpus.arms import JOINT, RELAX, pose_arm
from omniges.corpus.controls import INDEX, Floats, smooth, wander
from omniges.corpus.face import blinks, expressions, pose_eyes, pose_jaw
from omniges.corpus.speakers import Speaker, random_state
from omniges.corpus.stance import pose_legs, stand
from omniges.motion.layout import N_BETAS, N_EXPRESSIONS, N_JOINTS
from omniges.motion.skeleton import REST_OFFSETS
from omniges.types import Motion

_POSTURE = {  # standard deviation of the hidden wandering, in the channel's unit
    **{f"{side}_{axis}": 0.03 for side in ("right", "left") for axis in ("out", "up", "front")},
    "head_pitch": 0.04,
    "head_yaw": 0.045,
    "head_roll": 0.035,
    "torso_pitch": 0.06,
    "torso_yaw": 0.08,
    "torso_roll": 0.06,
}


def move(controls: Floats, speaker: Speaker, seed: int, draw: np.random.RandomState, fps: float) -> Motion:
    """Pose the whole body.

    Args:
        controls: [T, C], mixed.
        speaker: style.
        seed: of the corpus; gives the speaker's resting face and betas.
        draw: everything hidden.
        fps: frames a second.
    """
    n_frames = len(controls)
    controls = _with_posture(controls, draw, fps)
    poses = np.zeros((n_frames, N_JOINTS, 3))
    stance = stand(draw, n_frames, fps)
    pose_legs(poses, stance)
    _pose_trunk(poses, controls, smooth(wander(draw, n_frames, fps, 1.5, 15), 0.15, fps))
    for side in ("left", "right"):
        pose_arm(poses, controls, side, smooth(wander(draw, n_frames, fps, 0.3, RELAX), 0.05, fps))
    pose_jaw(poses, controls)
    pose_eyes(poses, draw, fps)
    blink = blinks(draw, n_frames, fps)
    noise = smooth(wander(draw, n_frames, fps, 2.0, 3), 0.15, fps)
    neutral = random_state(seed, speaker.number, 2).normal(0.0, 0.35, N_EXPRESSIONS)
    return Motion(
        poses=poses.astype(np.float32),
        trans=stance.pelvis - REST_OFFSETS[0],
        expressions=expressions(controls, blink, noise, neutral).astype(np.float64),
        betas=_betas(seed, speaker),
        fps=fps,
    )


def _with_posture(controls: Floats, draw: np.random.RandomState, fps: float) -> Floats:
    noise = smooth(wander(draw, len(controls), fps, 3.0, len(_POSTURE)), 0.2, fps)
    out = controls.copy()
    for i, (name, spread) in enumerate(_POSTURE.items()):
        out[:, INDEX[name]] += spread * noise[:, i]
    return out


def _pose_trunk(poses: Floats, controls: Floats, relax: Floats) -> None:
    torso = controls[:, [INDEX["torso_pitch"], INDEX["torso_yaw"], INDEX["torso_roll"]]]
    head = controls[:, [INDEX["head_pitch"], INDEX["head_yaw"], INDEX["head_roll"]]]
    for joint, share, lean in (("spine1", 0.5, 0.05), ("spine2", 0.35, 0.04), ("spine3", 0.15, 0.02)):
        poses[:, JOINT[joint]] = share * torso + [lean, 0.0, 0.0]
    poses[:, JOINT["neck"]] = 0.45 * head + [0.06, 0.0, 0.0]
    poses[:, JOINT["head"]] = 0.55 * head - [0.04, 0.0, 0.0]
    for i, joint in enumerate(("spine1", "spine2", "spine3", "neck", "head")):
        poses[:, JOINT[joint]] += 0.015 * relax[:, 3 * i : 3 * i + 3]


def _betas(seed: int, speaker: Speaker) -> NDArray[np.float32]:
    """A body of the speaker's own; BEAT2 fills the first few of 300."""
    betas = np.zeros(N_BETAS, np.float32)
    betas[:10] = random_state(seed, speaker.number, 3).normal(0.0, 0.5, 10)
    return betas
