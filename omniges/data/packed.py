"""Reading a pack: LMDB shards of raw arrays, each clip once and contiguous per feature, with an index.json.

Shards are opened when first read, once per process, without locks; so readers can be pickled into the workers
of a DataLoader, forked, and used side by side.

Shapes: T frames of a clip, n words.
"""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import lmdb
import numpy as np
from numpy.typing import NDArray

from omniges.errors import DataError
from omniges.files import read_json
from omniges.motion.layout import PART_NAMES
from omniges.types import Split

FORMAT = 1
FRAME_FEATURES = ("gesture", "mfcc", "side", "wavlm")
"""Features with a row a frame."""
_REMEDY = "Run the pack stage again: omniges stage pack."


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Mean and standard deviation of each channel over the train split; a constant channel has std 1."""

    mean: NDArray[np.float32]  # [W]
    std: NDArray[np.float32]  # [W]


@dataclass(frozen=True, kw_only=True)
class IndexedClip:
    """A clip's place in the pack."""

    id: str
    shard: str
    split: Split
    speaker: int  # index into PackIndex.speakers
    n_frames: int
    n_words: int


@dataclass(frozen=True, kw_only=True)
class PackIndex:
    """index.json, checked."""

    fps: int
    dtype: Literal["float16", "float32"]  # of the frame features and text embeddings
    widths: dict[str, int]  # feature → channels
    quantizers: int  # codes a part and step
    speakers: tuple[int, ...]  # BEAT2's numbers; a batch holds positions in this list
    clips: dict[str, IndexedClip]
    statistics: dict[str, Normalisation]  # gesture (already applied), side, mfcc, wavlm (stored raw)
    left_out: dict[str, str]  # clip → why it is not in the pack

    @property
    def text_width(self) -> int:
        return self.widths["text"]

    def clips_of(self, split: Split) -> list[str]:
        """Ids of a split's clips, sorted."""
        return sorted(clip.id for clip in self.clips.values() if clip.split == split)


@dataclass(frozen=True, kw_only=True)
class PackedClip:
    """All of one clip, whole."""

    id: str
    split: Split
    speaker: int  # BEAT2's number
    fps: int
    gesture: NDArray[np.float32]  # [T, 415] normalised
    side: NDArray[np.float32]  # [T, 9] radians
    codes: NDArray[np.int64]  # [T // 4, 4, Q]
    wavlm: NDArray[np.float32]  # [T, 768]
    mfcc: NDArray[np.float32]  # [T, 128]
    words: list[str] = field(repr=False)
    text: NDArray[np.float32]  # [n, 1024]
    text_span_s: NDArray[np.float64]  # [n, 2] start and end of each word

    @property
    def n_frames(self) -> int:
        return len(self.gesture)


def read_index(folder: Path) -> PackIndex:
    """Read and check a pack's index.

    Raises:
        DataError: there is no pack, or one of another format.
    """
    path = folder / "index.json"
    if not path.is_file():
        raise DataError(f"{path}: no pack here. {_REMEDY}")
    raw = read_json(path)
    if raw.get("format") != FORMAT:
        raise DataError(f"{path}: got pack format {raw.get('format')}, wanted {FORMAT}. {_REMEDY}")
    return PackIndex(
        fps=raw["fps"],
        dtype=raw["dtype"],
        widths=raw["widths"],
        quantizers=raw["quantizers"],
        speakers=tuple(raw["speakers"]),
        clips={clip: IndexedClip(id=clip, **entry) for clip, entry in raw["clips"].items()},
        statistics={name: _normalisation(entry) for name, entry in raw["statistics"].items()},
        left_out=raw["left_out"],
    )


def _normalisation(entry: dict[str, Any]) -> Normalisation:
    return Normalisation(mean=np.asarray(entry["mean"], np.float32), std=np.asarray(entry["std"], np.float32))


