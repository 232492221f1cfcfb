"""Reading a pack: LMDB shards of raw arrays, each clip once and contiguous per feature, with an index.json.

Shards are opened when first read, once per process, read-only and without locks: nothing but a shared memory
map, so readers can be pickled into the workers of a DataLoader, forked with it, and used side by side.

Shapes: T frames of a clip, n words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import lmdb
import numpy as np
from numpy.typing import NDArray

from omniges.errors import ConfigError, DataError
from omniges.files import read_json
from omniges.motion.layout import PART_NAMES
from omniges.types import Split

FORMAT = 1
FRAME_FEATURES = ("gesture", "mfcc", "side", "wavlm")
"""Features with a row a frame, in their order inside the array `frames` [T, sum]: a window is one copy."""
WORD_ARRAYS = ("text", "spans", "words")
"""Arrays that a clip without words does not have."""
_REMEDY = "Run the pack stage again: omniges stage pack."
Shards = Sequence[int] | Literal["all"]
"""Which shards of a pack to read."""


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

    @property
    def columns(self) -> dict[str, slice]:
        """Where each frame feature lies in the array `frames`."""
        ends = np.cumsum([self.widths[name] for name in FRAME_FEATURES]).tolist()
        return {
            name: slice(end - self.widths[name], end) for name, end in zip(FRAME_FEATURES, ends, strict=True)
        }

    @property
    def frame_width(self) -> int:
        return sum(self.widths[name] for name in FRAME_FEATURES)

    def layout(self, name: str) -> tuple[str, int]:
        """Type and row width of a stored array."""
        return {
            "frames": (self.dtype, self.frame_width),
            "codes": ("int16", self.widths["codes"]),
            "text": (self.dtype, self.text_width),
            "spans": ("float64", 2),
            "words": ("uint8", 0),
        }[name]

    def only(self, shards: Shards) -> "PackIndex":
        """The index without clips of other shards; statistics stay those of the whole pack.

        Raises:
            ConfigError: the pack has no such shard.
        """
        if shards == "all":
            return self
        there, wanted = self.shards, {shard_name(number) for number in shards}
        if not wanted or wanted - there:
            numbers = sorted(int(name.removeprefix("shard-").removesuffix(".mdb")) for name in there)
            raise ConfigError(
                f"shards: got {list(shards)}, wanted some of {numbers}, which this pack has, or `all`."
            )
        clips = {clip.id: clip for clip in self.clips.values() if clip.shard in wanted}
        return replace(self, clips=clips)

    @property
    def shards(self) -> set[str]:
        """Files that hold clips."""
        return {clip.shard for clip in self.clips.values()}

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
        shards: which of them to read; the index is without the others' clips, and they may be elsewhere.

    Raises:
        ConfigError: the pack has no such shard.
        DataError: a shard is missing, or there is no pack.
    """

    def __init__(self, folder: Path, shards: Shards = "all") -> None:
        self.folder = Path(folder)
        self.index = read_index(self.folder).only(shards)
        _refuse_missing(self.folder, self.index.shards)
        self._inodes = {shard: _inode(self.folder / shard) for shard in sorted(self.index.shards)}
        self._open: dict[str, _Shard] = {}
        self._views: dict[tuple[str, str], NDArray[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_views": {}}

    def clip(self, clip: str) -> PackedClip:
        """Copy one clip out of the pack, floats as float32.

        Raises:
            DataError: the clip is not in the pack.
        """
        entry = self.index.clips.get(clip)
        if entry is None:
            why = self.index.left_out.get(clip, "the pack was made from other clips")
            raise DataError(f"{clip}: not in {self.folder}: {why}. {_REMEDY}")
        frames = self.view(entry, "frames")
        found = {name: frames[:, columns].astype(np.float32) for name, columns in self.index.columns.items()}
        return PackedClip(
            id=clip,
            split=entry.split,
            speaker=self.index.speakers[entry.speaker],
            fps=self.index.fps,
            codes=self.codes(clip),
            words=self.view(entry, "words").tobytes().decode().split("\n") if entry.n_words else [],
            text=self.view(entry, "text").astype(np.float32),
            text_span_s=self.view(entry, "spans").copy(),
            **found,
        )

    def codes(self, clip: str) -> NDArray[np.int64]:
        """[T // 4, 4, Q] of one clip, without touching its other arrays."""
        stored = self.view(self.index.clips[clip], "codes").astype(np.int64)
        return stored.reshape(len(stored), len(PART_NAMES), self.index.quantizers)

    def view(self, entry: IndexedClip, name: str) -> NDArray[Any]:
        """One stored array [N, W] without a copy, read-only; use it no longer than this pack.

        Args:
            entry: the clip.
            name: "frames" or "codes", or "text", "spans", "words" (N words; one row of letters).
        """
        view = self._views.get((entry.id, name))
        if view is None:
            view = self._views[entry.id, name] = self._look_up(entry, name)
        return view

    def _look_up(self, entry: IndexedClip, name: str) -> NDArray[Any]:
        dtype, width = self.index.layout(name)
        if name in WORD_ARRAYS and entry.n_words == 0:
            return np.empty((0, width), dtype)
        shard = self._open.get(entry.shard)
        if shard is None:
            shard = _shard(self.folder / entry.shard, self._inodes[entry.shard])
            self._open[entry.shard] = shard
        stored = shard.reads.get(key_of(entry.id, name))
        if stored is None:
            raise DataError(f"{entry.id}: its {name} is missing, although the index names it. {_REMEDY}")
        return np.frombuffer(stored, dtype).reshape(-1, width or len(stored))


def read_clip(folder: Path, clip: str) -> PackedClip:
    """One whole clip of the pack in `folder`, as float32."""
    folder = Path(folder)
    return _pack(folder, _inode(folder / "index.json")).clip(clip)


@lru_cache(maxsize=2)
def _pack(folder: Path, index_inode: int) -> Pack:
    return Pack(folder)  # the inode in the key forgets a pack that has been replaced


def _refuse_missing(folder: Path, wanted: set[str]) -> None:
    missing = sorted(name for name in wanted if not (folder / name).is_file())
    if missing:
        few = " ".join(str(folder / name) for name in missing[:3]) + (" …" if len(missing) > 3 else "")
        raise DataError(
            f"{folder}: {len(missing)} of {len(wanted)} shards are missing: {few}. "
            f"Fetch them (`dvc pull {few}`), train on those that are here (train.shards in params.yaml), "
            "or make the pack anew (omniges stage pack)."
        )


def shard_name(number: int) -> str:
    """File of a shard."""
    return f"shard-{number:03d}.mdb"


def key_of(clip: str, name: str) -> bytes:
    """LMDB key of one array of one clip."""
    return f"{clip}/{name}".encode()


class _Shard:
    """An open LMDB file. Forks inherit it: without locks and writers, LMDB is nothing but a memory map."""

    def __init__(self, path: Path) -> None:
        try:
            self._environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_readers=1)
        except lmdb.Error as error:
            raise DataError(f"{path}: no readable LMDB shard ({error}). {_REMEDY}") from error
        # One transaction for good: the file never changes, and buffers live as long as their transaction.
        self.reads = self._environment.begin(buffers=True)


_SHARDS: WeakValueDictionary[tuple[Path, int], _Shard] = WeakValueDictionary()
"""Shards that some pack holds open: LMDB allows a file to be open once in a process."""


def _shard(path: Path, inode: int) -> _Shard:
    key = (path.absolute(), inode)
    shard = _SHARDS.get(key)
    if shard is None:
        if _inode(path) != inode:
            raise DataError(f"{path}: the pack was replaced while it was being read. Start again.")
        shard = _SHARDS[key] = _Shard(path)
    return shard


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. {_REMEDY}") from error
