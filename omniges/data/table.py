"""One clip's feature as a Parquet file: a column of numbers, row after row, with its meaning in the schema.

Lists in Parquet say of each number whether it begins a row, which costs more time than all else together;
here the schema's metadata has the width of a row. Words come with several columns, so their embeddings are
lists.

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
    width = stored.shape[1]
    metadata = {"clip": clip, "feature": feature, "unit": unit, "fps": fps, "extra": extra or {}}
    _write(path, {"values": _numbers(stored)}, metadata | {"width": width}, _ROW_GROUP * width)


def read_table(path: Path) -> Table:
    """Read what `write_table` wrote.

    Raises:
        DataError: the file is missing, truncated, or no table of this project.
    """
    columns, metadata = _read(path, ("values",))
    if "width" not in metadata:
        raise DataError(
            f"{path}: got a table of {metadata.get('feature')} without its width, wanted one feature's rows. "
            "Delete it and run its stage again."
        )
    return Table(
        values=_array(columns["values"].chunks, columns["values"].type).reshape(-1, metadata["width"]),
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
    columns = {
        "text": pa.array([word.text for word in words], pa.string()),
        "start_s": pa.array([word.start_s for word in words], pa.float64()),
        "end_s": pa.array([word.end_s for word in words], pa.float64()),
        "values": _rows(stored),
    }
    _write(
        path,
        columns,
        {"clip": clip, "feature": "text", "unit": "embedding", "fps": None, "extra": extra or {}},
        _ROW_GROUP,
    )


def read_text_table(path: Path) -> TextTable:
    """Read what `write_text_table` wrote.

    Raises:
        DataError: the file is missing, truncated, or no text table of this project.
    """
    columns, metadata = _read(path, ("text", "start_s", "end_s", "values"))
    spans = zip(
        columns["text"].to_pylist(), columns["start_s"].to_pylist(), columns["end_s"].to_pylist(), strict=True
    )
    words = [Word(text=text, start_s=start, end_s=end) for text, start, end in spans]
    return TextTable(
        words=words, values=_matrix(columns["values"]), clip=metadata["clip"], extra=metadata["extra"]
    )


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


def _rows(stored: NDArray[Any]) -> pa.Array:
    """[N, W] as a column of fixed-size lists."""
    numbers = _numbers(stored)
    # A promise that nothing is null spares a third of the time of reading.
    row = pa.list_(pa.field("element", numbers.type, nullable=False), stored.shape[1])
    return pa.FixedSizeListArray.from_arrays(numbers, type=row)


def _matrix(column: pa.ChunkedArray) -> NDArray[Any]:
    """[N, W] of a column of fixed-size lists; a copy, so that it can be written to."""
    chunks = [chunk.flatten() for chunk in column.chunks]
    return _array(chunks, column.type.value_type).reshape(-1, column.type.list_size)


def _array(chunks: list[pa.Array], kind: pa.DataType) -> NDArray[Any]:
    """All numbers of some arrays of one type; a copy."""
    dtype = np.dtype(_NUMPY_NAMES.get(str(kind), str(kind)))
    parts = [np.empty(0, dtype)]
    for flat in chunks:
        if len(flat):
            parts.append(np.frombuffer(flat.buffers()[1], dtype, len(flat), flat.offset * dtype.itemsize))
    return np.concatenate(parts)


def _write(path: Path, columns: dict[str, pa.Array], metadata: dict[str, Any], group: int) -> None:
    encoded = {_METADATA_KEY: json.dumps(metadata, sort_keys=True, allow_nan=False).encode()}
    fields = [pa.field(name, column.type, nullable=False) for name, column in columns.items()]
    table = pa.table(list(columns.values()), schema=pa.schema(fields, metadata=encoded))
    with atomic_path(path) as temporary:
        # Groups of a fixed size, no dictionaries or statistics: nothing but the values decides the bytes.
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
            use_byte_stream_split=_float_columns(table),
            row_group_size=group,
            max_rows_per_page=group,  # small pages would share one code for their first and last bytes
        )


def _read(path: Path, wanted: tuple[str, ...]) -> tuple[dict[str, pa.ChunkedArray], dict[str, Any]]:
    try:
        # `pq.read_table` sets up a whole dataset first, and reading ahead pays on slow networks only.
        with pa.OSFile(str(path)) as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
            table = file.read(use_threads=False)
        metadata = json.loads((table.schema.metadata or {})[_METADATA_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: no readable feature table ({error}). Delete it and run its stage again."
        ) from error
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise DataError(
            f"{path}: got columns {table.column_names}, wanted {list(wanted)}. "
            "Delete it and run its stage again."
        )
    return {name: table.column(name) for name in wanted}, metadata


def _float_columns(table: pa.Table) -> list[str]:
    """Float numbers and lists of them: their bytes compress better apart (a float16 loses nothing by it
    either). The spans of words do not: they are few.
    """
    found = [f.name for f in table.schema if f.name == "values" and pa.types.is_floating(f.type)]
    lists = [f for f in table.schema if pa.types.is_fixed_size_list(f.type)]
    return found + [f"{f.name}.list.element" for f in lists if pa.types.is_floating(f.type.value_type)]