class Pack:
    """A pack, open for reading.

    Args:
        folder: holds index.json and the shards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.index = read_index(self.folder)
        shards = {clip.shard for clip in self.index.clips.values()}
        self._inodes = {shard: _inode(self.folder / shard) for shard in sorted(shards)}

    def transaction(self, shard: str) -> lmdb.Transaction:
        """A read transaction whose `get` gives buffers, valid until it ends; use it in a `with` block."""
        return _environment(self.folder / shard, self._inodes[shard]).begin(buffers=True)

    def clip(self, clip: str) -> PackedClip:
        """Copy one clip out of the pack, as float32.

        Raises:
            DataError: the clip is not in the pack.
        """
        entry = self.index.clips.get(clip)
        if entry is None:
            why = self.index.left_out.get(clip, "the pack was made from other clips")
            raise DataError(f"{clip}: not in {self.folder}: {why}. {_REMEDY}")
        with self.transaction(entry.shard) as transaction:
            frames = {name: self._floats(transaction, entry, name) for name in FRAME_FEATURES}
            codes = np.frombuffer(value_of(transaction, clip, "codes"), np.int16)
            words, spans, text = self._words(transaction, entry)
        return PackedClip(
            id=clip,
            split=entry.split,
            speaker=self.index.speakers[entry.speaker],
            fps=self.index.fps,
            codes=codes.astype(np.int64).reshape(-1, len(PART_NAMES), self.index.quantizers),
            words=words,
            text=text,
            text_span_s=spans,
            **frames,
        )

    def _floats(self, transaction: lmdb.Transaction, entry: IndexedClip, name: str) -> NDArray[np.float32]:
        stored = np.frombuffer(value_of(transaction, entry.id, name), self.index.dtype)
        return stored.reshape(-1, self.index.widths[name]).astype(np.float32)

    def _words(
        self, transaction: lmdb.Transaction, entry: IndexedClip
    ) -> tuple[list[str], NDArray[np.float64], NDArray[np.float32]]:
        if entry.n_words == 0:
            return [], np.empty((0, 2)), np.empty((0, self.index.text_width), np.float32)
        words = bytes(value_of(transaction, entry.id, "words")).decode().split("\n")
        spans = np.frombuffer(value_of(transaction, entry.id, "spans"), np.float64).reshape(-1, 2).copy()
        return words, spans, self._floats(transaction, entry, "text")


def read_clip(folder: Path, clip: str) -> PackedClip:
    """One whole clip of the pack in `folder`, as float32."""
    folder = Path(folder)
    return _pack(folder, _inode(folder / "index.json")).clip(clip)


@lru_cache(maxsize=2)
def _pack(folder: Path, index_inode: int) -> Pack:
    return Pack(folder)  # the inode in the key forgets a pack that has been replaced


def key_of(clip: str, name: str) -> bytes:
    """LMDB key of one array of one clip."""
    return f"{clip}/{name}".encode()


def value_of(transaction: lmdb.Transaction, clip: str, name: str) -> memoryview:
    """Raw bytes of one array, valid until the transaction ends."""
    value = transaction.get(key_of(clip, name))
    if value is None:
        raise DataError(
            f"{clip}: its {name} is missing from the pack, although the index names it. {_REMEDY}"
        )
    return value  # type: ignore[return-value]


_OPEN: dict[Path, tuple[int, int, lmdb.Environment]] = {}
"""Open shards: path → process, inode, environment. LMDB allows one environment a file and process."""


def _environment(path: Path, inode: int) -> lmdb.Environment:
    path = path.absolute()
    process, known, environment = _OPEN.get(path, (0, 0, None))
    if environment is not None and process == os.getpid() and known == inode:
        return environment
    if environment is not None:
        environment.close()  # inherited by fork, or of a pack that has been replaced
        del _OPEN[path]
    if _inode(path) != inode:
        raise DataError(f"{path}: the pack was replaced while it was being read. Start again.")
    try:
        environment = lmdb.open(
            str(path), subdir=False, readonly=True, lock=False, readahead=False, max_readers=1
        )
    except lmdb.Error as error:
        raise DataError(f"{path}: no readable LMDB shard ({error}). {_REMEDY}") from error
    _OPEN[path] = (os.getpid(), inode, environment)
    return environment


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. {_REMEDY}") from error
