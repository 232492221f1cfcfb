"""What the pack stores of one clip: its features, checked against each other and cut to one length.

Shapes: T frames, n words, Q quantizers.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from omniges.config import Params
from omniges.data.clips import ClipRecord
from omniges.data.motion_table import MOTION, read_motion_features
from omniges.data.packed import FRAME_FEATURES, Normalisation
from omniges.data.table import Table, TextTable, all_finite, read_table, read_text_table
from omniges.errors import DataError
from omniges.motion.features import gesture_from_features
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, PARTS
from omniges.workspace import Workspace

SLACK_FRAMES = 2
"""Frames that a feature may be shorter than its clip: rounding at the end. More is a fault."""


@dataclass(frozen=True, kw_only=True)
class ClipArrays:
    """One clip as it is stored; floats have the pack's type."""

    gesture: NDArray[np.floating]  # [T, 415] normalised
    side: NDArray[np.floating]  # [T, 9] radians
    codes: NDArray[np.int16]  # [T // 4, 4 * Q]
    wavlm: NDArray[np.floating]  # [T, 768]
    mfcc: NDArray[np.floating]  # [T, 128]
    text: NDArray[np.floating]  # [n, 1024]
    spans: NDArray[np.float64]  # [n, 2] seconds
    words: list[str]  # n

    @property
    def n_frames(self) -> int:
        return len(self.gesture)

    def widths(self) -> dict[str, int]:
        """Channels of each array."""
        names = ("gesture", "side", "codes", "wavlm", "mfcc", "text")
        return {name: getattr(self, name).shape[1] for name in names}

    def values(self) -> dict[str, bytes | memoryview]:
        """What is stored by name, in the order of names; a clip without words has no arrays of them."""
        frames = np.concatenate([getattr(self, name) for name in FRAME_FEATURES], axis=1)
        found: dict[str, bytes | memoryview] = {"codes": self.codes.data, "frames": frames.data}
        if self.words:
            found |= {"spans": self.spans.data, "text": self.text.data}
            found["words"] = "\n".join(self.words).encode()
        return found


def gesture_statistics(W: Workspace) -> Normalisation:
    """Mean and std [415] that the tokenizers normalise with, part by part.

    Raises:
        DataError: a tokenizer's statistics are missing, misshapen, or hold a std that is not positive.
    """
    mean, std = np.zeros(GESTURE_WIDTH, np.float32), np.ones(GESTURE_WIDTH, np.float32)
    for name, part in PARTS.items():
        path = W.tokenizer(name) / "statistics.safetensors"
        if not path.is_file():
            raise DataError(f"{path}: missing. Run its stage: omniges stage tokenizers --part {name}.")
        found = load_file(path)
        shapes = {key: value.shape for key, value in found.items()}
        if shapes.get("mean") != (part.width,) or shapes.get("std") != (part.width,):
            raise DataError(f"{path}: got {shapes}, wanted mean and std of shape ({part.width},).")
        if not (found["std"] > 0).all():
            raise DataError(f"{path}: got a std of {found['std'].min():g}, wanted more than 0.")
        mean[part.gesture], std[part.gesture] = found["mean"], found["std"]
    return Normalisation(mean=mean, std=std)


