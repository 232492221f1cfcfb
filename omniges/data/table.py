"""One clip's feature as a Parquet file: a column of numbers, row after row, with its meaning in the schema.

Lists in Parquet say of each number whether it begins a row, which costs more time than all else together;
here the schema's metadata has the width of a row, and a clip's words with their times.

The bytes depend on values and metadata only, not on time, machine or threads (for one version of pyarrow),
so that content hashes mean something.

Shapes: N rows (motion frames, codes or words), W channels.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from omniges.errors import DataError, ShapeError
from omniges.files import atomic_path
from omniges.types import Word

_METADATA_KEY = b"omniges"
_ROW_GROUP = 4096  # the writer needs 7 times the bytes of one group
_NUMPY_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}  # the others agree


@dataclass(frozen=True, kw_only=True)
class Table:
    """A feature of one clip."""

    values: NDArray[Any]  # [N, W]
    clip: str
    feature: str
    unit: str
    fps: float | None  # rows a second; None where rows are no samples of time
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """The words of one clip and their embeddings."""

    words: list[Word]
    values: NDArray[Any]  # [n, W] a row a word
    clip: str
    extra: dict[str, Any] = field(default_factory=dict)


def write_table(
    path: Path,
    values: NDArray[Any],
    *,
    clip: str,
    feature: str,
    unit: str,
    fps: float | None,
    dtype: str,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a feature atomically.

    Args:
        path: the file to make.
        values: [N, W], finite after the cast to `dtype`.
        clip: the clip's id.
        feature: name of the feature.
        unit: unit of the values, in words.
        fps: rows a second, or None.
        dtype: numpy name of the stored type.
        extra: what else readers need, JSON values.
    """
    stored = _stored(values, dtype, f"{path} ({feature})")
    metadata = {"clip": clip, "feature": feature, "unit": unit, "fps": fps, "extra": extra or {}}
    _write(path, stored, metadata)


def read_table(path: Path) -> Table:
    """Read what `write_table` wrote.

    Raises:
        DataError: the file is missing, truncated, or no table of this project.
    """
    values, metadata = _read(path)
    return Table(
        values=values,
        clip=metadata["clip"],
        feature=metadata["feature"],
        unit=metadata["unit"],
        fps=metadata["fps"],
        extra=metadata["extra"],
    )


def write_text_table(
    path: Path,
    words: Sequence[Word],
    values: NDArray[Any],
    clip: str,
    dtype: str,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a clip's words and their embeddings atomically.

    Args:
        path: the file to make.
        words: n words, in order of time; none for a clip without speech.
        values: [n, W] an embedding a word.
        clip: the clip's id.
        dtype: numpy name of the stored type.
        extra: what else readers need, JSON values.
    """
    stored = _stored(values, dtype, f"{path} (text)")
    if len(stored) != len(words):
        raise ShapeError(f"{path}: got {len(stored)} embeddings for {len(words)} words; wanted one a word.")
    metadata = {"clip": clip, "feature": "text", "unit": "embedding", "fps": None, "extra": extra or {}}
    _write(path, stored, metadata | {"words": [[word.text, word.start_s, word.end_s] for word in words]})


def read_text_table(path: Path) -> TextTable:
    """Read what `write_text_table` wrote.

    Raises:
        DataError: the file is missing, truncated, or no text table of this project.
    """
    values, metadata = _read(path)
    if "words" not in metadata:
        raise DataError(
            f"{path}: got a table of {metadata.get('feature')}, wanted one of words. "
            "Delete it and run its stage again."
        )
    words = [Word(text=text, start_s=start, end_s=end) for text, start, end in metadata["words"]]
    return TextTable(words=words, values=values, clip=metadata["clip"], extra=metadata["extra"])


def all_finite(values: NDArray[Any]) -> bool:
    """Whether all numbers are finite; for float16 by their bits, six times as fast as numpy's own test."""
    if values.dtype == np.float16 and values.flags.c_contiguous:
        exponents = values.view(np.uint16) & np.uint16(0x7C00)
        return not values.size or int(exponents.max()) < 0x7C00
    return bool(np.isfinite(values).all())


def _stored(values: NDArray[Any], dtype: str, where: str) -> NDArray[Any]:
    """Cast to the stored type; refuse what that type can't hold."""
    if values.ndim != 2 or values.shape[1] == 0:
        raise ShapeError(f"{where}: got shape {values.shape}, wanted [N, W] with W > 0.")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, dtype=np.dtype(dtype))
    if stored.dtype.kind == "f" and not all_finite(stored):
        row, channel = (int(i) for i in np.argwhere(~np.isfinite(stored))[0])
        raise DataError(
            f"{where}: got {values[row, channel]} at row {row}, channel {channel}; wanted a number that "
            f"{dtype} can hold. Store the feature as float32 in params.yaml, or exclude the clip."
        )
    if stored.dtype.kind in "iu" and not np.array_equal(stored, values):
        raise DataError(
            f"{where}: got values from {values.min()} to {values.max()}, which {dtype} can't hold."
        )
    return stored


def _numbers(stored: NDArray[Any]) -> pa.Array:
    """[N, W] as N * W numbers; through buffers, since `pa.array` imports pandas (0.4 s)."""
    kind = pa.from_numpy_dtype(stored.dtype)
    return pa.Array.from_buffers(kind, stored.size, [None, pa.py_buffer(stored.reshape(-1))])


def _array(chunks: list[pa.Array], kind: pa.DataType) -> NDArray[Any]:
    """All numbers of some arrays of one type; a copy."""
    dtype = np.dtype(_NUMPY_NAMES.get(str(kind), str(kind)))
    parts = [np.empty(0, dtype)]
    for flat in chunks:
        if len(flat):
            parts.append(np.frombuffer(flat.buffers()[1], dtype, len(flat), flat.offset * dtype.itemsize))
    return np.concatenate(parts)


def _write(path: Path, stored: NDArray[Any], metadata: dict[str, Any]) -> None:
    width = stored.shape[1]
    encoded = json.dumps(metadata | {"width": width}, sort_keys=True, allow_nan=False).encode()
    numbers, group = _numbers(stored), _ROW_GROUP * width
    field_ = pa.field("values", numbers.type, nullable=False)
    table = pa.table([numbers], schema=pa.schema([field_], metadata={_METADATA_KEY: encoded}))
    with atomic_path(path) as temporary:
        # Groups of a fixed size, no dictionaries or statistics: nothing but the values decides the bytes.
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
            # The bytes of floats compress better apart; a float16 loses nothing by it either.
            use_byte_stream_split=["values"] if stored.dtype.kind == "f" else [],
            row_group_size=group,
            max_rows_per_page=group,  # small pages would share one code for their first and last bytes
        )


def _read(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Values [N, W] and metadata."""
    try:
        # `pq.read_table` sets up a whole dataset first, and reading ahead pays on slow networks only.
        with pa.OSFile(str(path)) as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
            table = file.read(use_threads=False)
        metadata = json.loads((table.schema.metadata or {})[_METADATA_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: no readable feature table ({error}). Delete it and run its stage again."
        ) from error
    if table.column_names != ["values"] or "width" not in metadata:
        raise DataError(
            f"{path}: got a table of {metadata.get('feature')} with columns {table.column_names}, or without "
            "its width; wanted one feature's rows. Delete it and run its stage again."
        )
    column = table.column("values")
    return _array(column.chunks, column.type).reshape(-1, metadata["width"]), metadata
