"""The pack stage: all features of all usable clips in LMDB shards, for reading windows fast.

Equal inputs give equal bytes: clips and keys are sorted, every clip is one transaction, the map's size
follows from the clips, and LMDB clears the memory that it writes.

Shapes: T frames of a clip (motion and features cut to one length), n words.
"""

import logging
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from omniges.config import Params
from omniges.data.clips import ClipRecord, read_clips
from omniges.data.motion_table import MOTION, read_motion_features
from omniges.data.packed import FORMAT, IndexedClip, Pack, PackedClip, key_of, read_clip, read_index
from omniges.data.statistics import Accumulator
from omniges.data.table import TextTable, read_table, read_text_table
from omniges.errors import DataError
from omniges.files import atomic_folder, sha256_file, write_json
from omniges.log import progress
from omniges.motion.features import gesture_from_features
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, PART_NAMES, PARTS
from omniges.workspace import Workspace

__all__ = ["Pack", "PackedClip", "read_clip", "read_index", "run"]

log = logging.getLogger(__name__)
SLACK_FRAMES = 2
"""Frames that a feature may be longer or shorter than its clip: rounding at the end. More is a fault."""
_MEASURED = ("mfcc", "side", "wavlm")  # features whose train statistics the pack makes
_MAP_UNIT = 1 << 28  # bytes


@dataclass(frozen=True, kw_only=True)
class _ClipArrays:
    """One clip, cut to one length."""

    gesture: NDArray[np.float32]  # [T, 415] normalised
    side: NDArray[np.float32]  # [T, 9]
    codes: NDArray[np.int16]  # [T // 4, 4 * Q]
    wavlm: NDArray[np.floating]  # [T, 768]
    mfcc: NDArray[np.floating]  # [T, 128]
    text: TextTable  # n words

    @property
    def n_frames(self) -> int:
        return len(self.gesture)


@dataclass
class _Contents:
    """What the index says, added up while the shards are written."""

    clips: dict[str, IndexedClip] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, Accumulator] = field(
        default_factory=lambda: {name: Accumulator() for name in _MEASURED}
    )


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
    mean, std = _gesture_statistics(W)
    contents = _Contents()
    shards: dict[str, list[ClipRecord]] = {}
    for record in records:
        number = zlib.crc32(record.id.encode()) % params.pack.shards
        shards.setdefault(f"shard-{number:03d}.mdb", []).append(record)
    with atomic_folder(W.pack) as folder:
        for shard, members in sorted(shards.items()):
            with _writable(folder / shard, members) as environment:
                for record in progress(members, f"packing {shard}"):
                    arrays = _arrays_or_fault(params, W, record, mean, std, contents)
                    if arrays is not None:
                        _put(environment, params, record, arrays)
                        _note(contents, shard, record, speakers, arrays)
                environment.sync(True)
        _refuse_empty_splits(params, contents)
        write_json(folder / "index.json", _index(folder, params, contents, speakers, mean, std))
    size = sum(path.stat().st_size for path in W.pack.glob("*.mdb"))
    log.info("packed %d clips into %d shard(s), %.1f MB", len(contents.clips), len(shards), size / 1e6)


