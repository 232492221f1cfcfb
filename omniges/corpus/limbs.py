"""Two-bone inverse kinematics in closed form, with a soft reach limit.

Legend: T frames. All vectors are in the frame that the limb hangs in: chest for arms, world for legs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.floating]
_LIMIT = 0.998  # share of the full reach that is never passed


@dataclass(frozen=True, kw_only=True)
class Limb:
    """Rest geometry of an arm or leg."""

    upper: Floats  # [3] metres, root to middle joint at rest
    lower: Floats  # [3] metres, middle to end joint at rest
    hinge: Floats  # [3] unit axis of the middle joint; positive angles bend the limb
    soft: float  # share of the full reach up to which targets are met exactly

    @property
    def reach_m(self) -> float:
        return float(np.linalg.norm(self.upper) + np.linalg.norm(self.lower))


@dataclass(frozen=True)
class Bend:
    """Rotations that bring a limb's end to its target."""

    root: Rotation  # [T], in the frame of the targets
    middle: Rotation  # [T], relative to the upper bone


def soft_reach(limb: Limb, target: Floats) -> Floats:
    """Pull far targets inward smoothly, since a hard clamp makes the elbow jump.

    Args:
        limb: gives the reach.
        target: [T, 3] metres from the limb's root.
    """
    distance = np.linalg.norm(target, axis=-1, keepdims=True)
    soft, room = limb.soft * limb.reach_m, (_LIMIT - limb.soft) * limb.reach_m
    over = np.maximum(distance - soft, 0.0)
    pulled = np.where(distance > soft, soft + room * (1.0 - np.exp(-over / room)), distance)
    return np.asarray(target * (pulled / np.maximum(distance, 1e-9)))


def bend(limb: Limb, target: Floats, pole: Floats) -> Bend:
    """Solve for the two rotations.

    Args:
        limb: rest geometry.
        target: [T, 3] where the end joint should be, from the root, within reach (see `soft_reach`).
        pole: [T, 3] the side to which the middle joint points.
    """
    angle = _hinge_angle(limb, np.linalg.norm(target, axis=-1))
    middle = Rotation.from_rotvec(angle[:, None] * limb.hinge)
    straight = limb.upper + middle.apply(limb.lower)
    side = _orthogonal(np.broadcast_to(limb.upper, straight.shape) - _along(limb.upper, straight), straight)
    wanted_side = _orthogonal(pole, target)
    rest, wanted = _frame(straight, side), _frame(target, wanted_side)
    return Bend(Rotation.from_matrix(wanted @ rest.transpose(0, 2, 1)), middle)


def _hinge_angle(limb: Limb, distance_m: Floats) -> Floats:
    """Law of cosines with the parts of both bones along the hinge taken apart: |a + R b|^2 = d^2."""
    a_along, b_along = limb.upper @ limb.hinge, limb.lower @ limb.hinge
    a, b = limb.upper - a_along * limb.hinge, limb.lower - b_along * limb.hinge
    cosine = (distance_m**2 - limb.upper @ limb.upper - limb.lower @ limb.lower - 2 * a_along * b_along) / (
        2 * np.linalg.norm(a) * np.linalg.norm(b)
    )
    rest_angle = np.arctan2(np.cross(a, b) @ limb.hinge, a @ b)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)) - rest_angle)


def _along(vector: Floats, direction: Floats) -> Floats:
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.asarray(np.sum(vector * unit, axis=-1, keepdims=True) * unit)


def _orthogonal(vector: Floats, direction: Floats) -> Floats:
    """Unit part of `vector` at right angles to `direction`."""
    rest = vector - _along(vector, direction)
    return np.asarray(rest / np.maximum(np.linalg.norm(rest, axis=-1, keepdims=True), 1e-9))


def _frame(first: Floats, second: Floats) -> Floats:
    """[T, 3, 3] orthonormal columns: `first` scaled, `second` (unit, at right angles), their product."""
    one = first / np.linalg.norm(first, axis=-1, keepdims=True)
    return np.stack([one, second, np.cross(one, second)], axis=-1)
