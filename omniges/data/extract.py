"""The motion stage: BEAT2's npz, checked, cut to the sound and at the pipeline's rate, one table a clip."""

from collections.abc import Sequence

from omniges.config import Params
from omniges.data.beat2 import read_motion
from omniges.data.clips import PlannedClip, planned
from omniges.data.lengths import audio_seconds, common_frames, length_problem
from omniges.data.motion_table import MOTION, write_motion_table
from omniges.errors import DataError, OmnigesError
from omniges.log import progress
from omniges.motion.resample import resample_motion
from omniges.types import ClipFault, Motion
from omniges.workspace import Workspace


def motion(params: Params, W: Workspace, clips: Sequence[str]) -> list[ClipFault]:
    """Write motion tables: values [T, 268] float32, T the frames that motion and audio have in common.

    Nothing but a clip's own npz, expressions and wav decides its table, so it can be kept and found again.

    Args:
        params: `data` is read.
        W: the raw tree is read, `W.feature("motion")` is written.
        clips: ids.
    Returns:
        the clips that could not be done; the others' tables are written whatever happens to these.
    """
    sources = {clip.id: clip for clip in planned(params, W)}
    faults = []
    for clip in progress(clips, "motion"):
        try:
            if clip not in sources:
                raise DataError(f"{clip}: the split file and data.* do not select this clip.")
            _write(params, W, sources[clip])
        except OmnigesError as error:
            remedy = "Fetch the clip again, or add it to data.exclude in params.yaml."
            faults.append(ClipFault(clip=clip, problem=f"motion: {error}", remedy=remedy))
    return faults


def _write(params: Params, W: Workspace, clip: PlannedClip) -> None:
    fps = params.data.fps
    recorded = read_motion(clip.npz, clip.expression)
    audio_s = audio_seconds(clip.wav)
    problem = length_problem(recorded, audio_s, fps, params.data.max_gap_s)
    if problem:
        raise DataError(f"{clip.id}: {problem}")
    trimmed = _first(resample_motion(recorded, fps), common_frames(recorded, audio_s, fps))
    write_motion_table(W.feature(MOTION) / f"{clip.id}.parquet", trimmed, clip=clip.id)


def _first(motion: Motion, n_frames: int) -> Motion:
    """The first frames of a clip."""
    return Motion(
        poses=motion.poses[:n_frames],
        trans=motion.trans[:n_frames],
        expressions=motion.expressions[:n_frames],
        betas=motion.betas,
        fps=motion.fps,
    )
