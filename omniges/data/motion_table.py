"""The motion stage's table: features [T, 433], then jaw and eyes [T, 9], with what is needed to go back."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omniges.data.table import Table, read_table, write_table
from omniges.errors import DataError
from omniges.motion.features import Features, features_to_motion
from omniges.motion.layout import FEATURE_WIDTH, N_BETAS, SIDE_WIDTH
from omniges.types import Motion

MOTION = "motion"
_UNIT = (
    "433 features (rot6d unitless; x, z metres per frame, y metres; expressions unitless), "
    "then jaw and eyes in radians"
)


def write_motion_features(
    path: Path, features: Features, *, clip: str, fps: float, betas: NDArray[np.float32]
) -> None:
    """Write a clip's features atomically, as float32.

    Args:
        path: the Parquet file to make.
        features: values [T, 433], side [T, 9], origin [2].
        clip: the clip's id.
        fps: frames a second.
        betas: [300] body shape, kept for writing BEAT2 files.
    """
    values = np.concatenate([features.values, features.side], axis=1)
    extra = {"origin": [float(x) for x in features.origin], "betas": [float(b) for b in betas]}
    write_table(path, values, clip=clip, feature=MOTION, unit=_UNIT, fps=fps, dtype="float32", extra=extra)


def read_motion_features(path: Path) -> Features:
    """Read a clip's features.

    Raises:
        DataError: the file is missing, damaged, or no motion table.
    """
    return _features(_motion_table(path))


def read_motion_of(path: Path) -> Motion:
    """A clip's true motion at the pipeline's rate, through its features; exact but for float32 rounding.

    Raises:
        DataError: see `read_motion_features`.
    """
    table = _motion_table(path)
    features = _features(table)
    assert table.fps is not None  # checked in _motion_table
    betas = np.asarray(table.extra["betas"], np.float32)
    return features_to_motion(features.values, features.side, features.origin, table.fps, betas)


def _features(table: Table) -> Features:
    return Features(
        values=table.values[:, :FEATURE_WIDTH],
        side=table.values[:, FEATURE_WIDTH:],
        origin=np.asarray(table.extra["origin"], np.float64),
    )


def _motion_table(path: Path) -> Table:
    table = read_table(path)
    wanted = FEATURE_WIDTH + SIDE_WIDTH
    whole = table.feature == MOTION and table.values.shape[1] == wanted and table.fps is not None
    if not whole or len(table.extra.get("origin", ())) != 2 or len(table.extra.get("betas", ())) != N_BETAS:
        raise DataError(
            f"{path}: got a table of {table.feature} with {table.values.shape[1]} columns, "
            f"wanted motion with {wanted}, its origin and betas. Delete it and run the motion stage again."
        )
    return table
