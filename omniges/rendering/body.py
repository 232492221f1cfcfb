"""The project's own body: a mannequin grown around its skeleton from round cones, skinned to the 55 joints.

It is nobody's scan and no licensed model. Rest pose: `skeleton.rest_joints()`.
Shapes: V vertices, F triangles, N cones.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omniges.motion.layout import JOINT_NAMES, N_JOINTS
from omniges.motion.skeleton import rest_joints
from omniges.rendering.surface import Solid, skin

SKIN, SHIRT, TROUSERS, SHOES = (0.86, 0.66, 0.54), (0.30, 0.52, 0.74), (0.24, 0.26, 0.33), (0.16, 0.15, 0.16)
HAIR = (0.23, 0.16, 0.12)
FINGERS = ("index", "middle", "ring", "pinky", "thumb")


@dataclass(frozen=True)
class Mesh:
    """A skinned surface at rest."""

    vertices: NDArray[np.float32]  # [V, 3] metres
    normals: NDArray[np.float32]  # [V, 3] unit
    colors: NDArray[np.float32]  # [V, 3] 0..1, sRGB
    joints: NDArray[np.int32]  # [V, 4]
    weights: NDArray[np.float32]  # [V, 4], sum 1
    triangles: NDArray[np.int32]  # [F, 3] counter-clockwise from outside


def join(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    columns = {
        name: np.concatenate([getattr(m, name) for m in meshes])
        for name in ("vertices", "normals", "colors", "joints", "weights")
    }
    triangles = np.concatenate([m.triangles + start for m, start in zip(meshes, starts, strict=True)]).astype(
        np.int32
    )
    return Mesh(**columns, triangles=triangles)


class Clay:
    """Collects cones, mirrored to the right where they belong to the left."""

    def __init__(self) -> None:
        self.rest = rest_joints()
        self.cones: list[tuple[NDArray[np.float64], NDArray[np.float64], float, float, int]] = []

    def at(self, name: str, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NDArray[np.float64]:
        """A joint's place, moved a little."""
        return self.rest[JOINT_NAMES.index(name)] + np.array([x, y, z])

    def cone(
        self, joint: str, start: NDArray[np.float64], end: NDArray[np.float64], r0: float, r1: float
    ) -> None:
        """One cone; a joint named `left_*` also makes its mirror image."""
        self.cones.append((start, end, r0, r1, JOINT_NAMES.index(joint)))
        if joint.startswith("left_"):
            mirror = np.array([-1.0, 1.0, 1.0])
            self.cones.append(
                (start * mirror, end * mirror, r0, r1, JOINT_NAMES.index(joint.replace("left_", "right_")))
            )

    def pair(
        self, joint: str, start: NDArray[np.float64], end: NDArray[np.float64], r0: float, r1: float
    ) -> None:
        """One cone of a middle bone and its mirror image."""
        mirror = np.array([-1.0, 1.0, 1.0])
        self.cone(joint, start, end, r0, r1)
        self.cone(joint, start * mirror, end * mirror, r0, r1)

    def solid(self, softness: float) -> Solid:
        start, end, r0, r1, joint = zip(*self.cones, strict=True)
        return Solid(np.array(start), np.array(end), np.array(r0), np.array(r1), np.array(joint), softness)


def torso_solid() -> Solid:
    """Trunk, arms to the wrist, legs and shoes."""
    c = Clay()
    c.pair("pelvis", c.at("pelvis", 0.055, -0.03), c.at("pelvis", 0.055, 0.06), 0.098, 0.088)
    c.pair("spine1", c.at("spine1", 0.052, 0.0, 0.005), c.at("spine2", 0.055, 0.0, 0.0), 0.084, 0.088)
    c.pair("spine2", c.at("spine2", 0.055), c.at("spine3", 0.065, 0.02, -0.01), 0.088, 0.094)
    c.pair("spine3", c.at("spine3", 0.065, 0.02, -0.01), c.at("neck", 0.075, -0.05, 0.0), 0.094, 0.062)
    c.cone("spine3", c.at("spine3", 0.0, 0.06, 0.0), c.at("neck", 0.0, -0.01, 0.0), 0.08, 0.056)
    c.cone(
        "left_collar",
        c.at("neck", 0.015, 0.035, -0.012),
        c.at("left_shoulder", -0.05, 0.005, -0.005),
        0.052,
        0.044,
    )
    c.cone(
        "left_collar", c.at("neck", 0.06, -0.055, -0.005), c.at("left_shoulder", -0.03, -0.008), 0.05, 0.052
    )
    c.cone("left_shoulder", c.at("left_shoulder", -0.012, -0.012), c.at("left_elbow"), 0.056, 0.04)
    c.cone("left_elbow", c.at("left_elbow"), c.at("left_wrist", -0.02), 0.041, 0.028)
    c.cone("left_hip", c.at("left_hip", 0.01, 0.0), c.at("left_knee"), 0.088, 0.058)
    c.cone("left_knee", c.at("left_knee"), c.at("left_ankle"), 0.057, 0.040)
    c.cone(
        "left_knee", c.at("left_knee", 0.0, -0.09, -0.022), c.at("left_knee", 0.0, -0.2, -0.02), 0.046, 0.036
    )
    c.cone(
        "left_ankle",
        c.at("left_ankle", 0.0, -0.035, -0.03),
        c.at("left_foot", 0.0, -0.005, -0.01),
        0.041,
        0.036,
    )
    c.cone(
        "left_foot",
        c.at("left_foot", 0.0, -0.007, -0.01),
        c.at("left_foot", 0.005, -0.012, 0.055),
        0.036,
        0.028,
    )
    return c.solid(0.010)


