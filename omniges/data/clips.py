"""Which clips a run is about. Nothing heavy is imported here, since planning reads this on every start.

`planned` says what the split file and the parameters ask for, whether or not the files are there;
`read_clips` says which of these turned out usable.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from omniges.config import Params
from omniges.errors import DataError
from omniges.types import ClipFault, Split
from omniges.workspace import Workspace

MOTION_FOLDERS = ("smplxflame_30", "beat_smplx_141")
"""Names that BEAT2 trees give to the motion folder; the first one present counts."""
EXPRESSION_FOLDER = "expression"
WAVE_FOLDER = "wave16k"
TEXTGRID_FOLDER = "textgrid"
SEMANTICS_FOLDER = "sem"
SPLIT_FILE = "train_test_split.csv"

_CLIP_ID = re.compile(r"^(\d+)_[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*$")


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """A clip that the split file names and the parameters select; its files may be missing or bad."""

    id: str
    speaker: int
    split: Split  # "train" also for BEAT2's additional clips, where they are selected
    npz: Path
    wav: Path
    textgrid: Path
    sem: Path  # optional in BEAT2
    expression: Path | None  # the expressions' own file, in trees that have such a folder


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """A usable clip: its motion, audio and text were read and cut to one length."""

    id: str
    speaker: int
    split: Split
    n_frames: int  # at data.fps; every feature of the clip has this many
    duration_s: float  # n_frames / data.fps


@dataclass(frozen=True, kw_only=True)
class SplitFile:
    """The rows of train_test_split.csv: id → split, and what was wrong with other rows."""

    splits: dict[str, Split]
    faults: list[ClipFault] = field(default_factory=list)


def motion_folder(root: Path) -> Path:
    """The tree's motion folder, under either of its names.

    Raises:
        DataError: the tree is missing or has neither folder.
    """
    for name in MOTION_FOLDERS:
        if (root / name).is_dir():
            return root / name
    raise DataError(
        f"{root}: no motion folder; wanted {' or '.join(MOTION_FOLDERS)}. "
        "Set data.root in params.yaml to the folder that holds train_test_split.csv, or corpus.make to true."
    )


def read_split_file(root: Path) -> SplitFile:
    """Read `train_test_split.csv` (columns id, type; CRLF or LF; a byte-order mark is skipped).

    Raises:
        DataError: the file is missing, is no UTF-8 text, or lacks a column.
    """
    path = root / SPLIT_FILE
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. Set data.root in params.yaml to a BEAT2 tree.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}). Fetch the file again.") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = {"id", "type"} - set(rows.fieldnames or ())
    if missing:
        raise DataError(f"{path}: got columns {rows.fieldnames}, wanted id and type. Fetch the file again.")
    splits: dict[str, Split] = {}
    faults: list[ClipFault] = []
    for line, row in enumerate(rows, start=2):
        clip, kind = (row["id"] or "").strip(), (row["type"] or "").strip()
        problem = _row_problem(clip, kind, splits)
        if problem:
            faults.append(
                ClipFault(
                    clip=clip, problem=f"{SPLIT_FILE} line {line}: {problem}", remedy="Correct the line."
                )
            )
        else:
            splits[clip] = kind  # type: ignore[assignment]
    return SplitFile(splits=splits, faults=faults)


def _row_problem(clip: str, kind: str, seen: dict[str, Split]) -> str | None:
    if not _CLIP_ID.match(clip):
        return f"got id {clip!r}, wanted one like 2_scott_0_1_1"
    if kind not in get_args(Split):
        return f"got type {kind!r}, wanted one of {', '.join(get_args(Split))}"
    if clip in seen:
        return f"the id stands twice, as {seen[clip]} and as {kind}; the first counts"
    return None


def speaker_of(clip: str) -> int:
    """The number that a BEAT2 id begins with: 2 for 2_scott_0_1_1."""
    match = _CLIP_ID.match(clip)
    if match is None:
        raise DataError(f"{clip!r}: no BEAT2 clip id, wanted one like 2_scott_0_1_1.")
    return int(match.group(1))


def planned(params: Params, W: Workspace) -> list[PlannedClip]:
    """Clips that the split file and `data.{speakers, additional, exclude}` ask for, sorted by id.

    Args:
        params: `data` is read.
        W: `W.raw` is the BEAT2 tree.

    Raises:
        DataError: the tree or its split file is missing or unreadable.
    """
    motions = motion_folder(W.raw)
    splits = read_split_file(W.raw).splits
    return [
        _planned_clip(W.raw, motions, clip, split)
        for clip, split in sorted(splits.items())
        if _selected(params, clip, split)
    ]


def is_excluded(clip: str, patterns: Sequence[str]) -> bool:
    """Whether `data.exclude` names the clip, by id or by a pattern such as `12_zhao_2_*`."""
    return any(fnmatchcase(clip, pattern) for pattern in patterns)


def _selected(params: Params, clip: str, split: Split) -> bool:
    data = params.data
    if split == "additional" and not data.additional:
        return False
    if data.speakers != "all" and speaker_of(clip) not in data.speakers:
        return False
    return not is_excluded(clip, data.exclude)


def _planned_clip(root: Path, motions: Path, clip: str, split: Split) -> PlannedClip:
    expression = root / EXPRESSION_FOLDER / f"{clip}.npz" if (root / EXPRESSION_FOLDER).is_dir() else None
    return PlannedClip(
        id=clip,
        speaker=speaker_of(clip),
        split="train" if split == "additional" else split,
        npz=motions / f"{clip}.npz",
        wav=root / WAVE_FOLDER / f"{clip}.wav",
        textgrid=root / TEXTGRID_FOLDER / f"{clip}.TextGrid",
        sem=root / SEMANTICS_FOLDER / f"{clip}.txt",
        expression=expression,
    )


def clips_file(W: Workspace) -> Path:
    """The table of usable clips that the ingest stage writes."""
    return W.ingest / "clips.parquet"


def read_clips(W: Workspace, split: Split | None = None) -> list[ClipRecord]:
    """Usable clips, sorted by id.

    Args:
        W: the ingest stage's table is read.
        split: only this split's clips; all by default.

    Raises:
        DataError: the ingest stage has not been run, or its table can't be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = clips_file(W)
    try:
        rows = pq.read_table(
            path, columns=["id", "speaker", "split", "n_frames", "duration_s"], use_threads=False
        ).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: can't be read ({error}). Run the ingest stage: omniges stage ingest."
        ) from error
    return [ClipRecord(**row) for row in rows if split is None or row["split"] == split]