def read_arrays(params: Params, W: Workspace, record: ClipRecord, gesture: Normalisation) -> ClipArrays:
    """Read a clip's tables and make them fit together.

    Args:
        params: `data.{fps, max_gap_s}` and `pack.dtype` are read.
        W: the tables of motion, mfcc, wavlm, text and codes are read.
        record: the clip.
        gesture: what the tokenizers normalise with.

    Raises:
        DataError: a table is missing or damaged, has another rate or length than the clip, or holds values
            that `pack.dtype` can't.
    """
    paths = {name: _table_path(W, name, record) for name in (MOTION, "mfcc", "wavlm", "codes", "text")}
    motion = read_motion_features(paths[MOTION])
    tables = {name: read_table(paths[name]) for name in ("mfcc", "wavlm", "codes")}
    _check_rates(record, tables, params.data.fps)
    lengths = {MOTION: len(motion.values), **{name: len(tables[name].values) for name in ("mfcc", "wavlm")}}
    longer = (
        math.ceil(params.data.max_gap_s * params.data.fps) + SLACK_FRAMES
    )  # sound is not cut to the motion
    n_frames = common_length(record, lengths, len(tables["codes"].values), longer)
    normalised = gesture_from_features(motion.values[:n_frames])
    normalised -= gesture.mean
    normalised /= gesture.std
    words, spans, text = _spoken_before(read_text_table(paths["text"]), n_frames / params.data.fps)
    floats = {
        "gesture": normalised,
        "side": motion.side[:n_frames],
        "wavlm": tables["wavlm"].values[:n_frames],
        "mfcc": tables["mfcc"].values[:n_frames],
        "text": text,
    }
    stored = {name: _stored(record, name, values, params.pack.dtype) for name, values in floats.items()}
    codes = np.ascontiguousarray(tables["codes"].values[: n_frames // FRAMES_PER_CODE], np.int16)
    return ClipArrays(codes=codes, words=words, spans=spans, **stored)


def common_length(record: ClipRecord, lengths: dict[str, int], n_codes: int, longer: int) -> int:
    """Frames that all features of a clip have.

    Args:
        record: the clip, with the length that ingest measured.
        lengths: frames of each frame-rate feature; those of sound may outlast the clip's motion.
        n_codes: rows of codes, one a `FRAMES_PER_CODE` frames.
        longer: frames by which a feature may outlast the clip.

    Raises:
        DataError: a feature is shorter than the clip by more than `SLACK_FRAMES`, or outlasts it by more than
            `longer`; or the codes differ by more than one.
    """
    wanted = record.n_frames // FRAMES_PER_CODE
    shortest, longest = record.n_frames - SLACK_FRAMES, record.n_frames + longer
    wrong = [name for name, n in lengths.items() if not shortest <= n <= longest]
    if wrong or abs(n_codes - wanted) > 1:
        raise DataError(
            f"{record.id}: the clip has {record.n_frames} frames, hence {wanted} codes; its features have "
            f"{lengths} and {n_codes} codes; wanted {shortest} to {longest} frames and {wanted} codes. "
            "They were made from different files: run the features' stages again."
        )
    return min(record.n_frames, *lengths.values(), (n_codes + 1) * FRAMES_PER_CODE - 1)


def _table_path(W: Workspace, name: str, record: ClipRecord) -> Path:
    return W.feature(name) / f"{record.id}.parquet"


def _check_rates(record: ClipRecord, tables: dict[str, Table], fps: int) -> None:
    rates = {name: table.fps for name, table in tables.items()}
    wanted = {"mfcc": fps, "wavlm": fps, "codes": fps / FRAMES_PER_CODE}
    if rates != wanted:
        raise DataError(f"{record.id}: features have rates {rates}, wanted {wanted}. Run their stages again.")


def _spoken_before(text: TextTable, end_s: float) -> tuple[list[str], NDArray[np.float64], NDArray[Any]]:
    """Words that begin before the clip's common end, their spans [n, 2] and embeddings [n, W]."""
    heard = [i for i, word in enumerate(text.words) if word.start_s < end_s]
    spans = np.array([(text.words[i].start_s, text.words[i].end_s) for i in heard], np.float64)
    words = [" ".join(text.words[i].text.split()) for i in heard]  # stored a line each
    return words, spans.reshape(-1, 2), text.values[heard]


def _stored(record: ClipRecord, name: str, values: NDArray[Any], dtype: str) -> NDArray[np.floating]:
    stored = np.ascontiguousarray(values)
    if stored.dtype != dtype:  # torch casts to float16 twenty times as fast as numpy, to the same numbers
        stored = torch.from_numpy(stored).to(getattr(torch, dtype)).numpy()
    if not all_finite(stored):
        channel = int(np.argwhere(~np.isfinite(stored))[0][1])
        raise DataError(
            f"{record.id}: {name} reaches {np.abs(values[:, channel]).max():g} in channel {channel}, which "
            f"{dtype} can't hold. Set pack.dtype to float32 in params.yaml, or exclude the clip."
        )
    return stored
