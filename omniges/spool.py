"""Arrays that are too long for memory: rows go to a nameless file and come back as one array on disk."""

import contextlib
import mmap
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_PAGEOUT = 21  # Linux's MADV_PAGEOUT, which Python's mmap doesn't name


class Spool:
    """Rows that go to disk as they come, and come back as one array that stays there, so that memory does not
    grow with their number. The file has no name (it lies in TMPDIR) and goes with the last user of the array.

    Args:
        dtype: of the stored rows.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - goes with the spool and the array
        self._dtype, self._rows, self._tail = np.dtype(dtype), 0, ()

    @classmethod
    def of(cls, blocks: Iterable[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
        """All of some blocks [n_i, ...] as one array."""
        spool = cls(dtype)
        for block in blocks:
            spool.append(block)
        return spool.array()

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows [n, ...], every time of one width."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
        self._rows, self._tail = self._rows + len(rows), rows.shape[1:]

    def array(self) -> NDArray[Any]:
        """[N, ...] all rows; what is written into it stays in memory and never reaches the file."""
        shape = (self._rows, *self._tail)
        if self._rows == 0:
            return np.zeros(shape, self._dtype)
        self._file.flush()
        return np.memmap(self._file, self._dtype, mode="c", shape=shape)


def let_go(*arrays: NDArray[Any]) -> None:
    """Give the memory of pages that were read from a `Spool`'s array back; the next look reads them again.
    For arrays that nobody writes into: what was written is lost, see `passed`.
    """
    for array in arrays:
        owner = _mapping(array)
        if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)


def passed(rows: NDArray[Any]) -> None:
    """Let the system take the memory of some rows of a `Spool`'s array back, keeping what was written into
    them. Does nothing for other arrays, and where the system can't.
    """
    owner = _mapping(rows)
    if owner is None or not rows.flags.c_contiguous or rows.nbytes == 0:
        return
    begin = np.frombuffer(owner, np.uint8).ctypes.data
    start = (rows.ctypes.data - begin) // mmap.PAGESIZE * mmap.PAGESIZE
    with contextlib.suppress(OSError, ValueError):  # no Linux, or one before 5.4
        owner.madvise(_PAGEOUT, start, rows.ctypes.data + rows.nbytes - begin - start)


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner
