"""One process at a time: a lock that the system takes back when its holder dies, however it dies."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)


def acquire(path: Path) -> IO[str] | None:
    """Take the lock at once, or None if another process holds it; held until the stream is closed.

    Args:
        path: the lock's file; it stays, and says who had it last.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    _sign(stream)
    return stream


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock for a block of code, waiting for it if need be, and saying so."""
    stream = acquire(path)
    if stream is None:
        stream = path.open("a+", encoding="utf-8")
        log.warning(
            "%s: process %s is still at work on it; waiting. To stop it: kill %s",
            path.name,
            holder(path),
            holder(path),
        )
        fcntl.flock(stream, fcntl.LOCK_EX)
        _sign(stream)
    with stream:
        yield


def holder(path: Path) -> str:
    """Number of the process that took the lock last."""
    return path.read_text("utf-8").strip()


def _sign(stream: IO[str]) -> None:
    stream.truncate(0)
    stream.write(str(os.getpid()))
    stream.flush()
