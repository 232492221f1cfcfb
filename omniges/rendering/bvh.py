"""BVH: the skeleton and its motion for Blender, MotionBuilder, Maya.

Conventions: metres, y up, facing +z, T-pose at rest; joints keep SMPL-X's names. The root's OFFSET is zero
and its position channels hold the pelvis's place in the world, so that programs which add the offset and
programs which ignore it agree. Angles are degrees in the order Z, X, Y (the matrix is Rz Rx Ry), unwrapped
over time.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from omniges.files import atomic_path
from omniges.motion.layout import JOINT_NAMES, N_JOINTS, PARENTS
from omniges.motion.parts import parts_of
from omniges.motion.skeleton import REST_OFFSETS
from omniges.types import Motion

CHANNELS = "Zrotation Xrotation Yrotation"
END_LENGTH_M = 0.02
"""Bones without children end this far on, in their parent's direction."""


def write_bvh(path: Path, motion: Motion) -> None:
    """Write one clip; face and expressions have no place in BVH.

    Args:
        path: the file to write, atomically.
        motion: T frames.
    """
    order, last = _depth_first(0), None
    with atomic_path(Path(path)) as temporary, temporary.open("w", encoding="ascii", newline="\n") as stream:
        stream.write("HIERARCHY\n" + "".join(_joint_lines(0, 0)))
        stream.write(f"MOTION\nFrames: {motion.n_frames}\nFrame Time: {1 / motion.fps:.8f}\n")
        for part in parts_of(motion):
            angles = euler_angles_deg(part, last)
            last = angles[-1]
            places = part.trans + REST_OFFSETS[0]
            rows = np.concatenate([places, angles[:, order].reshape(part.n_frames, -1)], axis=1)
            np.savetxt(stream, rows, fmt="%.6f")


def euler_angles_deg(motion: Motion, before: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """[T, 55, 3] degrees about Z, X, Y; frame after frame by the nearest equal angle.

    Args:
        motion: T frames, T >= 1.
        before: [55, 3] angles of the frame before them, where there is one.
    """
    turns = Rotation.from_rotvec(np.asarray(motion.poses, np.float64).reshape(-1, 3))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock")  # any of the equal solutions will do
        angles = turns.as_euler("ZXY", degrees=True).reshape(-1, N_JOINTS, 3)
    if before is None:
        return np.unwrap(angles, axis=0, period=360.0)
    return np.unwrap(np.concatenate([before[None], angles]), axis=0, period=360.0)[1:]


def _children(joint: int) -> list[int]:
    return [child for child in range(N_JOINTS) if PARENTS[child] == joint]


def _depth_first(joint: int) -> list[int]:
    return [joint, *(name for child in _children(joint) for name in _depth_first(child))]


def _joint_lines(joint: int, depth: int) -> list[str]:
    pad, inner = "\t" * depth, "\t" * (depth + 1)
    offset = np.zeros(3) if joint == 0 else REST_OFFSETS[joint]
    channels = f"CHANNELS 3 {CHANNELS}" if joint else f"CHANNELS 6 Xposition Yposition Zposition {CHANNELS}"
    lines = [
        f"{pad}{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}\n",
        f"{pad}{{\n",
        f"{inner}OFFSET {_numbers(offset)}\n",
        f"{inner}{channels}\n",
    ]
    for child in _children(joint):
        lines += _joint_lines(child, depth + 1)
    if not _children(joint):
        end = offset / np.linalg.norm(offset) * END_LENGTH_M
        lines += [f"{inner}End Site\n", f"{inner}{{\n", f"{inner}\tOFFSET {_numbers(end)}\n", f"{inner}}}\n"]
    return [*lines, f"{pad}}}\n"]


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.6f}" for value in values)
