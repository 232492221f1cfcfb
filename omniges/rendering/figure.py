"""Bodies that can be drawn: the project's mannequin, or the mesh of a user's licensed SMPL-X file.

Shapes: T frames, V vertices, F triangles.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from omniges.motion.parts import parts_of
from omniges.motion.skeleton import joint_positions
from omniges.motion.smplx_body import SmplxBody
from omniges.rendering.body import SHIRT, Mesh, body_mesh, join
from omniges.rendering.face import HEAD, face_mesh, face_weights
from omniges.rendering.kinematics import skinning_transforms, world_transforms
from omniges.rendering.raster import pose_vertices
from omniges.types import Motion

Floats = NDArray[np.float32]
Triangles = NDArray[np.int32]
HEAD_REACH_M = 0.34  # around the middle of the head: with neck and shoulders' top
BLOCK = 32  # frames of a SMPL-X body that are posed together
JOINT_BLOCK = 1024  # frames whose joints are worked out together


class Figure(Protocol):
    """A body in motion."""

    joints: NDArray[np.float64]  # [T, 55, 3] metres, world
    head_turns: NDArray[np.float64]  # [T, 3, 3]
    colors: Floats  # [V, 3] 0..1
    triangles: Triangles  # [F, 3] counter-clockwise from outside
    head_triangles: Triangles  # those of the enlarged face

    def pose(self, frame: int) -> tuple[Floats, Floats]:
        """Vertices and normals [V, 3] of one frame; the arrays are reused."""


def make_figure(
    motion: Motion,
    smplx_model: Path | str | None,
    shirt: tuple[float, float, float],
    face: Floats | None = None,
) -> Figure:
    """The figure for a clip, or for a part of one.

    Args:
        motion: T frames.
        smplx_model: a SMPL-X file, or None for the mannequin.
        shirt: colour, 0..1.
        face: [T, M] weights of the mannequin's face, for a part whose rest the whole clip decides; None takes
            the motion's own.
    """
    if smplx_model is None:
        return Mannequin(motion, shirt, face)
    return SmplxFigure(motion, _body(Path(smplx_model)), shirt)


def joint_blocks(motion: Motion, smplx_model: Path | str | None) -> Iterator[NDArray[np.floating]]:
    """A figure's joints [t, 55, 3], block after block, so that memory doesn't grow with the clip."""
    body = None if smplx_model is None else _body(Path(smplx_model))
    for part in parts_of(motion, JOINT_BLOCK):
        yield joint_positions(part) if body is None else body.joints(part)


class Mannequin:
    """The project's own body and face."""

    def __init__(self, motion: Motion, shirt: tuple[float, float, float], face: Floats | None = None) -> None:
        world = world_transforms(motion)
        self.joints, self.head_turns = world[..., 3], world[:, HEAD, :, :3]
        self.bones = skinning_transforms(motion)
        self.weights = face_weights(motion) if face is None else face
        self.mesh = _tinted(join([body_mesh(), face_mesh().mesh]), shirt)
        self.colors, self.triangles = self.mesh.colors, self.mesh.triangles
        middle = self.mesh.vertices[self.mesh.joints[:, 0] == HEAD].mean(0)
        self.head_triangles = _near(self.mesh.vertices, self.triangles, middle)
        self.first_face_vertex = len(body_mesh().vertices)
        self.vertices, self.normals = (np.empty_like(self.mesh.vertices) for _ in range(2))

    def pose(self, frame: int) -> tuple[Floats, Floats]:
        """See `Figure.pose`."""
        mesh, rest = self.mesh, self.mesh.vertices
        if self.weights[frame].any():
            rest = rest.copy()
            rest[self.first_face_vertex :] += np.tensordot(self.weights[frame], face_mesh().morphs, axes=1)
        pose_vertices(
            rest, mesh.normals, mesh.joints, mesh.weights, self.bones[frame], self.vertices, self.normals
        )
        return self.vertices, self.normals


class SmplxFigure:
    """A licensed body, with the clip's own shape and expressions; all in one colour."""

    def __init__(self, motion: Motion, body: SmplxBody, color: tuple[float, float, float]) -> None:
        self.motion, self.body = motion, body
        self.joints = body.joints(motion).astype(np.float64)
        self.head_turns = world_transforms(motion)[:, HEAD, :, :3]
        self.triangles = body.faces.astype(np.int32)
        self._first, self._block = -1, np.empty((0, 0, 3), np.float32)
        # At rest, so that every part of a clip shows the same triangles.
        still = replace(motion.part(0, 1), poses=np.zeros_like(motion.poses[:1]))
        vertices, middle = _posed(body, still, 0)[0], body.joints(still)[0, HEAD] + [0, 0.05, 0.03]
        pale = 0.45 * np.array(color) + 0.55 * np.array([0.88, 0.84, 0.80])
        self.colors = np.tile(pale.astype(np.float32), (len(vertices), 1))
        self.head_triangles = _near(vertices, self.triangles, middle)

    def pose(self, frame: int) -> tuple[Floats, Floats]:
        """See `Figure.pose`."""
        first = frame - frame % BLOCK
        if first != self._first:
            self._first, self._block = first, _posed(self.body, self.motion, first)
        vertices = np.ascontiguousarray(self._block[frame - first])
        return vertices, vertex_normals(vertices, self.triangles)


@njit(nogil=True, cache=True)
def vertex_normals(vertices: Floats, triangles: Triangles) -> Floats:
    """[V, 3] sums of the neighbouring triangles' normals, each as long as twice its area; not unit."""
    normals = np.zeros_like(vertices)
    for f in range(len(triangles)):
        a, b, c = triangles[f]
        one, other = vertices[b] - vertices[a], vertices[c] - vertices[a]
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            part = one[i] * other[j] - one[j] * other[i]
            normals[a, k] += part
            normals[b, k] += part
            normals[c, k] += part
    return normals


@lru_cache(maxsize=1)
def _body(path: Path) -> SmplxBody:
    return SmplxBody(path, frames_at_once=BLOCK)


def _posed(body: SmplxBody, motion: Motion, first: int) -> Floats:
    return next(iter(body.pose(motion.part(first, first + BLOCK)))).vertices


def _tinted(mesh: Mesh, color: tuple[float, float, float]) -> Mesh:
    colors = mesh.colors.copy()
    colors[np.all(np.isclose(colors, SHIRT), axis=1)] = color
    return replace(mesh, colors=colors)


def _near(vertices: Floats, triangles: Triangles, middle: NDArray[np.floating]) -> Triangles:
    reach = np.abs(vertices[triangles[:, 0]] - middle).max(1)
    return np.ascontiguousarray(triangles[reach < HEAD_REACH_M])
