"""Where evaluation gets its clips from: the workspace's features, or folders of BEAT2 npz files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omniges.data.clips import ClipRecord, read_clips
from omniges.data.motion_table import read_motion_features
from omniges.data.table import read_table
from omniges.errors import EvaluationError
from omniges.motion.features import Features
from omniges.types import Split
from omniges.workspace import Workspace


def motion_of(W: Workspace, clip: str) -> Features:
    """Motion channels of a clip from the stage `motion`."""
    return read_motion_features(W.feature("motion") / f"{clip}.parquet")


def mfcc_of(W: Workspace, clip: str) -> NDArray[np.float32]:
    """[T, 128] of the stage `mfcc`."""
    return np.asarray(read_table(W.feature("mfcc") / f"{clip}.parquet").values, np.float32)


def clips_of(W: Workspace, split: Split) -> list[ClipRecord]:
    """Usable clips of a split.

    Raises:
        EvaluationError: there is none.
    """
    clips = read_clips(W, split)
    if not clips:
        raise EvaluationError(
            f"{W.ingest}: no usable clip in the split '{split}'. See {W.ingest}/report.md for the reasons."
        )
    return clips


def split_motion(W: Workspace, split: Split) -> Iterator[tuple[ClipRecord, NDArray[np.float32]]]:
    """(clip, features [T, 433]) of a split, one at a time."""
    for clip in clips_of(W, split):
        yield clip, motion_of(W, clip.id).values


def result_path(folder: Path, clip: str) -> Path:
    """Where a variant's result of a clip lies."""
    return folder / f"{clip}.npz"
