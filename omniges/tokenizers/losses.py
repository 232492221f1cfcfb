"""What a tokenizer's reconstruction is judged by during training.

Shapes: B windows, T frames, C channels of the part, J joints of the part.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omniges.motion.layout import N_JOINTS, PARENTS, PARTS, ROT6D, SIDE_JOINTS, Part
from omniges.motion.rotations import rot6d_to_matrix
from omniges.motion.skeleton import forward_kinematics

POSED_EVERY = 4
"""Posing all frames would take as long as the network itself; the phase goes round, so none is left out."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    commitment: float
    velocity: float
    acceleration: float
    geodesic: float  # chordal distance of rotations
    joints: float  # joint positions of the part, everything else at rest


class ReconstructionLoss:
    """Smooth L1 on normalised channels and their differences; optional losses on rotations and joints."""

    def __init__(self, part: str, weights: LossWeights, mean: Tensor, std: Tensor) -> None:
        """Args:
        part: name of the body part; face has no rotations, its geodesic and joint losses are zero.
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
            phase: which frames the losses on rotations and joints look at: one in `POSED_EVERY`.
        """
        w = self.weights
        terms = {"reconstruction": F.smooth_l1_loss(found, wanted), "commitment": commitment}
        loss = terms["reconstruction"] + w.commitment * commitment
        for name, weight, order in (("velocity", w.velocity, 1), ("acceleration", w.acceleration, 2)):
            if weight:
                terms[name] = F.smooth_l1_loss(found.diff(n=order, dim=1), wanted.diff(n=order, dim=1))
                loss = loss + weight * terms[name]
        if self.part.joints and (w.geodesic or w.joints):
            turns, true_turns = (
                self._turns(x[:, phase % POSED_EVERY :: POSED_EVERY]) for x in (found, wanted)
            )
            if w.geodesic:
                terms["geodesic"] = (turns - true_turns).square().sum((-1, -2)).mean()
                loss = loss + w.geodesic * terms["geodesic"]
            if w.joints:
                terms["joints"] = (posed(self.part, turns) - posed(self.part, true_turns)).norm(dim=-1).mean()
                loss = loss + w.joints * terms["joints"]
        return {"loss": loss, **terms}

    def _turns(self, normalised: Tensor) -> Tensor:
        """[B, T, C] to [B, T, J, 3, 3]."""
        raw = normalised.float() * self.std + self.mean
        joints = len(self.part.joints)
        return rot6d_to_matrix(raw[..., : joints * ROT6D].unflatten(-1, (joints, ROT6D)))


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
