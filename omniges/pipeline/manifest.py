"""The sealed record of a unit: which key made it, from what, and which files it consists of.

A unit is one Snakemake job: a whole stage, a part of it, or a shard of its clips. It consists of items
(one, or one a clip), each with a key and files. The manifest is written last, so its presence means that
the unit is whole.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omniges.errors import PipelineError
from omniges.files import read_json, write_json
from omniges.pipeline.hashes import Hashes


@dataclass(frozen=True)
class Entry:
    """What one item consists of, or why it does not exist."""

    key: str  # by recipe: code, parameters, raw files, keys of what comes before
    content: str  # by bytes: the same, with the content of what comes before
    files: dict[str, str]  # name below the stage's folder → md5
    inputs: dict[str, str] = field(default_factory=dict)  # what `key` was made of, for `omniges status`
    fault: dict[str, str] | None = None  # a ClipFault: the item was tried and can't be made


@dataclass(frozen=True)
class Manifest:
    unit: str
    key: str
    code: dict[str, str]
    params: dict[str, Any]
    items: dict[str, Entry]


def read_manifest(path: Path) -> Manifest | None:
    """The manifest, or None where there is none (or what lies there is none)."""
    try:
        return parse_manifest(read_json(path))
    except (OSError, ValueError, PipelineError):
        return None


def parse_manifest(raw: Any) -> Manifest:
    """Build a manifest from JSON.

    Raises:
        PipelineError: it is no manifest of this version.
    """
    try:
        items = {name: Entry(**entry) for name, entry in raw["items"].items()}
        return Manifest(raw["unit"], raw["key"], raw["code"], raw["params"], items)
    except (KeyError, TypeError, AttributeError) as error:
        raise PipelineError(f"not a manifest: {error}") from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Seal: written atomically, the same bytes for the same content."""
    write_json(path, asdict(manifest))


def damage(folder: Path, entry: Entry, hashes: Hashes) -> str | None:
    """What is wrong with an item's files, or None if all are there with the sealed content."""
    for name, md5 in entry.files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if hashes.md5(path) != md5:
            return f"{path} was changed"
    return None
