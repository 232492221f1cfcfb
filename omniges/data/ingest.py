"""The ingest stage: every selected clip is read once, judged, and either taken or named in the report.

Writes `clips.parquet` (usable clips), `faults.json` (for machines) and `report.md` (for people).
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from omniges.config import Params
from omniges.data.clips import (
    SEMANTICS_FOLDER,
    SPLIT_FILE,
    TEXTGRID_FOLDER,
    WAVE_FOLDER,
    PlannedClip,
    is_excluded,
    motion_folder,
    planned,
    read_split_file,
)
from omniges.data.ingest_report import Ingest, write_ingest
from omniges.data.validate import IGNORED, LEFT_OUT, Verdict, validate
from omniges.errors import DataError
from omniges.files import atomic_folder
from omniges.log import progress
from omniges.types import ClipFault
from omniges.workspace import Workspace

log = logging.getLogger(__name__)


def run(params: Params, W: Workspace) -> None:
    """Validate every selected clip and write the stage's three files.

    Args:
        params: `data` is read.
        W: `W.raw` is read, `W.ingest` is written, also where the run is stopped afterwards.

    Raises:
        DataError: there is no BEAT2 tree; a required split is left without a clip; or a clip is bad and
            `data.on_bad_clip` is "stop".
    """
    clips = planned(params, W)
    verdicts = list(_verdicts(params, clips))
    faults = sorted(
        [
            *read_split_file(W.raw).faults,
            *_unlisted(W.raw),
            *_idle_excludes(params, W),
            *(fault for verdict in verdicts for fault in verdict.faults),
        ],
        key=lambda fault: (fault.clip, fault.problem),
    )
    result = Ingest(fps=params.data.fps, verdicts=verdicts, faults=faults)
    with atomic_folder(W.ingest) as folder:
        write_ingest(folder, result, params.data.name)
    _log_summary(result, W)
    _refuse_bad_clips(params, faults)
    _refuse_empty_splits(params, W, verdicts)


def _verdicts(params: Params, clips: Sequence[PlannedClip]) -> Iterator[Verdict]:
    for clip in progress(clips, "reading clips"):
        yield validate(clip, params.data.fps, params.data.max_gap_s)


def _unlisted(root: Path) -> Iterator[ClipFault]:
    """Files that no line of the split file asks for."""
    listed = read_split_file(root).splits
    folders = {
        motion_folder(root): ".npz",
        root / WAVE_FOLDER: ".wav",
        root / TEXTGRID_FOLDER: ".TextGrid",
        root / SEMANTICS_FOLDER: ".txt",
    }
    found: dict[str, list[str]] = {}
    for folder, suffix in folders.items():
        for path in sorted(folder.glob(f"*{suffix}")):
            if path.stem not in listed and not path.name.startswith("."):
                found.setdefault(path.stem, []).append(f"{folder.name}/{path.name}")
    for clip, names in found.items():
        problem = f"not in {SPLIT_FILE}: {', '.join(names)}"
        yield ClipFault(
            clip=clip, problem=problem, remedy="Add a line for it, or delete the files.", action=IGNORED
        )


def _idle_excludes(params: Params, W: Workspace) -> Iterator[ClipFault]:
    """Entries of data.exclude that meet no clip: likely a slip of the pen."""
    listed = read_split_file(W.raw).splits
    for pattern in params.data.exclude:
        if not any(is_excluded(clip, [pattern]) for clip in listed):
            problem = f"data.exclude names {pattern!r}, which meets no id in {SPLIT_FILE}"
            yield ClipFault(
                clip=pattern, problem=problem, remedy="Correct or remove the entry.", action=IGNORED
            )


def _log_summary(result: Ingest, W: Workspace) -> None:
    usable, left_out = result.usable, result.left_out
    log.info("%d clips usable, %d left out; see %s", len(usable), len(left_out), W.ingest / "report.md")
    for fault in result.faults:
        if fault.action == LEFT_OUT:
            log.warning("%s: %s", fault.clip, fault.problem)


def _refuse_bad_clips(params: Params, faults: Sequence[ClipFault]) -> None:
    bad = [fault for fault in faults if fault.action == LEFT_OUT]
    if bad and params.data.on_bad_clip == "stop":
        lines = "\n".join(f"  {fault.clip}: {fault.problem}" for fault in bad)
        raise DataError(
            f"{len(bad)} bad clip(s):\n{lines}\n"
            "Repair them, add them to data.exclude, or set data.on_bad_clip to report in params.yaml."
        )


def _refuse_empty_splits(params: Params, W: Workspace, verdicts: Sequence[Verdict]) -> None:
    for split in params.data.required_splits:
        asked = [verdict for verdict in verdicts if verdict.clip.split == split]
        if any(verdict.measured for verdict in asked):
            continue
        why = f"all {len(asked)} of its clips were left out" if asked else "no selected clip belongs to it"
        raise DataError(
            f"{W.raw}: the {split} split is empty: {why}; see {W.ingest / 'report.md'}. Mend the "
            f"clips, widen data.speakers, or take {split} out of data.required_splits in params.yaml."
        )
