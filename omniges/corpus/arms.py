"""Arms, wrists and fingers from the hands' controls."""

import numpy as np
from scipy.spatial.transform import Rotation

from omniges.corpus.controls import INDEX, Floats
from omniges.corpus.limbs import Limb, bend, soft_reach
from omniges.motion.layout import JOINT_NAMES
from omniges.motion.skeleton import REST_OFFSETS

JOINT: dict[str, int] = {name: i for i, name in enumerate(JOINT_NAMES)}
HOME_M = (0.20, -0.19, 0.20)
"""Where a hand waits, from the chest (joint spine3): outward, up, forward."""

_FINGERS = {
    "index": (0.25, 0.35, 0.15),
    "middle": (0.35, 0.40, 0.20),
    "ring": (0.40, 0.45, 0.20),
    "pinky": (0.45, 0.40, 0.20),
}
RELAX = 16
"""Width of an arm's noise: one for the elbow's side, three for the wrist, twelve for the knuckles."""

_CURL = (0.85, 0.95, 0.50)  # rad a unit of fist, by knuckle


def sign_of(side: str) -> float:
    """+1 for the left, whose bones point to +x, -1 for the right."""
    return 1.0 if side == "left" else -1.0


def arm(side: str) -> Limb:
    """Rest geometry; the elbow bends forward about the vertical."""
    hinge = np.array([0.0, -sign_of(side), 0.0])
    return Limb(
        upper=REST_OFFSETS[JOINT[f"{side}_elbow"]],
        lower=REST_OFFSETS[JOINT[f"{side}_wrist"]],
        hinge=hinge,
        soft=0.94,
    )


def pose_arm(poses: Floats, controls: Floats, side: str, relax: Floats) -> None:
    """Write collar, shoulder, elbow, wrist and fingers of one side.

    Args:
        poses: [T, 55, 3] axis-angle, changed in place.
        controls: [T, C].
        side: left or right.
        relax: [T, RELAX] unit noise for elbow, wrist and knuckles.
    """
    sign = sign_of(side)
    collar = Rotation.from_rotvec(np.outer(controls[:, INDEX["shrug"]] - 0.08, [0.0, 0.0, sign]))
    root = REST_OFFSETS[JOINT[f"{side}_collar"]] + collar.apply(REST_OFFSETS[JOINT[f"{side}_shoulder"]])
    limb = arm(side)
    target = soft_reach(limb, hand_target(controls, side) - root)
    pole = np.array([0.35 * sign, -1.0, -0.45]) + 0.15 * relax[:, :1] * np.array([sign, 0.0, 0.0])
    solved = bend(limb, target, pole)
    poses[:, JOINT[f"{side}_collar"]] = collar.as_rotvec()
    poses[:, JOINT[f"{side}_shoulder"]] = (collar.inv() * solved.root).as_rotvec()
    poses[:, JOINT[f"{side}_elbow"]] = solved.middle.as_rotvec()
    flick, twist = controls[:, INDEX[f"{side}_flick"]], controls[:, INDEX[f"{side}_twist"]]
    poses[:, JOINT[f"{side}_wrist"]] = np.column_stack(
        [
            -0.25 + twist + 0.12 * relax[:, 1],
            sign * (0.2 * flick + 0.04 * relax[:, 2]),
            sign * (0.6 * flick + 0.06 * relax[:, 3]),
        ]
    )
    _pose_fingers(poses, side, controls[:, INDEX[f"{side}_fist"]], relax[:, 4:])


def hand_target(controls: Floats, side: str) -> Floats:
    """[T, 3] metres: where the wrist should be, from the chest, in the chest's frame."""
    sign = sign_of(side)
    offset = controls[:, [INDEX[f"{side}_{axis}"] for axis in ("out", "up", "front")]]
    return (offset + HOME_M) * np.array([sign, 1.0, 1.0])


def _pose_fingers(poses: Floats, side: str, fist: Floats, relax: Floats) -> None:
    """Knuckles close about the hand's z axis; the thumb folds about y."""
    sign = sign_of(side)
    for number, (finger, rest) in enumerate(_FINGERS.items()):
        closing = np.maximum(fist * (0.8 + 0.12 * number), -0.9)
        for knuckle in range(3):
            loose = 0.24 * relax[:, 3 * number + knuckle]
            angle = rest[knuckle] + _CURL[knuckle] * closing + loose
            poses[:, JOINT[f"{side}_{finger}{knuckle + 1}"], 2] = -sign * angle
            poses[:, JOINT[f"{side}_{finger}{knuckle + 1}"], 1] = (
                sign * 0.05 * (1.5 - number) * (1.0 - 0.5 * closing)
            )
    for knuckle, rest_angle in enumerate((0.30, 0.25, 0.30)):
        poses[:, JOINT[f"{side}_thumb{knuckle + 1}"], 1] = sign * (
            rest_angle + 0.2 * fist + 0.05 * relax[:, knuckle]
        )
        poses[:, JOINT[f"{side}_thumb{knuckle + 1}"], 0] = 0.25 - 0.05 * knuckle + 0.08 * fist
