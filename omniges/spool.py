"""Arrays that are too long for memory: rows go to a nameless file and come back as one array on disk."""

import contextlib
import mmap
import tempfile
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MAPPINGS: "WeakValueDictionary[int, mmap.mmap]" = WeakValueDictionary()
"""Address -> the mapping that begins there, of every array that is still in use."""

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
        array = np.memmap(self._file, self._dtype, mode="c", shape=shape)
        owner: Any = array.base
        if isinstance(owner, mmap.mmap):
            _MAPPINGS[array.ctypes.data] = owner
        return array


def let_go(*arrays: NDArray[Any]) -> None:
    """Give the memory of pages that were read from a `Spool`'s array back; the next look reads them again.
    For arrays that nobody writes into: what was written is lost, see `passed`.
    """
    for array in arrays:
        owner, _ = _mapping(array)
        if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)


def passed(rows: NDArray[Any]) -> None:
    """Let the system take the memory of some rows of a `Spool`'s array back, keeping what was written into
    them. Does nothing for other arrays, and where the system can't.
    """
    owner, offset = _mapping(rows)
    if owner is None or not rows.flags.c_contiguous or rows.nbytes == 0:
        return
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    with contextlib.suppress(OSError, ValueError):  # no Linux, or one before 5.4
        owner.madvise(_PAGEOUT, start, offset + rows.nbytes - start)


def _mapping(array: NDArray[Any]) -> tuple[mmap.mmap | None, int]:
    """The mapping that holds an array, and where in it; by address, since an array that went through a tensor
    doesn't know its owner.
    """
    address = array.ctypes.data
    for start, owner in list(_MAPPINGS.items()):
        if start <= address < start + len(owner):
            return owner, address - start
    return None, 0
