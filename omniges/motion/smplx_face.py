"""How far two faces of one SMPL-X body are apart, vertex by vertex, without posing its meshes.

With jaw and expressions alone every other joint rests, so a vertex is a fixed linear function of expressions
and jaw pose directions, but for the share of it that turns with the jaw. `SmplxBody.pose` gives the same
differences from whole meshes, some thirty times slower.

Symbols: V vertices, e [T, 100] expressions, R [T, 3, 3] rotation of the jaw, f = R − 1 as [T, 9]. A vertex
before skinning is u = u₀ + E e + B f; skinned, the sum over joints j of w_j (G_j (u − J_j) + P_j), with rest
places J_j, posed places P_j and rotations G_j, of which only the jaw's own changes with time (nothing hangs
on it; the fingers rest at the file's mean).
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omniges.motion.layout import JAW, N_BETAS, N_EXPRESSIONS, N_JOINTS, PARENTS
from omniges.motion.rotations import axis_angle_to_matrix
from omniges.motion.smplx_body import N_VERTICES, SmplxBody
from omniges.types import Motion

FRAMES_AT_ONCE = 128


class FaceMesh:
    """The part of a body that jaw and expressions move; made once, it serves every clip."""

    def __init__(self, body: SmplxBody) -> None:
        """Args:
        body: whose template, directions and weights are taken.
        """
        arrays = {name: x.double() for name, x in body.arrays().items()}
        shapes, weights = arrays["shapedirs"], arrays["weights"]
        pose = arrays["posedirs"].T.reshape(N_VERTICES, 3, N_JOINTS - 1, 9)
        rest = axis_angle_to_matrix(arrays["pose_mean"])  # [55, 3, 3] from the joint's parent
        turned = _chained(rest)
        still = torch.eye(N_JOINTS, dtype=torch.float64)
        still[JAW, JAW] = 0
        still_weights = weights @ still  # the jaw's own share is dealt with apart
        mixed = torch.einsum("vj,jab->vab", still_weights, turned)
        # What expressions do to the joints moves vertices too: dP_j − G_j dJ_j.
        joints = torch.einsum("jv,vck->jck", arrays["J_regressor"], shapes)
        expression = shapes[:, :, N_BETAS:]
        moved = _posed(joints[:, :, N_BETAS:], rest, turned) - turned @ joints[:, :, N_BETAS:]
        jaw = pose[:, :, JAW - 1]
        by_expression = mixed @ expression + torch.einsum("vj,jck->vck", still_weights, moved)
        self._fixed = _columns(torch.cat([by_expression, mixed @ jaw], dim=2))  # [109, V · 3]
        found = weights[:, JAW] != 0
        self._turning = torch.nonzero(found)[:, 0]
        self._share = weights[found, JAW].float()[:, None]
        self._jaw_columns = _columns(torch.cat([expression, jaw], dim=2)[found])
        fixed_pose = (rest - torch.eye(3, dtype=torch.float64))[1:].reshape(N_JOINTS - 1, 9)
        self._template = (arrays["v_template"] + torch.einsum("vcjr,jr->vc", pose, fixed_pose))[found]
        self._shapes = shapes[found, :, :N_BETAS]
        self._joint = arrays["J_regressor"][JAW] @ arrays["v_template"]
        self._joint_shapes = joints[JAW]

    @torch.inference_mode()
    def differences(self, result: Motion, truth: Motion) -> Iterator[NDArray[np.float32]]:
        """Result − truth, [t, 10475, 3] metres: consecutive blocks of frames.

        Args:
            result: T frames; of its poses only the jaw counts.
            truth: T frames; its betas are taken for both.
        """
        betas = torch.from_numpy(np.asarray(truth.betas, np.float64))
        rest = (self._template + self._shapes @ betas).float().flatten()
        joint = (self._joint + self._joint_shapes[:, :N_BETAS] @ betas).float()
        for start in range(0, truth.n_frames, FRAMES_AT_ONCE):
            span = slice(start, start + FRAMES_AT_ONCE)
            (a, turn_a), (b, turn_b) = (_inputs(m, span) for m in (result, truth))
            found = ((a - b) @ self._fixed).view(len(a), N_VERTICES, 3)
            sides = (self._turned(x, r, rest, joint) for x, r in ((a, turn_a), (b, turn_b)))
            found[:, self._turning] += self._share * torch.sub(*sides)
            yield found.numpy()

    def _turned(self, x: Tensor, turn: Tensor, rest: Tensor, joint: Tensor) -> Tensor:
        """[t, n, 3] of the vertices that follow the jaw, as if they followed it wholly."""
        places = torch.addmm(rest, x, self._jaw_columns).view(len(x), -1, 3)
        pivot = (joint + x[:, :N_EXPRESSIONS] @ self._joint_shapes[:, N_BETAS:].float().T)[:, None]
        return torch.baddbmm(pivot, places - pivot, turn.transpose(1, 2))


def _inputs(motion: Motion, span: slice) -> tuple[Tensor, Tensor]:
    """[t, 109] of expressions and jaw pose directions; [t, 3, 3] rotation of the jaw."""
    turn = axis_angle_to_matrix(torch.from_numpy(np.asarray(motion.poses[span, JAW], np.float64)))
    expressions = torch.from_numpy(np.asarray(motion.expressions[span], np.float64))
    away = (turn - torch.eye(3, dtype=torch.float64)).flatten(1)
    return torch.cat([expressions, away], dim=1).float(), turn.float()


def _columns(x: Tensor) -> Tensor:
    """[n, 3, k] to [k, n · 3] in float32."""
    return x.reshape(-1, x.shape[2]).T.contiguous().float()


def _chained(rest: Tensor) -> Tensor:
    """[55, 3, 3] rotations from the parent to rotations from the world."""
    found = [rest[0]]
    for joint in range(1, N_JOINTS):
        found.append(found[PARENTS[joint]] @ rest[joint])
    return torch.stack(found)


def _posed(joints: Tensor, rest: Tensor, turned: Tensor) -> Tensor:
    """[55, 3, k] of joints at rest to joints posed by `rest`; linear, so it serves directions as well."""
    found = [joints[0]]
    for joint in range(1, N_JOINTS):
        parent = PARENTS[joint]
        found.append(found[parent] + turned[parent] @ (joints[joint] - joints[parent]))
    return torch.stack(found)