def _gesture_statistics(W: Workspace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and std [415] that the tokenizers normalise with, part by part."""
    mean, std = np.zeros(GESTURE_WIDTH, np.float32), np.ones(GESTURE_WIDTH, np.float32)
    for name, part in PARTS.items():
        path = W.tokenizer(name) / "statistics.safetensors"
        if not path.is_file():
            raise DataError(
                f"{path}: missing. Run the tokenizers stage: omniges stage tokenizers --part {name}."
            )
        found = load_file(path)
        if found["mean"].shape != (part.width,) or found["std"].shape != (part.width,):
            raise DataError(
                f"{path}: got mean {found['mean'].shape}, std {found['std'].shape}; wanted ({part.width},)."
            )
        mean[part.gesture], std[part.gesture] = found["mean"], found["std"]
    if not (std > 0).all():
        raise DataError(
            f"{W.models / 'tokenizers'}: got a std of 0 at channel {int(np.argmin(std))}, wanted > 0."
        )
    return mean, std


def _arrays_or_fault(
    params: Params,
    W: Workspace,
    record: ClipRecord,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    contents: _Contents,
) -> _ClipArrays | None:
    try:
        return _read_arrays(params, W, record, mean, std)
    except DataError as error:
        if params.data.on_bad_clip == "stop":
            raise
        log.warning("%s: left out of the pack: %s", record.id, error)
        contents.left_out[record.id] = str(error)
        return None


def _read_arrays(
    params: Params, W: Workspace, record: ClipRecord, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> _ClipArrays:
    def path(feature: str) -> Path:
        return W.feature(feature) / f"{record.id}.parquet"

    motion = read_motion_features(path(MOTION))
    tables = {name: read_table(path(name)) for name in ("mfcc", "wavlm", "codes")}
    text = read_text_table(path("text"))
    rates = {name: table.fps for name, table in tables.items()}
    wanted = {"mfcc": params.data.fps, "wavlm": params.data.fps, "codes": params.data.fps / FRAMES_PER_CODE}
    if rates != wanted:
        raise DataError(
            f"{record.id}: features have the rates {rates}, wanted {wanted}. Run their stages again."
        )
    lengths = {
        MOTION: len(motion.values),
        "mfcc": len(tables["mfcc"].values),
        "wavlm": len(tables["wavlm"].values),
    }
    n_frames = common_length(record, lengths, len(tables["codes"].values))
    gesture = (gesture_from_features(motion.values[:n_frames]) - mean) / std
    duration_s = n_frames / params.data.fps
    heard = [i for i, word in enumerate(text.words) if word.start_s < duration_s]
    return _ClipArrays(
        gesture=gesture,
        side=motion.side[:n_frames],
        codes=tables["codes"].values[: n_frames // FRAMES_PER_CODE],
        wavlm=tables["wavlm"].values[:n_frames],
        mfcc=tables["mfcc"].values[:n_frames],
        text=TextTable(words=[text.words[i] for i in heard], values=text.values[heard], clip=record.id),
    )


def common_length(record: ClipRecord, lengths: dict[str, int], n_codes: int) -> int:
    """Frames that all features of a clip have.

    Args:
        record: the clip, with the length that ingest measured.
        lengths: frames of each frame-rate feature.
        n_codes: rows of codes, one a `FRAMES_PER_CODE` frames.

    Raises:
        DataError: a feature differs from the clip by more than `SLACK_FRAMES`, or the codes by more than one.
    """
    wrong = {name: n for name, n in lengths.items() if abs(n - record.n_frames) > SLACK_FRAMES}
    if wrong or abs(n_codes - record.n_frames // FRAMES_PER_CODE) > 1:
        raise DataError(
            f"{record.id}: the clip has {record.n_frames} frames, hence {record.n_frames // FRAMES_PER_CODE} codes; "
            f"its features have {lengths} and {n_codes} codes; allowed difference {SLACK_FRAMES} frames. "
            "They were made from different files: run the features' stages again."
        )
    shortest = min(record.n_frames, *lengths.values())
    return min(shortest, (n_codes + 1) * FRAMES_PER_CODE - 1)


def _writable(path: Path, members: list[ClipRecord]) -> lmdb.Environment:
    frames = sum(record.n_frames for record in members)
    units = (
        2 + frames * 16_384 // _MAP_UNIT
    )  # a frame of float32 features, words included, takes less than 16 KiB
    return lmdb.open(
        str(path),
        subdir=False,
        lock=False,
        map_size=units * _MAP_UNIT,
        meminit=True,
        sync=False,
        metasync=False,
    )


def _put(environment: lmdb.Environment, params: Params, record: ClipRecord, arrays: _ClipArrays) -> None:
    """Append a clip; one transaction, keys in order."""
    dtype = params.pack.dtype
    values = {
        name: _bytes(getattr(arrays, name), dtype, record, name)
        for name in ("gesture", "mfcc", "side", "wavlm")
    }
    values["codes"] = np.ascontiguousarray(arrays.codes, np.int16).tobytes()
    if arrays.text.words:
        values["spans"] = np.array([(w.start_s, w.end_s) for w in arrays.text.words], np.float64).tobytes()
        values["text"] = _bytes(arrays.text.values, dtype, record, "text")
        values["words"] = "\n".join(" ".join(w.text.split()) for w in arrays.text.words).encode()
    with environment.begin(write=True) as transaction:
        for name, value in sorted(values.items()):
            transaction.put(key_of(record.id, name), value, append=True)


def _bytes(values: NDArray[Any], dtype: str, record: ClipRecord, name: str) -> bytes:
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, dtype)
    if not np.isfinite(stored).all():
        channel = int(np.argwhere(~np.isfinite(stored))[0][1])
        widest = np.abs(values[:, channel]).max()
        raise DataError(
            f"{record.id}: {name} reaches {widest:g} in channel {channel}, which {dtype} can't hold. "
            "Set pack.dtype to float32 in params.yaml."
        )
    return stored.tobytes()


def _note(
    contents: _Contents, shard: str, record: ClipRecord, speakers: list[int], arrays: _ClipArrays
) -> None:
    contents.clips[record.id] = IndexedClip(
        id=record.id,
        shard=shard,
        split=record.split,
        speaker=speakers.index(record.speaker),
        n_frames=arrays.n_frames,
        n_words=len(arrays.text.words),
    )
    widths = {name: getattr(arrays, name).shape[1] for name in ("gesture", "mfcc", "side", "wavlm", "codes")}
    widths["text"] = arrays.text.values.shape[1]
    if contents.widths and contents.widths != widths:
        raise DataError(
            f"{record.id}: got widths {widths}, but earlier clips {contents.widths}. Run the stages again."
        )
    contents.widths = widths
    if record.split == "train":
        for name, statistics in contents.statistics.items():
            statistics.add(getattr(arrays, name))


def _refuse_empty_splits(params: Params, contents: _Contents) -> None:
    for split in dict.fromkeys(("train", *params.data.required_splits)):
        if not any(clip.split == split for clip in contents.clips.values()):
            why = next(iter(contents.left_out.items()), None)
            first = (
                f" ({len(contents.left_out)} clips were left out; the first, {why[0]}: {why[1]})"
                if why
                else ""
            )
            raise DataError(
                f"pack: the {split} split is empty{first}. See ingest's report and the features' logs."
            )


def _index(
    folder: Path,
    params: Params,
    contents: _Contents,
    speakers: list[int],
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
) -> dict[str, Any]:
    statistics = {name: accumulator.finish() for name, accumulator in contents.statistics.items()}
    statistics["gesture"] = (mean, std)
    clips = {
        clip.id: {k: v for k, v in asdict(clip).items() if k != "id"} for clip in contents.clips.values()
    }
    return {
        "format": FORMAT,
        "fps": params.data.fps,
        "dtype": params.pack.dtype,
        "widths": contents.widths,
        "quantizers": contents.widths["codes"] // len(PART_NAMES),
        "speakers": speakers,
        "shards": {path.name: sha256_file(path) for path in sorted(folder.glob("*.mdb"))},
        "clips": clips,
        "left_out": contents.left_out,
        "statistics": {name: {"mean": m.tolist(), "std": s.tolist()} for name, (m, s) in statistics.items()},
    }
