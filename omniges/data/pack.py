"""The pack stage: all features of all usable clips in LMDB shards, for reading windows fast.

Equal inputs give equal bytes: clips and keys are sorted, a clip is a transaction, the map's size follows from
the clips, and LMDB clears the memory that it writes. One clip is in memory at a time.
"""

import logging
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lmdb

from omniges.config import Params
from omniges.data.clips import ClipRecord, read_clips
from omniges.data.pack_arrays import ClipArrays, gesture_statistics, read_arrays
from omniges.data.packed import (
    FORMAT,
    IndexedClip,
    Normalisation,
    Pack,
    PackedClip,
    PackIndex,
    key_of,
    read_clip,
    read_index,
    shard_name,
)
from omniges.data.statistics import Accumulator
from omniges.errors import DataError
from omniges.files import atomic_folder, sha256_file, write_json
from omniges.log import progress
from omniges.motion.layout import PART_NAMES
from omniges.workspace import Workspace

__all__ = ["Pack", "PackIndex", "PackedClip", "read_clip", "read_index", "run"]

log = logging.getLogger(__name__)
_MEASURED = ("mfcc", "side", "wavlm")  # features whose train statistics are made here
_FRAME_BYTES = 16_384  # more than a frame of float32 features takes, words included
_MAP_UNIT = 1 << 28  # bytes; address space only, the file is as long as its contents


@dataclass(kw_only=True)
class _Contents:
    """What the index says, added up while the shards are written."""

    speakers: list[int]
    gesture: Normalisation
    clips: dict[str, IndexedClip] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, Accumulator] = field(
        default_factory=lambda: {name: Accumulator() for name in _MEASURED}
    )

    def note(self, shard: str, record: ClipRecord, arrays: ClipArrays) -> None:
        """Take in a stored clip; train clips count for the statistics."""
        widths = arrays.widths()
        if self.widths and self.widths != widths:
            raise DataError(
                f"{record.id}: features have widths {widths}, those of earlier clips {self.widths}. "
                "They were made with different parameters: run the features' stages again."
            )
        self.widths = widths
        self.clips[record.id] = IndexedClip(
            id=record.id,
            shard=shard,
            split=record.split,
            speaker=self.speakers.index(record.speaker),
            n_frames=arrays.n_frames,
            n_words=len(arrays.words),
        )
        if record.split == "train":
            for name, statistics in self.statistics.items():
                statistics.add(getattr(arrays, name))


def run(params: Params, W: Workspace) -> None:
    """Write the shards and index.json.

    Args:
        params: `data` and `pack` are read.
        W: ingest's table, all features and the tokenizers' statistics are read; `W.pack` is written.

    Raises:
        DataError: a required split would be empty; or a clip can't be packed and `on_bad_clip` is "stop".
    """
    records = sorted(read_clips(W), key=lambda record: key_of(record.id, ""))
    speakers = sorted({record.speaker for record in records})
    contents = _Contents(speakers=speakers, gesture=gesture_statistics(W))
    with atomic_folder(W.pack) as folder:
        for shard, members in _shards(records, params.pack.shards).items():
            _write_shard(folder / shard, members, params, W, contents)
        _refuse_empty_splits(params, contents)
        write_json(folder / "index.json", _index(folder, params, contents), on_one_line=True)
    size = sum(path.stat().st_size for path in W.pack.glob("*.mdb"))
    log.info("packed %d clips, %.1f MB; left out %d", len(contents.clips), size / 1e6, len(contents.left_out))


def _shards(records: Sequence[ClipRecord], count: int) -> dict[str, list[ClipRecord]]:
    """Clips by shard file; where a clip belongs does not depend on the other clips."""
    shards: dict[str, list[ClipRecord]] = {}
    for record in records:
        shards.setdefault(shard_name(zlib.crc32(record.id.encode()) % count), []).append(record)
    return dict(sorted(shards.items()))


def _write_shard(
    path: Path, members: Sequence[ClipRecord], params: Params, W: Workspace, contents: _Contents
) -> None:
    frames = sum(record.n_frames for record in members)
    map_size = _MAP_UNIT * (2 + frames * _FRAME_BYTES // _MAP_UNIT)
    with lmdb.open(
        str(path), subdir=False, lock=False, map_size=map_size, meminit=True, sync=False, metasync=False
    ) as environment:
        for record in progress(members, f"packing {path.stem}"):
            try:
                arrays = read_arrays(params, W, record, contents.gesture)
            except DataError as error:
                if params.data.on_bad_clip == "stop":
                    raise
                log.warning("%s: left out of the pack: %s", record.id, error)
                contents.left_out[record.id] = str(error)
                continue
            with environment.begin(write=True) as transaction:
                for name, value in arrays.values().items():
                    transaction.put(key_of(record.id, name), value, append=True)
            contents.note(path.name, record, arrays)
        environment.sync(True)


def _refuse_empty_splits(params: Params, contents: _Contents) -> None:
    for split in dict.fromkeys(("train", *params.data.required_splits)):
        if any(clip.split == split for clip in contents.clips.values()):
            continue
        reasons = "; ".join(f"{clip}: {why}" for clip, why in list(contents.left_out.items())[:3])
        raise DataError(
            f"pack: the {split} split is empty; {len(contents.left_out)} clips were left out. {reasons} "
            "See also the ingest report and the logs of the features."
        )


def _index(folder: Path, params: Params, contents: _Contents) -> dict[str, Any]:
    found = {name: accumulator.finish() for name, accumulator in contents.statistics.items()}
    found["gesture"] = (contents.gesture.mean, contents.gesture.std)
    clips = {clip.id: asdict(clip) for clip in contents.clips.values()}
    for clip in clips.values():
        del clip["id"]  # it is the key
    return {
        "format": FORMAT,
        "fps": params.data.fps,
        "dtype": params.pack.dtype,
        "widths": contents.widths,
        "quantizers": contents.widths["codes"] // len(PART_NAMES),
        "speakers": contents.speakers,
        "shards": {path.name: sha256_file(path) for path in sorted(folder.glob("*.mdb"))},
        "clips": clips,
        "left_out": contents.left_out,
        "statistics": {name: {"mean": m.tolist(), "std": s.tolist()} for name, (m, s) in found.items()},
    }
