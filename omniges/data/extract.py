"""The motion stage: BEAT2's npz to feature channels at the pipeline's rate, one table a clip."""

from collections.abc import Sequence
from typing import TypeVar

from omniges.config import Params
from omniges.data.beat2 import read_motion
from omniges.data.clips import ClipRecord, PlannedClip, planned, read_clips
from omniges.data.motion_table import MOTION, write_motion_features
from omniges.errors import DataError, OmnigesError
from omniges.log import progress
from omniges.motion.features import motion_to_features
from omniges.motion.resample import resample_motion
from omniges.types import ClipFault, Motion
from omniges.workspace import Workspace

T = TypeVar("T")


def motion(params: Params, W: Workspace, clips: Sequence[str]) -> list[ClipFault]:
    """Write the motion tables of some clips: values [T, 433 + 9] float32, T the clip's common length.

    Args:
        params: `data` is read.
        W: the raw tree and ingest's table are read, `W.feature("motion")` is written.
        clips: ids.
    Returns:
        the clips that could not be done; the others' tables are written whatever happens to these.
    """
    sources = {clip.id: clip for clip in planned(params, W)}
    records = {record.id: record for record in read_clips(W)}
    faults = []
    for clip in progress(clips, "motion"):
        try:
            _write(params, W, _known(sources, clip), _known(records, clip))
        except OmnigesError as error:
            remedy = "Fetch the clip again, or add it to data.exclude in params.yaml."
            faults.append(ClipFault(clip=clip, problem=f"motion: {error}", remedy=remedy))
    return faults


def _write(params: Params, W: Workspace, source: PlannedClip, record: ClipRecord) -> None:
    recorded = resample_motion(read_motion(source.npz, source.expression), params.data.fps)
    if recorded.n_frames < record.n_frames:
        raise DataError(
            f"{source.npz}: got {recorded.n_frames} frames at {params.data.fps} fps, wanted "
            f"the {record.n_frames} that ingest measured. Run the ingest stage again."
        )
    trimmed = _first(recorded, record.n_frames)
    path = W.feature(MOTION) / f"{record.id}.parquet"
    write_motion_features(
        path, motion_to_features(trimmed), clip=record.id, fps=params.data.fps, betas=trimmed.betas
    )


def _first(motion: Motion, n_frames: int) -> Motion:
    """The first frames of a clip."""
    return Motion(
        poses=motion.poses[:n_frames],
        trans=motion.trans[:n_frames],
        expressions=motion.expressions[:n_frames],
        betas=motion.betas,
        fps=motion.fps,
    )


def _known(found: dict[str, T], clip: str) -> T:
    if clip not in found:
        raise DataError(f"{clip}: not among the usable clips. Run the ingest stage again.")
    return found[clip]
