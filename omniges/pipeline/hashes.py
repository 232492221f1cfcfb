"""MD5 of files, remembered by inode, size and time, so that a plan of thousands of clips costs a stat each.

MD5 because DVC names its cache by it: whatever DVC has pulled can then be found by the same name.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from omniges.files import read_json, write_json

_SETTLED_S = 0.1  # a file this young may change again within the clock's tick; its hash is not remembered


class Hashes:
    """A cache of digests below `folder`; each process writes a file of its own, the planner merges them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        self._new: dict[str, str] = {}
        for path in sorted(folder.glob("[!.]*.json")):
            with contextlib.suppress(OSError, ValueError):  # merged away meanwhile, or damaged: only a cache
                self._known.update(read_json(path))

    def md5(self, path: Path) -> str:
        """Digest of a file's bytes."""
        stat = path.stat()
        identity = f"{stat.st_dev}-{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
        if identity not in self._known:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "md5").hexdigest()
            if time.time_ns() - stat.st_mtime_ns < _SETTLED_S * 1e9:
                return digest
            self._known[identity] = self._new[identity] = digest
        return self._known[identity]

    def remembered(self, name: str, make: Callable[[], str]) -> str:
        """A text that follows from a name alone, made at the first question."""
        if name not in self._known:
            self._known[name] = self._new[name] = make()
        return self._known[name]

    def save(self, label: str) -> None:
        """Write what this process learnt."""
        if self._new:
            write_json(self._folder / f"{label}.json", self._new)

    def merge(self) -> None:
        """Write everything into one file and drop the others; for the planner alone, under its lock."""
        main = self._folder / "main.json"
        others = [path for path in self._folder.glob("[!.]*.json") if path != main]
        if not self._new and not others:
            return
        write_json(main, self._known)
        for path in others:
            path.unlink(missing_ok=True)
        self._new = {}


def digest(*parts: str) -> str:
    """One short name for an ordered list of texts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:{part}".encode())
    return whole.hexdigest()[:32]


def tree_md5(path: Path, hashes: Hashes) -> str:
    """Digest of a file, or of all files below a folder."""
    if path.is_file():
        return hashes.md5(path)
    rows = []
    for root, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name != "__pycache__"]
        rows += [os.path.join(root, name) for name in names if not name.endswith(".pyc")]
    return digest(*(f"{os.path.relpath(row, path)}={hashes.md5(Path(row))}" for row in sorted(rows)))