def head_solid() -> Solid:
    """Neck, skull, jaw, nose and ears; eyes, brows and mouth are `face`'s."""
    c = Clay()
    c.cone("neck", c.at("neck", 0.0, -0.04, 0.0), c.at("head", 0.0, 0.0, -0.012), 0.058, 0.05)
    c.cone("head", c.at("head", 0.0, 0.085, -0.022), c.at("head", 0.0, 0.098, 0.026), 0.086, 0.076)
    c.cone("head", c.at("head", 0.0, 0.04, 0.03), c.at("head", 0.0, 0.06, 0.035), 0.056, 0.062)
    c.pair("head", c.at("head", 0.028, 0.028, 0.058), c.at("head", 0.03, 0.05, 0.05), 0.030, 0.030)
    c.cone("jaw", c.at("head", 0.0, -0.028, 0.072), c.at("head", 0.0, -0.012, 0.062), 0.026, 0.034)
    c.pair("jaw", c.at("head", 0.034, 0.008, 0.018), c.at("head", 0.016, -0.018, 0.064), 0.026, 0.026)
    c.cone("head", c.at("head", 0.0, 0.062, 0.098), c.at("head", 0.0, 0.026, 0.112), 0.006, 0.0125)
    c.pair("head", c.at("head", 0.079, 0.03, 0.0), c.at("head", 0.083, 0.062, -0.004), 0.009, 0.013)
    return c.solid(0.009)


def hand_solid() -> Solid:
    """Both hands, from a little above the wrist."""
    c = Clay()
    c.cone("left_elbow", c.at("left_wrist", -0.07), c.at("left_wrist"), 0.026, 0.023)
    for finger, base, tip in zip(
        FINGERS, (0.0135, 0.014, 0.013, 0.0115, 0.0135), (0.0072, 0.0074, 0.007, 0.0064, 0.0085), strict=True
    ):
        joints = [f"left_{finger}{i}" for i in (1, 2, 3)]
        places = [c.at(name) for name in joints]
        end = places[2] + (places[2] - places[1]) * 0.85
        radii = np.linspace(base * 0.78 if finger != "thumb" else base, tip, 4)
        c.cone("left_wrist", c.at("left_wrist") * 0.85 + places[0] * 0.15, places[0], 0.019, base)
        for joint, start, stop, r0, r1 in zip(
            joints, places, [*places[1:], end], radii[:-1], radii[1:], strict=True
        ):
            c.cone(joint, start, stop, float(r0), float(r1))
    return c.solid(0.0035)


@lru_cache(maxsize=1)
def body_mesh() -> Mesh:
    """The whole mannequin without its face; takes about a second, once a process."""
    rest = rest_joints()
    low, high = rest.min(0) - 0.25, rest.max(0) + 0.25
    torso = _wrap(torso_solid(), low, high, cell=0.018, blend=0.022)
    head = JOINT_NAMES.index("head")
    skull = _wrap(
        head_solid(),
        rest[head] - [0.13, 0.22, 0.15],
        rest[head] + [0.13, 0.24, 0.17],
        cell=0.0095,
        blend=0.012,
    )
    wrist, hands = JOINT_NAMES.index("left_wrist"), []
    for side in (1.0, -1.0):
        box = np.array([rest[wrist] + [-0.12, -0.08, -0.10], rest[wrist] + [0.26, 0.06, 0.12]]) * [side, 1, 1]
        hands.append(_wrap(hand_solid(), box.min(0), box.max(0), cell=0.0068, blend=0.006))
    return join([_dress(torso), _hair(skull), *hands])


def _wrap(
    solid: Solid, low: NDArray[np.float64], high: NDArray[np.float64], cell: float, blend: float
) -> Mesh:
    vertices, triangles = skin(solid, low, high, cell)
    joints, weights = solid.joint_weights(vertices, N_JOINTS, blend)
    return Mesh(
        vertices=vertices.astype(np.float32),
        normals=_smoothed(solid.normals(vertices), triangles).astype(np.float32),
        colors=np.tile(np.array(SKIN, np.float32), (len(vertices), 1)),
        joints=joints.astype(np.int32),
        weights=weights.astype(np.float32),
        triangles=triangles,
    )


def _smoothed(
    normals: NDArray[np.float64], triangles: NDArray[np.int32], rounds: int = 3
) -> NDArray[np.float64]:
    """Normals averaged with their neighbours', so that seams between cones leave no dirt in the shading."""
    for _ in range(rounds):
        total = normals.copy()
        for a, b in ((0, 1), (1, 2), (2, 0)):
            np.add.at(total, triangles[:, a], normals[triangles[:, b]])
        normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return normals


def _dress(mesh: Mesh) -> Mesh:
    """Shirt above the waist, trousers below, shoes where a foot carries the vertex."""
    feet = {JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("ankle", "foot")}
    main, waist = mesh.joints[:, 0], rest_joints()[0, 1] + 0.035
    mesh.colors[:] = SHIRT
    mesh.colors[mesh.vertices[:, 1] < waist] = TROUSERS
    mesh.colors[np.isin(main, list(feet))] = SHOES
    return mesh


def _hair(mesh: Mesh) -> Mesh:
    """A hair line on the skull: above it, behind the ears, the vertices are dark."""
    head = rest_joints()[JOINT_NAMES.index("head")]
    _, y, z = (mesh.vertices - head).T
    mesh.colors[(y > 0.128 + 0.25 * (z - 0.06)) | (z < -0.012 - 0.3 * (0.1 - y)) & (y > 0.0)] = HAIR
    return mesh
