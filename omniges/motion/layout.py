"""The one home of joint names, body parts and channel counts.

Two layouts exist:

* **features** [T, 433]: what is stored per clip: 330 rot6d of 55 joints, 3 translation features,
  100 expressions.
* **gesture** [T, 415]: what tokenizers and model see: the four parts side by side, upper 78, hands 180,
  lower_trans 57, face 100.

Jaw and eyes (joints 22-24) are in no part of the published tokenizers. They travel beside the gesture as
`side` [T, 9], axis-angle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JOINT_NAMES: tuple[str, ...] = (
    *(
        "pelvis",
        "left_hip",
        "right_hip",
        "spine1",
        "left_knee",
        "right_knee",
        "spine2",
        "left_ankle",
        "right_ankle",
    ),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"),
    *(
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "jaw",
        "left_eye_smplhf",
        "right_eye_smplhf",
    ),
    *(
        f"{side}_{finger}{i}"
        for side in ("left", "right")
        for finger in ("index", "middle", "pinky", "ring", "thumb")
        for i in (1, 2, 3)
    ),
)
N_JOINTS = len(JOINT_NAMES)
PARENTS: tuple[int, ...] = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
)
JAW, EYES = 22, (23, 24)
SIDE_JOINTS: tuple[int, ...] = (JAW, *EYES)
"""Joints that no published tokenizer holds; see the module's docstring."""

N_EXPRESSIONS = 100
N_BETAS = 300
N_TRANS = 3
ROT6D = 6
POSE_WIDTH = N_JOINTS * ROT6D
FEATURE_WIDTH = POSE_WIDTH + N_TRANS + N_EXPRESSIONS
SIDE_WIDTH = 3 * len(SIDE_JOINTS)
TRANS_SLICE = slice(POSE_WIDTH, POSE_WIDTH + N_TRANS)
EXPRESSION_SLICE = slice(POSE_WIDTH + N_TRANS, FEATURE_WIDTH)


def rot6d_channels(joints: tuple[int, ...]) -> NDArray[np.int64]:
    """Feature channels of some joints' rot6d, joint by joint."""
    return (np.asarray(joints, dtype=np.int64)[:, None] * ROT6D + np.arange(ROT6D)).reshape(-1)


@dataclass(frozen=True)
class Part:
    """A body part with its own tokenizer."""

    name: str
    joints: tuple[int, ...]
    channels: NDArray[np.int64]  # indices into the 433 feature channels
    gesture: slice  # its place among the 415 gesture channels

    @property
    def width(self) -> int:
        return len(self.channels)


def _parts() -> dict[str, Part]:
    lower = (0, 1, 2, 4, 5, 7, 8, 10, 11)
    trans = np.arange(TRANS_SLICE.start, TRANS_SLICE.stop)
    spec = {
        "upper": ((3, 6, 9, *range(12, 22)), None),
        "hands": (tuple(range(25, 55)), None),
        "lower_trans": (lower, trans),
        "face": ((), np.arange(EXPRESSION_SLICE.start, EXPRESSION_SLICE.stop)),
    }
    parts, start = {}, 0
    for name, (joints, extra) in spec.items():
        channels = np.concatenate(
            [rot6d_channels(joints), extra if extra is not None else np.empty(0, np.int64)]
        )
        parts[name] = Part(name, joints, channels, slice(start, start + len(channels)))
        start += len(channels)
    return parts


PARTS: dict[str, Part] = _parts()
PART_NAMES: tuple[str, ...] = tuple(PARTS)
GESTURE_WIDTH = sum(part.width for part in PARTS.values())
FRAMES_PER_CODE = 4
"""Motion frames that one code of every quantizer stands for (two stride-2 convolutions in the tokenizer)."""
GESTURE_CHANNELS: NDArray[np.int64] = np.concatenate([part.channels for part in PARTS.values()])
"""Feature channel of each of the 415 gesture channels."""
