"""GLB (glTF 2.0, one binary file): skinned body, skeleton, animation, and the face as morph targets.

Metres, y up, facing +z, as glTF wants it. Shapes: T frames, V vertices, F triangles.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from omniges.files import atomic_path
from omniges.motion.layout import JOINT_NAMES, N_JOINTS, PARENTS
from omniges.motion.parts import parts_of
from omniges.motion.skeleton import REST_OFFSETS, rest_joints
from omniges.rendering.body import Mesh, body_mesh
from omniges.rendering.face import MORPHS, face_mesh, face_weights
from omniges.types import Motion

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
COMPONENTS = {"f4": 5126, "u4": 5125, "u2": 5123, "u1": 5121}
KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


@dataclass
class Store:
    """Lays arrays out in one buffer and hands out accessor numbers; what is added is kept, what has a place
    only is written there later.
    """

    size: int = 0  # bytes
    pieces: list[tuple[int, bytes]] = field(default_factory=list)  # where, what
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, values: NDArray[Any], dtype: str, *, target: int | None = None, bounds: bool = False
    ) -> int:
        """Append an array [n] or [n, k]; `bounds` writes min and max, which glTF asks of positions
        and times.
        """
        packed = np.ascontiguousarray(values, f"<{dtype}")
        width = 1 if packed.ndim == 1 else packed.shape[1]
        number = self.reserve(len(packed), width, dtype)
        self.pieces.append((self.views[-1]["byteOffset"], packed.tobytes()))
        if target is not None:
            self.views[-1]["target"] = target
        if bounds:
            flat = packed.reshape(len(packed), width)
            self.accessors[-1] |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        return number

    def reserve(self, count: int, width: int, dtype: str) -> int:
        """Give a place to an array [count, width] that `place_of` the accessor tells."""
        self.size += -self.size % 4
        length = count * width * np.dtype(dtype).itemsize
        self.views.append({"buffer": 0, "byteOffset": self.size, "byteLength": length})
        self.size += length
        self.accessors.append(
            {
                "bufferView": len(self.views) - 1,
                "componentType": COMPONENTS[dtype],
                "count": count,
                "type": KINDS[width],
            }
        )
        return len(self.accessors) - 1

    def place_of(self, accessor: int) -> int:
        """Bytes from the buffer's start."""
        return int(self.views[self.accessors[accessor]["bufferView"]]["byteOffset"])


def write_glb(path: Path, motion: Motion, name: str = "omniges") -> None:
    """Write one clip as an animated character.

    Args:
        path: the file to write, atomically.
        motion: T frames, T >= 1.
        name: of the animation, as other programs list it.
    """
    store = Store()
    face = face_mesh()
    meshes = [
        {"name": "body", "primitives": [_primitive(store, body_mesh())]},
        {
            "name": "face",
            "primitives": [_primitive(store, face.mesh, face.morphs)],
            "weights": [0.0] * len(MORPHS),
            "extras": {"targetNames": list(MORPHS)},
        },
    ]
    skin = _skin(store)
    animation = _animation(store, motion, name)
    document = {
        "asset": {"version": "2.0", "generator": "Omniges"},
        "scene": 0,
        "scenes": [{"nodes": [0, N_JOINTS, N_JOINTS + 1]}],
        "nodes": [*_bones(), {"name": "body", "mesh": 0, "skin": 0}, {"name": "face", "mesh": 1, "skin": 0}],
        "meshes": meshes,
        "skins": [skin],
        "materials": [
            {
                "name": "painted",
                "pbrMetallicRoughness": {
                    "baseColorFactor": [1, 1, 1, 1],
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.85,
                },
            }
        ],
        "animations": [animation],
        "bufferViews": store.views,
        "accessors": store.accessors,
        "buffers": [{"byteLength": store.size}],
    }
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        start = _write_head(stream, document, store.size)
        for place, piece in store.pieces:
            stream.seek(start + place)
            stream.write(piece)
        tracks = [store.place_of(sampler["output"]) for sampler in animation["samplers"]]
        _write_motion(stream, motion, [start + place for place in tracks])
        stream.truncate(start + store.size + -store.size % 4)


def _bones() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for joint, (name, offset) in enumerate(zip(JOINT_NAMES, REST_OFFSETS, strict=True)):
        node: dict[str, Any] = {"name": name, "translation": offset.tolist()}
        children = [child for child in range(N_JOINTS) if PARENTS[child] == joint]
        nodes.append(node | {"children": children} if children else node)
    return nodes


