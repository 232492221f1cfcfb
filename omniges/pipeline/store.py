"""Earlier results by key: hard links, so that a restore costs nothing, with DVC's cache as a second source.

`objects/ab/cdef…` are files named by MD5, `keys/<key>.json` say which files a key stands for. An object is
checked against its name before it is used, since a hard link shares the fate of its file.
"""

import configparser
import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from omniges.errors import PipelineError
from omniges.files import atomic_path, read_json, write_json
from omniges.pipeline.hashes import Hashes
from omniges.pipeline.manifest import Entry, parse_manifest


class Store:
    """Finds and keeps results.

    Args:
        folder: where objects and keys are kept.
        root: the repository's root, for DVC's lock file and cache.
        hashes: the digest cache.
    """

    def __init__(self, folder: Path, root: Path, hashes: Hashes) -> None:
        self._folder = folder
        self._root = root
        self._hashes = hashes

    def find(self, key: str) -> Entry | None:
        """An earlier result all of whose files are at hand."""
        entry = self._own_entry(key) or self._adopted.get(key)
        if entry is None or any(self.object(md5) is None for md5 in entry.files.values()):
            return None
        return entry

    def keep(self, folder: Path, entry: Entry) -> None:
        """Remember an item whose files lie below `folder`; objects first, so that a key never promises too
        much.
        """
        for name, md5 in entry.files.items():
            target = self._object_path(md5)
            if not self._intact(target, md5):
                _link(folder / name, target)
        for key in (entry.key, entry.content):
            write_json(self._key_path(key), asdict(entry))

    def place(self, folder: Path, entry: Entry) -> None:
        """Put an item's files where they belong; files that are right already stay."""
        for name, md5 in entry.files.items():
            target = folder / name
            if target.is_file() and self._hashes.md5(target) == md5:
                continue
            source = self.object(md5)
            if source is None:
                raise PipelineError(f"{target}: object {md5} has vanished from {self._folder}. Run again.")
            _link(source, target)
        for key in (entry.key, entry.content):  # used just now: `omniges gc` goes by that
            with contextlib.suppress(OSError):
                os.utime(self._key_path(key))

    def object(self, md5: str) -> Path | None:
        """A file with this content, or None; damaged objects are dropped."""
        own, cached = self._object_path(md5), self._dvc_cache / md5[:2] / md5[2:]
        return next((path for path in (own, cached) if self._intact(path, md5)), None)

    def _intact(self, path: Path, md5: str) -> bool:
        if not path.is_file():
            return False
        if self._hashes.md5(path) == md5:
            return True
        with contextlib.suppress(OSError):  # a cache that is read-only keeps it; nobody uses it
            path.unlink()  # its name promises another content: whoever made it, it can only do harm
        return False

    def _own_entry(self, key: str) -> Entry | None:
        path = self._key_path(key)
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Entry(**read_json(path))
        return None

    def _key_path(self, key: str) -> Path:
        return self._folder / "keys" / key[:2] / f"{key[2:]}.json"

    def _object_path(self, md5: str) -> Path:
        return self._folder / "objects" / md5[:2] / md5[2:]

    @cached_property
    def _dvc_cache(self) -> Path:
        folder = self._root / ".dvc" / "cache"
        for name in ("config", "config.local"):
            config = configparser.ConfigParser()
            path = self._root / ".dvc" / name
            if path.is_file():
                config.read_string(path.read_text("utf-8"))
                if config.has_option("cache", "dir"):
                    folder = path.parent / config["cache"]["dir"]
        return folder / "files" / "md5"

    @cached_property
    def _adopted(self) -> dict[str, Entry]:
        """Items that dvc.lock promises and DVC's cache may hold: what `dvc pull` brought and `dvc repro`
        then removed.
        """
        lock = self._root / "dvc.lock"
        if not lock.is_file():
            return {}
        found: dict[str, Entry] = {}
        for md5 in self._locked_manifests(YAML(typ="safe").load(lock.read_text("utf-8"))):
            path = self.object(md5)
            if path is not None:
                with contextlib.suppress(ValueError, PipelineError):
                    for entry in parse_manifest(read_json(path)).items.values():
                        found[entry.key] = found[entry.content] = entry
        return found

    def _locked_manifests(self, lock: Any) -> Iterator[str]:
        outs = [out for stage in (lock or {}).get("stages", {}).values() for out in stage.get("outs", ())]
        for out in outs:
            if out["path"].endswith("/manifest.json"):
                yield out["md5"]
            elif out["md5"].endswith(".dir"):
                listing = self._dvc_cache / out["md5"][:2] / out["md5"][2:]
                if listing.is_file():
                    rows = read_json(listing)
                    yield from (row["md5"] for row in rows if row["relpath"].startswith(".manifest/"))


def _link(source: Path, target: Path) -> None:
    """Hard link, or copy where the file system has none, atomically; never through a symbolic link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex}")  # jobs on several machines may meet
    try:
        os.link(source.resolve(), temporary)
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)
        return
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # rename does nothing where both names are links to one file already
