"""Units and items: what the graph falls into for one set of parameters and one corpus, each with its key."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omniges.pipeline.graph import Graph, Stage
from omniges.pipeline.hashes import Hashes, digest
from omniges.pipeline.keys import canonical, code_hashes, named_files, section_values

Known = Mapping[str, Mapping[str, str]]
"""Producing stage → item → its key, or the digest of its files."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip of the corpus as the planner sees it."""

    id: str
    split: str
    files: Mapping[str, Path | None]  # kind ("wav", …) → file


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that a unit makes; `key` names the result before it exists."""

    name: str
    key: str
    inputs: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One Snakemake job. `items` is None while the corpus that decides them has yet to be made."""

    stage: Stage
    label: str
    items: tuple[Item, ...] | None
    code: dict[str, str] = field(repr=False)
    params: dict[str, Any] = field(repr=False)
    files: dict[str, str] = field(repr=False)  # files that the parameters name

    @property
    def name(self) -> str:
        return self.stage.name if self.stage.unit == "one" else f"{self.stage.name}-{self.label}"

    @property
    def manifest(self) -> Path:
        return self.stage.manifest(self.label)

    @property
    def key(self) -> str:
        return digest(*(f"{item.name}={item.key}" for item in self.items or ()))

    def key_of(self, item: str, inputs: Mapping[str, str]) -> str:
        """Key of an item made from these inputs."""
        common = [canonical(part) for part in (self.code, self.params, self.files)]
        return digest(self.stage.name, item, *common, *(f"{k}={v}" for k, v in sorted(inputs.items())))


def shard_of(clip: str, shards: int) -> int:
    """Which shard a clip belongs to: stable when other clips come and go."""
    return zlib.crc32(clip.encode()) % shards


class UnitBuilder:
    """Makes units from the graph.

    Args:
        graph: dvc.yaml.
        params: the parameters as nested mappings.
        clips: the corpus's clips, or None while it has yet to be made.
        root: folder that holds the package.
        hashes: the digest cache.
    """

    def __init__(
        self,
        graph: Graph,
        params: Mapping[str, Any],
        clips: Sequence[Clip] | None,
        *,
        root: Path,
        hashes: Hashes,
    ) -> None:
        self._graph = graph
        self._params = params
        self._clips = clips
        self._by_id = {clip.id: clip for clip in clips or ()}
        self._root = root
        self._hashes = hashes
        self._shards = int(params["data"]["shards"])

    def build(self) -> dict[str, Unit]:
        """All units by name, producers first."""
        units: dict[str, Unit] = {}
        keys: dict[str, dict[str, str] | None] = {}
        for stage in self._graph.stages.values():
            made = self._units_of(stage, keys)
            units.update({unit.name: unit for unit in made})
            if any(unit.items is None for unit in made):
                keys[stage.name] = None
            else:
                keys[stage.name] = {item.name: item.key for unit in made for item in unit.items or ()}
        return units

    def inputs(self, stage: Stage, item: str, known: Known) -> dict[str, str]:
        """What an item is made from: digests of raw files, and `known` values of what comes before it."""
        feeding = {name: known[name] for name in self.feeding(stage)}
        if stage.unit == "clip":
            return self._of_clip(stage, self._by_id[item], feeding)
        found = {n: digest(canonical(v)) for n, v in feeding.items() if self._graph[n].unit != "clip"}
        per_clip = {name: values for name, values in feeding.items() if self._graph[name].unit == "clip"}
        if stage.reads or per_clip:
            for clip in self._clips or ():
                if not stage.clips or clip.split in stage.clips:
                    found[f"{clip.id}.split"] = clip.split
                    found.update(self._of_clip(stage, clip, per_clip))
        return found

    def feeding(self, stage: Stage) -> list[str]:
        """Producers whose content counts. Who reads raw files goes by their bytes, not by who made or
        checked them.
        """
        found = self._graph.upstream(stage.name)
        return [up.name for up in found if not (stage.reads and up.unit == "one" and (up.reads or up.raw))]

    def _of_clip(self, stage: Stage, clip: Clip, feeding: Known) -> dict[str, str]:
        found = {f"{clip.id}.{kind}": self._raw(clip, kind) for kind in stage.reads}
        for name, values in feeding.items():
            whole = self._graph[name].unit != "clip"
            found[name if whole else f"{clip.id}.{name}"] = (
                digest(canonical(values)) if whole else values.get(clip.id, "missing")
            )
        return found

    def _raw(self, clip: Clip, kind: str) -> str:
        path = clip.files[kind]
        return self._hashes.md5(path) if path is not None and path.is_file() else "missing"

    def _units_of(self, stage: Stage, keys: Mapping[str, dict[str, str] | None]) -> list[Unit]:
        params = section_values(stage, self._params)
        shared: dict[str, Any] = {
            "stage": stage,
            "code": code_hashes(stage.run, self._root),
            "params": params,
            # The raw tree is no checkpoint: its files count clip by clip.
            "files": named_files(params, self._hashes, but=self._params["data"].get("root")),
        }
        labels = stage.parts or ("unit",)
        names: dict[str, list[str]] = {label: [label] for label in labels}
        if stage.unit == "clip":
            names = {str(shard): [] for shard in range(self._shards)}
            for clip in self._clips or ():
                names[str(shard_of(clip.id, self._shards))].append(clip.id)
        known = {name: keys[name] for name in self.feeding(stage)}
        if not self._decided(stage, known):
            return [Unit(label=label, items=None, **shared) for label in names]
        bare = {label: Unit(label=label, items=(), **shared) for label in names}
        settled: Known = {name: values or {} for name, values in known.items()}
        return [
            Unit(
                label=label, items=tuple(self._item(bare[label], name, settled) for name in listed), **shared
            )
            for label, listed in names.items()
        ]

    def _decided(self, stage: Stage, known: Mapping[str, dict[str, str] | None]) -> bool:
        needs_clips = stage.unit == "clip" or bool(stage.reads)
        return None not in known.values() and not (needs_clips and self._clips is None)

    def _item(self, unit: Unit, name: str, known: Known) -> Item:
        inputs = self.inputs(unit.stage, name, known)
        return Item(name=name, key=unit.key_of(name, inputs), inputs=inputs)
