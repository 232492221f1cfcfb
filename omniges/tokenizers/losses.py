"""What a tokenizer's reconstruction is judged by during training.

Shapes: B windows, T frames, C channels of the part, J joints of the part, M joints that the part moves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omniges.motion.emage import CONTACT_JOINTS, CONTACT_M
from omniges.motion.layout import N_JOINTS, N_TRANS, PARENTS, PARTS, ROT6D, SIDE_JOINTS, TRANS_SLICE, Part
from omniges.motion.rotations import rot6d_to_matrix
from omniges.motion.skeleton import forward_kinematics

POSED_EVERY = 4
"""Posing all frames would take as long as the network itself; the phase goes round, so none is left out."""
CONTACT_EVERY = 8
"""The same for contacts, which need two frames in a row."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    commitment: float
    velocity: float
    acceleration: float
    geodesic: float  # chordal distance of rotations
    joints: float  # joint positions of the part, everything else at rest
    path: float  # place on the floor that the steps of a window add up to
    contact: float  # movement of feet that stand on the ground


class ReconstructionLoss:
    """Smooth L1 on normalised channels and their differences; optional losses on what these mean in space."""

    def __init__(self, part: str, weights: LossWeights, mean: Tensor, std: Tensor) -> None:
        """Args:
        part: name of the body part; only lower_trans has a path and feet, and face has no rotations.
        weights: of the terms; the plain reconstruction weighs 1.
        mean: [C].
        std: [C].
        """
        self.part, self.weights, self.mean, self.std = PARTS[part], weights, mean, std

    def __call__(
        self, found: Tensor, wanted: Tensor, commitment: Tensor, phase: int = 0
    ) -> dict[str, Tensor]:
        """Named terms and their weighted sum `loss`.

        Args:
            found: [B, T, C] normalised.
            wanted: [B, T, C] normalised.
            commitment: [] from the quantizer.
            phase: which frames the losses on rotations, joints and contact look at.
        """
        w = self.weights
        terms = {"reconstruction": F.smooth_l1_loss(found, wanted), "commitment": commitment}
        for name, weight, order in (("velocity", w.velocity, 1), ("acceleration", w.acceleration, 2)):
            if weight:
                terms[name] = F.smooth_l1_loss(found.diff(n=order, dim=1), wanted.diff(n=order, dim=1))
        if self.part.joints and (w.geodesic or w.joints):
            terms |= self._of_rotations(found, wanted, phase % POSED_EVERY)
        if walks(self.part) and w.path:
            terms["path"] = self._path_error(found, wanted)
        if walks(self.part) and w.contact:
            terms["contact"] = self._contact_error(found, wanted, phase % CONTACT_EVERY)
        loss = terms["reconstruction"]
        for name, value in terms.items():
            if name != "reconstruction":
                loss = loss + getattr(w, name) * value
        return {"loss": loss, **terms}

    def _of_rotations(self, found: Tensor, wanted: Tensor, phase: int) -> dict[str, Tensor]:
        turns, true_turns = (self._turns(self._raw(x[:, phase::POSED_EVERY])) for x in (found, wanted))
        terms = {}
        if self.weights.geodesic:
            terms["geodesic"] = (turns - true_turns).square().sum((-1, -2)).mean()
        if self.weights.joints:
            gap = posed(self.part, turns) - posed(self.part, true_turns)
            terms["joints"] = gap.norm(dim=-1).mean()
        return terms

    def _path_error(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Mean distance on the floor, metres, when both walk from one point at the window's start.

        Each step's error is small beside a joint's; what people see is their sum.
        """
        steps = ((found - wanted) * self.std)[..., [-N_TRANS, -1]]
        return steps.float().cumsum(dim=1).norm(dim=-1).mean()

    def _contact_error(self, found: Tensor, wanted: Tensor, phase: int) -> Tensor:
        """Mean error, metres, of one frame's movement of the feet that stand on the ground."""
        moves, true_moves = (self._foot_moves(x, phase) for x in (found, wanted))
        grounded = (true_moves.norm(dim=-1) < CONTACT_M).float()
        return ((moves - true_moves).norm(dim=-1) * grounded).sum() / grounded.sum().clamp(min=1)

    def _foot_moves(self, normalised: Tensor, phase: int) -> Tensor:
        """[B, T, C] to [B, P, 4, 3] metres: from every `CONTACT_EVERY`th frame to the next one."""
        raw = self._raw(normalised)
        after = raw[:, phase + 1 :: CONTACT_EVERY]
        before = raw[:, phase::CONTACT_EVERY][:, : after.shape[1]]
        feet = [moved_joints(self.part).index(joint) for joint in CONTACT_JOINTS]
        places = posed(self.part, self._turns(torch.stack([before, after])))[..., feet, :]
        height = after[..., 1 - N_TRANS] - before[..., 1 - N_TRANS]
        step = torch.stack([after[..., -N_TRANS], height, after[..., -1]], dim=-1)
        return places[1] - places[0] + step.unsqueeze(-2)

    def _raw(self, normalised: Tensor) -> Tensor:
        return normalised.float() * self.std + self.mean

    def _turns(self, raw: Tensor) -> Tensor:
        """[..., C] to [..., J, 3, 3]."""
        joints = len(self.part.joints)
        return rot6d_to_matrix(raw[..., : joints * ROT6D].unflatten(-1, (joints, ROT6D)))


def walks(part: Part) -> bool:
    """Does the part carry the translation?"""
    return TRANS_SLICE.start in part.channels


def posed(part: Part, turns: Tensor) -> Tensor:
    """Joints that the part moves, with all other joints at rest.

    Args:
        part: a part with joints.
        turns: [..., J, 3, 3].
    Returns:
        [..., M, 3] metres, the pelvis standing still.
    """
    rotation = torch.eye(3, dtype=turns.dtype, device=turns.device).expand(*turns.shape[:-3], N_JOINTS, 3, 3)
    index = torch.as_tensor(part.joints, device=turns.device)
    rotation = rotation.index_copy(-3, index, turns)
    return forward_kinematics(rotation, turns.new_zeros(*turns.shape[:-3], 3), only=moved_joints(part))


def moved_joints(part: Part) -> tuple[int, ...]:
    """Children of the part's joints, jaw and eyes left out: what the part's own rotations move."""
    return tuple(j for j in range(1, N_JOINTS) if PARENTS[j] in part.joints and j not in SIDE_JOINTS)
