"""The motion stage's table: what feature channels are made of, with what is needed to go back.

Joint turns are kept as axis-angle, three numbers where rot6d has six, and become rot6d on reading: the table
takes 40 % less. Turns are rounded to 2^-23 rad, no more than what rot6d in float32 rounds off anyway, and
expressions to 2^-15, a ten-thousandth of the least spread. The digits below are noise that doesn't compress.

Shapes: T frames; a row is 55 joints x 3 axis-angle, 3 translation features, 100 expressions.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omniges.data.table import Table, read_table, write_table
from omniges.errors import DataError
from omniges.motion.features import (
    Features,
    features_from_parts,
    features_to_motion,
    translation_features,
)
from omniges.motion.layout import N_BETAS, N_EXPRESSIONS, N_JOINTS, N_TRANS
from omniges.types import Motion

MOTION = "motion"
_TURNS = slice(0, 3 * N_JOINTS)
_TRANSLATION = slice(_TURNS.stop, _TURNS.stop + N_TRANS)
_EXPRESSIONS = slice(_TRANSLATION.stop, _TRANSLATION.stop + N_EXPRESSIONS)
_TURN_STEP, _EXPRESSION_STEP = np.float32(2.0**-23), np.float32(2.0**-15)
_UNIT = "165 axis-angle in radians; x and z in metres per frame, y in metres; 100 expressions, unitless"


def write_motion_table(path: Path, motion: Motion, *, clip: str) -> None:
    """Write a clip's motion atomically, as float32, turns and expressions rounded (see above).

    Args:
        path: the Parquet file to make.
        motion: T >= 1 frames at the pipeline's rate.
        clip: the clip's id.
    """
    values: NDArray[np.float32] = np.empty((motion.n_frames, _EXPRESSIONS.stop), np.float32)
    values[:, _TURNS] = _rounded(motion.poses.reshape(motion.n_frames, 3 * N_JOINTS), _TURN_STEP)
    values[:, _TRANSLATION] = translation_features(motion.trans)
    values[:, _EXPRESSIONS] = _rounded(motion.expressions, _EXPRESSION_STEP)
    extra = {
        "origin": [float(x) for x in motion.trans[0, [0, 2]]],
        "betas": [float(b) for b in motion.betas],
    }
    fps = float(motion.fps)
    write_table(path, values, clip=clip, feature=MOTION, unit=_UNIT, fps=fps, dtype="float32", extra=extra)


def read_motion_features(path: Path) -> Features:
    """Read a clip's features.

    Raises:
        DataError: the file is missing, damaged, or no motion table.
    """
    return _features(_motion_table(path))


def read_motion_of(path: Path) -> Motion:
    """A clip's true motion at the pipeline's rate, through its features; exact but for rounding.

    Raises:
        DataError: see `read_motion_features`.
    """
    table = _motion_table(path)
    features = _features(table)
    assert table.fps is not None  # checked in _motion_table
    betas = np.asarray(table.extra["betas"], np.float32)
    return features_to_motion(features.values, features.side, features.origin, table.fps, betas)


def _rounded(values: NDArray[np.floating], step: np.float32) -> NDArray[np.float32]:
    """To the nearest multiple of a power of two."""
    return np.rint(values.astype(np.float32) / step) * step


def _features(table: Table) -> Features:
    return features_from_parts(
        table.values[:, _TURNS].reshape(-1, N_JOINTS, 3),
        table.values[:, _TRANSLATION],
        table.values[:, _EXPRESSIONS],
        np.asarray(table.extra["origin"], np.float64),
    )


def _motion_table(path: Path) -> Table:
    table = read_table(path)
    wanted = _EXPRESSIONS.stop
    whole = table.feature == MOTION and table.values.shape[1] == wanted and table.fps is not None
    if not whole or len(table.extra.get("origin", ())) != 2 or len(table.extra.get("betas", ())) != N_BETAS:
        raise DataError(
            f"{path}: got a table of {table.feature} with {table.values.shape[1]} columns, "
            f"wanted motion with {wanted}, its origin and betas. Delete it and run the motion stage again."
        )
    return table
