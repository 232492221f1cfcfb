"""What ingest found, written for pipelines (clips.parquet), machines (faults.json) and people (report.md)."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omniges.data.validate import CONVERTED, IGNORED, LEFT_OUT, Measured, Verdict
from omniges.files import write_json
from omniges.types import ClipFault

SPLITS = ("train", "val", "test")
_TRIMMED_S = 0.001  # shorter differences of motion and audio are rounding


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """All verdicts on a corpus, and all faults, also those of no single clip's files."""

    fps: float
    verdicts: Sequence[Verdict]
    faults: Sequence[ClipFault]

    @property
    def usable(self) -> list[tuple[Verdict, Measured]]:
        return [(verdict, verdict.measured) for verdict in self.verdicts if verdict.measured]

    @property
    def left_out(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.measured is None]

    @property
    def gaps_s(self) -> list[float]:
        """By how much audio outlasts motion (negative: motion outlasts audio), where a clip was trimmed."""
        gaps = [measured.audio_s - measured.motion_s for _, measured in self.usable]
        return [gap for gap in gaps if abs(gap) > _TRIMMED_S]


def write_ingest(folder: Path, result: Ingest, name: str) -> None:
    """Write the three files.

    Args:
        folder: an existing folder.
        result: what was found.
        name: the corpus's name, for the headline.
    """
    _write_clips(folder / "clips.parquet", result)
    write_json(
        folder / "faults.json", {"summary": _summary(result), "faults": [asdict(f) for f in result.faults]}
    )
    (folder / "report.md").write_text(_markdown(result, name), "utf-8")


def _write_clips(path: Path, result: Ingest) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("id", pa.string()), ("speaker", pa.int32()), ("split", pa.string()), ("n_frames", pa.int32())]
        + [(key, pa.float64()) for key in ("duration_s", "motion_s", "audio_s", "motion_fps")]
        + [("n_words", pa.int32())],
    )
    rows = [
        {
            "id": v.clip.id,
            "speaker": v.clip.speaker,
            "split": v.clip.split,
            "duration_s": m.n_frames / result.fps,
            **asdict(m),
        }
        for v, m in result.usable
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def _summary(result: Ingest) -> dict[str, Any]:
    by_action = {
        action: sum(f.action == action for f in result.faults) for action in (LEFT_OUT, CONVERTED, IGNORED)
    }
    return {
        "clips_asked": len(result.verdicts),
        "clips_usable": len(result.usable),
        "clips_left_out": len(result.left_out),
        "clips_trimmed": len(result.gaps_s),
        "faults": by_action,
        "splits": {split: _split_summary(result, split) for split in SPLITS},
    }


def _split_summary(result: Ingest, split: str) -> dict[str, Any]:
    frames = [m.n_frames for v, m in result.usable if v.clip.split == split]
    speakers = {v.clip.speaker for v, _ in result.usable if v.clip.split == split}
    left_out = sum(v.clip.split == split for v in result.left_out)
    seconds = round(sum(frames) / result.fps, 3)
    return {"clips": len(frames), "left_out": left_out, "speakers": sorted(speakers), "duration_s": seconds}


def _markdown(result: Ingest, name: str) -> str:
    asked, usable, left_out = len(result.verdicts), len(result.usable), len(result.left_out)
    lines = [
        f"# Ingest report: {name}",
        "",
        f"{asked} clips asked for, {usable} usable, {left_out} left out.",
        "",
        "| split | usable clips | minutes | speakers | left out |",
        "|---|---|---|---|---|",
    ]
    for split in SPLITS:
        s = _split_summary(result, split)
        cells = (split, s["clips"], f"{s['duration_s'] / 60:.1f}", len(s["speakers"]), s["left_out"])
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    lines += ["", _trim_sentence(result), ""]
    for action, title in ((LEFT_OUT, "Left out"), (CONVERTED, "Converted on reading"), (IGNORED, "Ignored")):
        lines += _fault_table(title, [fault for fault in result.faults if fault.action == action])
    return "\n".join(lines).rstrip() + "\n"


def _trim_sentence(result: Ingest) -> str:
    gaps = [abs(gap) for gap in result.gaps_s]
    if not gaps:
        return "Motion and audio of every usable clip are equally long."
    return (
        f"Trimmed to the shorter of motion and audio: {len(gaps)} clips, by {min(gaps):.2f} to "
        f"{max(gaps):.2f} s (median {statistics.median(gaps):.2f} s); clips.parquet has each clip's lengths."
    )


def _fault_table(title: str, faults: Sequence[ClipFault]) -> list[str]:
    if not faults:
        return [f"## {title}: none", ""]
    rows = [f"| {_cell(f.clip)} | {_cell(f.problem)} | {_cell(f.remedy)} |" for f in faults]
    return [f"## {title}: {len(faults)}", "", "| clip | problem | remedy |", "|---|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "(empty)"
