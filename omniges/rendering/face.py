"""The mannequin's face: eyes that turn, lids, brows and a mouth, moved by six morph targets.

Shapes: V vertices, T frames. Heights and depths are relative to the head joint, metres.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omniges.motion.layout import EYES, JOINT_NAMES
from omniges.motion.skeleton import rest_joints
from omniges.rendering.blendshapes import ARKIT_NAMES, arkit_parts
from omniges.rendering.body import HAIR, SKIN, Mesh, head_solid, join
from omniges.types import Motion

MORPHS = ("mouthOpen", "mouthWide", "mouthRound", "mouthSmile", "browUp", "blink")

LIP, LIP_EDGE, CAVITY, TEETH = (0.74, 0.42, 0.39), (0.80, 0.56, 0.47), (0.20, 0.06, 0.07), (0.93, 0.91, 0.87)
EYE_RADIUS, EYE_BACK = 0.0150, 0.0085
HEAD = JOINT_NAMES.index("head")

Points = NDArray[np.float64]


@dataclass(frozen=True)
class FaceMesh:
    """Face features and what each morph target adds to them."""

    mesh: Mesh
    morphs: NDArray[np.float32]  # [len(MORPHS), V, 3] metres at weight 1


MORPH_SOURCES: dict[str, tuple[str, ...]] = {
    "mouthOpen": ("jawOpen",),
    "mouthWide": ("mouthStretchLeft", "mouthStretchRight"),
    "mouthRound": ("mouthPucker", "mouthFunnel"),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "browUp": ("browInnerUp",),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
}
"""Blendshapes whose mean drives each morph target."""


def face_weights(motion: Motion) -> NDArray[np.float32]:
    """How far each morph target is on, [T, 6] in 0..1; see `blendshapes` for what can be known."""
    columns = [[ARKIT_NAMES.index(name) for name in MORPH_SOURCES[morph]] for morph in MORPHS]
    made = [np.zeros((0, len(MORPHS)), np.float32)]
    for shapes in arkit_parts(motion)[1]:
        made.append(np.stack([shapes[:, column].mean(1) for column in columns], axis=1).astype(np.float32))
    return np.concatenate(made)


@lru_cache(maxsize=1)
def face_mesh() -> FaceMesh:
    """Eyes, lids, brows and mouth at rest."""
    pieces = [
        _eye(0),
        _eye(1),
        *(_lid(side) for side in (1.0, -1.0)),
        *(_brow(side) for side in (1.0, -1.0)),
        _mouth(),
    ]
    return FaceMesh(
        join([mesh for mesh, _ in pieces]), np.concatenate([morph for _, morph in pieces], axis=1)
    )


def _surface_z(x: Points, y: Points) -> Points:
    """Where a line along z meets the front of the face; x, y, result relative to the head joint."""
    solid, head = head_solid(), rest_joints()[HEAD]
    points = np.stack([x, y, np.full_like(x, 0.15)], axis=-1).reshape(-1, 3) + head
    for _ in range(40):
        points[:, 2] -= 0.9 * np.maximum(solid.distance(points), 0)
    return (points[:, 2] - head[2]).reshape(x.shape)


def _mesh(
    vertices: Points, triangles: NDArray[np.int32], colors: Points, joint: int, normals: Points | None = None
) -> Mesh:
    """A piece that moves with one joint; vertices in rest coordinates."""
    if normals is None:
        corner = vertices[triangles]
        face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normals = np.zeros_like(vertices)
        for k in range(3):
            np.add.at(normals, triangles[:, k], face)
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = np.where(length > 1e-15, normals / np.maximum(length, 1e-15), [0.0, 0.0, 1.0])
    joints = np.zeros((len(vertices), 4), np.int32)
    joints[:, 0] = joint
    weights = np.zeros((len(vertices), 4), np.float32)
    weights[:, 0] = 1
    return Mesh(
        vertices.astype(np.float32),
        normals.astype(np.float32),
        np.broadcast_to(colors, vertices.shape).astype(np.float32),
        joints,
        weights,
        triangles.astype(np.int32),
    )


def _sheet(rows: int, columns: int, closed: bool = False) -> NDArray[np.int32]:
    """Triangles of a grid of vertices numbered row by row; front faces look at (d row) x (d column)."""
    last = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    n = (c + 1) % columns
    a, b, d, e = (r * columns + c, (r + 1) * columns + c, (r + 1) * columns + n, r * columns + n)
    return np.concatenate(
        [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, e], -1).reshape(-1, 3)]
    ).astype(np.int32)


def _no_morphs(count: int) -> NDArray[np.float32]:
    return np.zeros((len(MORPHS), count, 3), np.float32)


def _eye(side: int) -> tuple[Mesh, NDArray[np.float32]]:
    """A ball with iris and pupil that turns with its eye joint; rings run from the pupil backwards."""
    borders = [(0, 13, (0.05, 0.05, 0.06)), (13, 27, (0.33, 0.45, 0.50)), (27, 130, (0.95, 0.95, 0.94))]
    angles = np.radians([a for lo, hi, _ in borders for a in np.linspace(lo, hi, 5 if hi > 27 else 2)])
    colors = np.repeat([c for lo, hi, c in borders for _ in range(5 if hi > 27 else 2)], 20, axis=0)
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack(
        [
            np.outer(np.sin(angles), np.cos(turn)),
            np.outer(np.sin(angles), np.sin(turn)),
            np.outer(np.cos(angles), np.ones(20)),
        ],
        axis=-1,
    )
    normals = ring.reshape(-1, 3)
    centre = rest_joints()[EYES[side]] - [0, 0, EYE_BACK]
    mesh = _mesh(
        centre + EYE_RADIUS * normals, _sheet(len(angles), 20, closed=True), colors, EYES[side], normals
    )
    return mesh, _no_morphs(len(normals))


def _lid(side: float) -> tuple[Mesh, NDArray[np.float32]]:
    """The upper lid: a cap of skin whose edge comes down in a blink."""
    across, down = np.radians(np.linspace(-80, 80, 13)), np.linspace(0, 1, 7)

    def cap(edge_deg: float) -> Points:
        edge = np.radians(edge_deg) * np.cos(across * 0.9)  # [13]
        height = np.radians(88) + (edge - np.radians(88)) * down[:, None]
        return np.stack(
            [np.cos(height) * np.sin(across), np.sin(height), np.cos(height) * np.cos(across)], axis=-1
        ).reshape(-1, 3)

    centre = rest_joints()[EYES[0]] * [side, 1, 1] - [0, 0, EYE_BACK]
    open_, shut = cap(22.0), cap(-28.0)
    morphs = _no_morphs(len(open_))
    morphs[MORPHS.index("blink")] = 1.07 * EYE_RADIUS * (shut - open_)
    return _mesh(
        centre + 1.07 * EYE_RADIUS * open_, _sheet(7, 13), np.array(SKIN) * 0.93, HEAD, open_
    ), morphs


def _brow(side: float) -> tuple[Mesh, NDArray[np.float32]]:
    """A tapered roll of hair above the eye."""
    along, turn = np.linspace(0, 1, 9), np.linspace(0, 2 * np.pi, 8, endpoint=False)
    x = side * (0.014 + 0.036 * along)
    radius = 0.0042 * np.sqrt(np.maximum(1 - (1.7 * along - 0.75) ** 2, 0.02))

    def roll(lift: float) -> Points:
        y = 0.0815 + 0.006 * np.sin(np.pi * (0.25 + 0.7 * along)) + lift
        centre = np.stack([x, y, _surface_z(x, y) + 0.0005], axis=-1)
        around = np.stack([np.zeros(8), np.cos(turn), np.sin(turn)], axis=-1)
        return (rest_joints()[HEAD] + centre[:, None] + radius[:, None, None] * around).reshape(-1, 3)

    neutral = roll(0.0)
    triangles = _sheet(9, 8, closed=True) if side < 0 else _sheet(9, 8, closed=True)[:, ::-1]
    morphs = _no_morphs(len(neutral))
    morphs[MORPHS.index("browUp")] = roll(0.009) - neutral
    return _mesh(neutral, triangles, np.array(HAIR), HEAD), morphs


def _mouth() -> tuple[Mesh, NDArray[np.float32]]:
    """Lips around a dark opening with a row of teeth, laid on the face and following its surface."""
    neutral = _mouth_shape()
    colors = np.repeat([SKIN, LIP_EDGE, LIP, (0.55, 0.25, 0.25), CAVITY, CAVITY, TEETH, TEETH], N_LIP, axis=0)
    rings = _sheet(4, N_LIP, closed=True)
    hole = _sheet(2, N_LIP, closed=True) + 4 * N_LIP
    teeth = _sheet(2, N_LIP)[: (N_LIP - 1) * 2] + 6 * N_LIP
    morphs = _no_morphs(len(neutral))
    shapes = {
        "mouthOpen": {"open_": 1.0},
        "mouthWide": {"wide": 1.0},
        "mouthRound": {"round_": 1.0},
        "mouthSmile": {"smile": 1.0},
    }
    for name, state in shapes.items():
        morphs[MORPHS.index(name)] = _mouth_shape(**state) - neutral
    return _mesh(neutral, np.concatenate([rings, hole, teeth])[:, ::-1], colors, HEAD), morphs


N_LIP = 28


def _mouth_shape(open_: float = 0.0, wide: float = 0.0, round_: float = 0.0, smile: float = 0.0) -> Points:
    """[8 * N_LIP, 3]: four lip rings from outside in, the hole's rim and middle, the teeth's two edges."""
    turn = np.linspace(0, 2 * np.pi, N_LIP, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    half = 0.0245 * (1 + 0.22 * wide - 0.36 * round_ - 0.10 * open_ + 0.10 * smile)
    gap = np.where(
        sin > 0, 0.0006 + 0.0035 * open_ + 0.003 * round_, 0.0006 + 0.0185 * open_ + 0.003 * round_
    )
    corners = 0.006 * smile * cos**2
    bow = np.where(sin > 0, 0.0016 * np.exp(-((np.abs(cos) - 0.22) ** 2) / 0.02), 0.0)
    rings = []
    for width, lip, lift in (
        (1.13, 0.0098, 0.0002),
        (1.05, 0.0080, 0.0016),
        (1.0, 0.0045, 0.0052),
        (0.94, 0.0, 0.0026),
    ):
        y = sin * (gap + lip * (1 - 0.25 * wide)) + bow * (lip > 0.004) + corners - 0.003
        rings.append((half * width * cos, y, lift + 0.007 * round_ * (lift > 0.001)))
    rim, middle = (
        rings[-1],
        (0.2 * half * cos, 0.1 * gap * sin + corners - 0.003 - 0.006 * open_, 0.0012 + 0.004 * round_),
    )
    bite = np.linspace(-0.72, 0.72, N_LIP)
    top = 0.0005 + 0.0035 * open_ + 0.003 * round_
    teeth_top = (half * bite, top * np.sqrt(1 - bite**2) - 0.003, 0.0018 + 0.004 * round_)
    teeth_edge = (
        half * bite,
        (top - 0.0045 * max(open_, 0.4 * round_)) * np.sqrt(1 - bite**2) - 0.003,
        0.0022 + 0.004 * round_,
    )
    layers = [*rings, (rim[0], rim[1], 0.0015 + 0.004 * round_), middle, teeth_edge, teeth_top]
    head = rest_joints()[HEAD]
    return (
        np.concatenate([np.stack([x, y, _surface_z(x, y) + lift], axis=-1) for x, y, lift in layers]) + head
    )
