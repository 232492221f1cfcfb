"""BEAT2's motion files: checked on reading, byte-identical on writing.

Nothing read here is trusted: pickles are refused, every array's shape, type and finiteness is checked, and
the first thing that is wrong becomes a `DataError` which names the file.
"""

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from omniges.errors import DataError
from omniges.files import atomic_path
from omniges.motion.layout import N_BETAS, N_EXPRESSIONS, N_JOINTS, N_TRANS
from omniges.spool import passed
from omniges.types import Motion

_BODY_MODEL = "smplx2020"
_REMEDY = "Fetch or make the file again."
_ROWS = 16_384  # written at a time
_WIDEST_ANGLE = 4 * np.pi  # radians; axis-angle in degrees exceeds it in any lively clip
_FARTHEST_M = 100.0  # metres; translation in centimetres exceeds it


def read_motion(path: Path, expression: Path | None = None) -> Motion:
    """Read one clip's motion.

    Args:
        path: npz with poses [T, 165], trans [T, 3], betas [300], mocap_frame_rate, and expressions [T, 100].
        expression: the expressions' own npz, for trees that keep them apart; read only where `path` has none.

    Raises:
        DataError: the file is missing, damaged, or holds something else than BEAT2's arrays.
    """
    arrays = read_arrays(path)
    if "expressions" not in arrays and expression is not None:
        arrays["expressions"] = _expressions_of(expression)
    poses = _numbers(arrays, "poses", (None, 3 * N_JOINTS), path)
    n_frames = len(poses)
    if n_frames == 0:
        raise DataError(f"{path}: poses has no frames. {_REMEDY}")
    trans = _numbers(arrays, "trans", (n_frames, N_TRANS), path)
    expressions = _numbers(arrays, "expressions", (n_frames, N_EXPRESSIONS), path)
    betas = _numbers(arrays, "betas", (N_BETAS,), path)
    fps = float(_numbers(arrays, "mocap_frame_rate", (), path))
    if not 1 <= fps <= 1000:
        raise DataError(f"{path}: got a mocap_frame_rate of {fps:g}, wanted frames a second. {_REMEDY}")
    _check_units(poses, trans, path)
    return Motion(
        poses=poses.reshape(n_frames, N_JOINTS, 3).astype(np.float32, copy=False),
        trans=trans.astype(np.float64, copy=False),
        expressions=expressions.astype(np.float64, copy=False),
        betas=betas.astype(np.float32, copy=False),
        fps=fps,
    )


def write_motion(path: Path, motion: Motion) -> None:
    """Write a clip atomically, with BEAT2's keys, order and types; equal motion gives equal bytes.

    Args:
        path: the npz to make.
        motion: a whole number of frames a second, since BEAT2 stores the rate as an integer.
    """
    if motion.fps != int(motion.fps):
        raise DataError(
            f"{path}: got {motion.fps} fps; BEAT2 files hold whole frames a second. Resample first."
        )
    n_frames = motion.n_frames
    arrays: dict[str, NDArray[Any]] = {
        "betas": motion.betas.astype(np.float32, copy=False),
        "poses": motion.poses.reshape(n_frames, 3 * N_JOINTS).astype(np.float32, copy=False),
        "expressions": motion.expressions.astype(np.float64, copy=False),
        "trans": motion.trans.astype(np.float64, copy=False),
        "model": np.array(_BODY_MODEL),
        "gender": np.array("neutral"),
        "mocap_frame_rate": np.array(int(motion.fps), np.int32),
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_array(member, array)


def _write_array(stream: IO[bytes], array: NDArray[Any]) -> None:
    """What `np.save` writes, in blocks: of an array that lies on disk, one block at a time is in memory."""
    whole = np.asarray(array, order="C")
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(whole))
    if whole.ndim == 0:
        stream.write(whole.tobytes())
        return
    for start in range(0, len(whole), _ROWS):
        rows = whole[start : start + _ROWS]
        stream.write(rows.tobytes())
        passed(rows)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All plain arrays of an npz.

    Raises:
        DataError: missing, damaged, or with object arrays, which would be pickles.
    """
    if not path.is_file():
        raise DataError(f"{path}: the file is missing. {_REMEDY}")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: no npz archive but a single array. {_REMEDY}")
        with archive:
            return {key: archive[key] for key in archive.files}
    # A damaged archive fails in its directory, in inflating, in an array's header, or by asking for
    # absurd memory.
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise DataError(f"{path}: no readable npz ({type(error).__name__}: {error}). {_REMEDY}") from error


def _expressions_of(path: Path) -> NDArray[Any]:
    arrays = read_arrays(path)
    if "expressions" not in arrays:
        raise DataError(
            f"{path}: got arrays {sorted(arrays)}, wanted expressions [T, {N_EXPRESSIONS}]. {_REMEDY}"
        )
    return arrays["expressions"]


def _numbers(
    arrays: dict[str, NDArray[Any]], key: str, shape: tuple[int | None, ...], path: Path
) -> NDArray[Any]:
    """One array, of finite numbers, in the wanted shape (None: any length)."""
    if key not in arrays:
        raise DataError(f"{path}: got arrays {sorted(arrays)}, wanted also {key}. {_REMEDY}")
    values = arrays[key]
    wanted = tuple("T" if length is None else length for length in shape)
    fits = values.ndim == len(shape) and all(
        w is None or w == got for w, got in zip(shape, values.shape, strict=True)
    )
    if not fits:
        raise DataError(f"{path}: {key} has shape {values.shape}, wanted {wanted}. {_REMEDY}")
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: {key} holds {values.dtype}, wanted numbers. {_REMEDY}")
    finite = np.isfinite(values)
    if not finite.all():
        bad = int(values.size - finite.sum())
        raise DataError(
            f"{path}: {key} holds {bad} values that are NaN or infinite, of {values.size}. {_REMEDY}"
        )
    return values


def _check_units(poses: NDArray[Any], trans: NDArray[Any], path: Path) -> None:
    widest, farthest = _largest(poses), _largest(trans)
    if widest > _WIDEST_ANGLE:
        raise DataError(
            f"{path}: poses reach {widest:.1f}, wanted radians below {_WIDEST_ANGLE:.1f}. {_REMEDY}"
        )
    if farthest > _FARTHEST_M:
        raise DataError(
            f"{path}: trans reaches {farthest:.1f}, wanted metres below {_FARTHEST_M:.0f}. {_REMEDY}"
        )


def _largest(values: NDArray[Any]) -> float:
    """The largest absolute value, without an array of absolute values."""
    return max(float(values.max()), -float(values.min()))
