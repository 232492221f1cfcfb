"""Takes that are kept for a while, in a folder of this process alone.

A folder lives as long as its server: it is removed when the server ends. One whose server was killed is
removed by the next server, which finds its lock free.
"""

import fcntl
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omniges.api import Take
from omniges.serve.limits import Limits
from omniges.types import Word

PREFIX = "omniges-serve-"


@dataclass
class Kept:
    """A recording, and its motion once that is whole."""

    key: str
    name: str
    wave: NDArray[np.float32]  # [N] at 16 kHz
    words: tuple[Word, ...]
    folder: Path
    used_s: float  # when somebody last asked for it, by the store's clock
    take: Take | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class TakeStore:
    """All takes of a server.

    Args:
        limits: see `Limits`.
        clock: seconds; tests give their own.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self._kept: dict[str, Kept] = {}
        self._guard = threading.Lock()
        clear_abandoned(Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))  # mode 0700: nobody else reads it
        self._lock = (made / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = made.rename(made.with_name(made.name[1:]))  # found by others only once it is locked

    def add(self, name: str, wave: NDArray[np.float32], words: tuple[Word, ...] = ()) -> Kept:
        """Keep a recording; the oldest goes where there are too many."""
        key = secrets.token_urlsafe(12)
        kept = Kept(key, name, wave, words, self.folder / key, self.clock())
        with self._guard:
            self._kept[key] = kept
            by_age = sorted(self._kept.values(), key=lambda each: each.used_s)
            for old in by_age[: max(0, len(by_age) - self.limits.takes)]:
                self._drop(old)
        return kept

    def get(self, key: str) -> Kept | None:
        """A recording that is still kept; asking counts as use."""
        self.sweep()
        with self._guard:
            kept = self._kept.get(key)
            if kept is not None:
                kept.used_s = self.clock()
            return kept

    def remove(self, key: str) -> None:
        with self._guard:
            if key in self._kept:
                self._drop(self._kept[key])

    def sweep(self) -> None:
        """Drop what nobody has asked for in `keep_s`."""
        with self._guard:
            for kept in list(self._kept.values()):
                if self.clock() - kept.used_s > self.limits.keep_s:
                    self._drop(kept)

    def close(self) -> None:
        """Remove everything."""
        with self._guard:
            self._kept.clear()
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _drop(self, kept: Kept) -> None:
        self._kept.pop(kept.key)
        shutil.rmtree(kept.folder, ignore_errors=True)


def clear_abandoned(parent: Path) -> None:
    """Remove folders of servers that were killed; a living one holds the lock in its folder."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # alive, somebody else's, or not yet locked
            continue