def _skin(store: Store) -> dict[str, Any]:
    """Joint node j is node j; the inverse bind matrix moves the joint's rest place to the origin
    (column-major).
    """
    inverse = np.tile(np.eye(4), (N_JOINTS, 1, 1))
    inverse[:, :3, 3] = -rest_joints()
    matrices = store.add(inverse.transpose(0, 2, 1).reshape(N_JOINTS, 16), "f4")
    return {
        "name": "skeleton",
        "inverseBindMatrices": matrices,
        "joints": list(range(N_JOINTS)),
        "skeleton": 0,
    }


def _primitive(store: Store, mesh: Mesh, morphs: NDArray[np.float32] | None = None) -> dict[str, Any]:
    joints = np.where(mesh.weights > 0, mesh.joints, 0)
    attributes = {
        "POSITION": store.add(mesh.vertices, "f4", target=ARRAY_BUFFER, bounds=True),
        "NORMAL": store.add(_unit(mesh.normals), "f4", target=ARRAY_BUFFER),
        "COLOR_0": store.add(_linear(mesh.colors), "f4", target=ARRAY_BUFFER),
        "JOINTS_0": store.add(joints, "u1", target=ARRAY_BUFFER),
        "WEIGHTS_0": store.add(mesh.weights, "f4", target=ARRAY_BUFFER),
    }
    indices = store.add(mesh.triangles.reshape(-1), "u4", target=ELEMENT_ARRAY_BUFFER)
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "material": 0}
    if morphs is not None:
        primitive["targets"] = [
            {"POSITION": store.add(m, "f4", target=ARRAY_BUFFER, bounds=True)} for m in morphs
        ]
    return primitive


def _unit(normals: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = normals.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _linear(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vertex colours of glTF are linear light; IEC 61966-2-1."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _animation(store: Store, motion: Motion, name: str) -> dict[str, Any]:
    """One sampler a joint for its turn, one for the pelvis's place, one for the face; `_write_motion` fills
    them in this order.
    """
    n = motion.n_frames
    times = store.add(np.arange(n) / motion.fps, "f4", bounds=True)
    outputs = [("rotation", joint, store.reserve(n, 4, "f4")) for joint in range(N_JOINTS)]
    outputs.append(("translation", 0, store.reserve(n, 3, "f4")))
    outputs.append(("weights", N_JOINTS + 1, store.reserve(n * len(MORPHS), 1, "f4")))
    samplers = [{"input": times, "output": output, "interpolation": "LINEAR"} for _, _, output in outputs]
    channels = [
        {"sampler": i, "target": {"node": node, "path": path}} for i, (path, node, _) in enumerate(outputs)
    ]
    return {"name": name, "samplers": samplers, "channels": channels}


def _write_motion(stream: IO[bytes], motion: Motion, places: list[int]) -> None:
    """Write what `_animation` laid out, part by part; places: bytes from the file's start, one a sampler."""
    face, start, before = face_weights(motion), 0, None
    for part in parts_of(motion):
        span = slice(start, start + part.n_frames)
        turns = quaternions_of(part, before)
        before = turns[-1]
        tracks = [turns[:, joint] for joint in range(N_JOINTS)]
        for place, values in zip(places, [*tracks, part.trans + REST_OFFSETS[0], face[span]], strict=True):
            packed = np.ascontiguousarray(values, "<f4")
            stream.seek(place + start * packed[0].nbytes)
            stream.write(packed.tobytes())
        start = span.stop


def quaternions_of(motion: Motion, before: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """[T, 55, 4] (x, y, z, w) turns of the joints, neighbours in time in one hemisphere.

    Args:
        motion: T frames, T >= 1.
        before: [55, 4] of the frame before them, where there is one.
    """
    turns = Rotation.from_rotvec(np.asarray(motion.poses, np.float64).reshape(-1, 3)).as_quat()
    turns = turns.reshape(-1, N_JOINTS, 4)
    if before is None:
        return continuous_quaternions(turns)
    return continuous_quaternions(np.concatenate([before[None], turns]))[1:]


def continuous_quaternions(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flip signs so that neighbours in time lie in one hemisphere. quaternions: [T, J, 4] (x, y, z, w)."""
    same = (quaternions[1:] * quaternions[:-1]).sum(-1) >= 0
    sign = np.cumprod(np.concatenate([np.ones((1, N_JOINTS)), np.where(same, 1.0, -1.0)]), axis=0)
    return quaternions * sign[..., None]


def _write_head(stream: IO[bytes], document: dict[str, Any], size: int) -> int:
    """Everything before a buffer of `size` bytes; returns where the buffer starts."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size += -size % 4
    stream.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + size))
    stream.write(struct.pack("<I4s", len(text), b"JSON") + text)
    stream.write(struct.pack("<I4s", size, b"BIN\0"))
    return stream.tell()
