"""Throwing away earlier results that nothing uses, so that the store does not grow for ever."""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omniges.files import read_json
from omniges.pipeline.manifest import Entry, read_manifest

OUTPUTS = (Path("data"), Path("models"), Path("reports"))
_UNDER_WAY_S = 3600.0  # an object this young and without a key may be one that a job is about to name


@dataclass(frozen=True)
class Collected:
    """What a collection dropped, or would drop."""

    results: int
    files: int
    size: int  # bytes that it frees: files that an output or DVC's cache shares by a hard link free nothing


def in_use(folders: Iterable[Path] = OUTPUTS) -> set[str]:
    """Keys of all results that lie in place, of every corpus in this checkout."""
    found: set[str] = set()
    for folder in folders:
        for path in (*folder.rglob("manifest.json"), *folder.rglob(".manifest/[!.]*.json")):
            sealed = read_manifest(path)
            for entry in sealed.items.values() if sealed else ():
                found |= {entry.key, entry.content}
    return found


def collect(store: Path, *, used: set[str], older_than_s: float, dry_run: bool) -> Collected:
    """Drop results that are neither in use nor were made or brought back lately, and their files.

    Args:
        store: the store's folder.
        used: keys that stay.
        older_than_s: results that were made or brought back within this time stay.
        dry_run: only count.
    """
    now = time.time()
    dead: list[Path] = []
    named: set[str] = set()
    living: set[str] = set()
    for path in store.glob("keys/*/[!.]*.json"):
        files = _files(path)
        named |= files
        key = path.parent.name + path.stem
        if key in used or now - path.stat().st_mtime < older_than_s:
            living |= files
        else:
            dead.append(path)
    objects = [
        path
        for path in store.glob("objects/*/*")
        if (md5 := path.parent.name + path.name) not in living
        and (md5 in named or now - path.stat().st_ctime > _UNDER_WAY_S)
    ]
    size = sum(stat.st_size for path in objects if (stat := path.stat()).st_nlink == 1)
    for path in () if dry_run else (*dead, *objects):  # keys first: none may promise what is gone
        path.unlink(missing_ok=True)
    return Collected(results=len(dead), files=len(objects), size=size)


def _files(key: Path) -> set[str]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return set(Entry(**read_json(key)).files.values())
    return set()
