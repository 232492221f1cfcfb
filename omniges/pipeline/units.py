"""Units and items: what the graph falls into for one set of parameters and one corpus, each with its key."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omniges.errors import PipelineError
from omniges.pipeline.graph import Graph, Stage
from omniges.pipeline.hashes import Hashes, digest
from omniges.pipeline.keys import canonical, code_hashes, named_files, section_values


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


class Known:
    """What is known of the items that come before: their keys, or the digests of their files.

    Asked for one by one, so that a job of one shard works out its own clips and no others.

    Args:
        names: a stage's items.
        value: the value of a stage's item; None where there is none yet.
    """

    def __init__(
        self, names: Callable[[str], Sequence[str]], value: Callable[[str, str], str | None]
    ) -> None:
        self._names = names
        self._value = value
        self._wholes: dict[str, str | None] = {}

    def one(self, stage: str, item: str) -> str | None:
        return self._value(stage, item)

    def whole(self, stage: str) -> str | None:
        """One value for all items of a stage; None where one of them has none."""
        if stage not in self._wholes:
            values = {name: self._value(stage, name) for name in self._names(stage)}
            self._wholes[stage] = None if None in values.values() else digest(canonical(values))
        return self._wholes[stage]

    def forget(self, stage: str) -> None:
        self._wholes.pop(stage, None)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One Snakemake job. Its items are worked out when somebody asks; `names` and `items` are None while the
    corpus that decides them has yet to be made.
    """

    stage: Stage
    label: str
    names: tuple[str, ...] | None
    code: dict[str, str] = field(repr=False)
    params: dict[str, Any] = field(repr=False)
    files: dict[str, str] = field(repr=False)  # files that the parameters name
    make: Callable[["Unit", str], Item] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.stage.name if self.stage.unit == "one" else f"{self.stage.name}-{self.label}"

    @property
    def manifest(self) -> Path:
        return self.stage.manifest(self.label)

    @property
    def outs(self) -> list[Path]:
        """The files and folders that this unit fills: of a stage in parts, its own folder alone."""
        if self.stage.unit == "part":
            return [self.stage.folder / self.label]
        return [Path(out) for out in self.stage.outs]

    @cached_property
    def items(self) -> tuple[Item, ...] | None:
        return None if self.names is None else tuple(self.make(self, name) for name in self.names)

    @cached_property
    def key(self) -> str:
        return digest(*(f"{item.name}={item.key}" for item in self.items or ()))

    @cached_property
    def _common(self) -> tuple[str, ...]:
        return tuple(canonical(part) for part in (self.code, self.params, self.files))

    def key_of(self, item: str, inputs: Mapping[str, str]) -> str:
        """Key of an item made from these inputs."""
        return digest(self.stage.name, item, *self._common, *(f"{k}={v}" for k, v in sorted(inputs.items())))


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
        self._raws: dict[Path, str] = {}
        self._items: dict[tuple[str, str], Item] = {}
        self._units: dict[str, list[Unit]] = {}
        self._recipes = Known(self.names, lambda stage, item: self._item(self.unit_of(stage, item), item).key)

    def build(self) -> dict[str, Unit]:
        """All units by name, producers first."""
        return {unit.name: unit for stage in self._graph.stages for unit in self.of_stage(stage)}

    def of_stage(self, name: str) -> list[Unit]:
        """Units of a stage, in the order of their labels."""
        if name not in self._units:
            self._units[name] = self._units_of(self._graph[name])
        return self._units[name]

    def unit_of(self, stage: str, item: str) -> Unit:
        """The unit that an item belongs to."""
        units = self.of_stage(stage)
        if self._graph[stage].unit == "clip":
            return units[shard_of(item, self._shards)]
        return next(unit for unit in units if unit.label == item)

    def names(self, stage: str) -> list[str]:
        """All items of a stage."""
        return [name for unit in self.of_stage(stage) for name in unit.names or ()]

    def inputs(self, stage: Stage, item: str, known: Known) -> dict[str, str] | None:
        """What an item is made from: digests of raw files, and `known` values of what comes before it; None
        where one of those is not known yet.
        """
        feeding = self.feeding(stage)
        if stage.unit == "clip":
            found = self._of_clip(stage, self._by_id[item], feeding, known)
        else:
            found = {name: known.whole(name) for name in feeding if self._graph[name].unit != "clip"}
            per_clip = [name for name in feeding if self._graph[name].unit == "clip"]
            if stage.reads or per_clip:
                for clip in self._clips or ():
                    if not stage.clips or clip.split in stage.clips:
                        found[f"{clip.id}.split"] = clip.split
                        found.update(self._of_clip(stage, clip, per_clip, known))
        settled = {name: value for name, value in found.items() if value is not None}
        return settled if len(settled) == len(found) else None

    def feeding(self, stage: Stage) -> list[str]:
        """Producers whose content counts. Who reads raw files goes by their bytes, not by who made or
        checked them.
        """
        found = self._graph.upstream(stage.name)
        return [up.name for up in found if not (stage.reads and up.unit == "one" and (up.reads or up.raw))]

    def _of_clip(
        self, stage: Stage, clip: Clip, feeding: Sequence[str], known: Known
    ) -> dict[str, str | None]:
        found: dict[str, str | None] = {f"{clip.id}.{kind}": self._raw(clip, kind) for kind in stage.reads}
        for name in feeding:
            if self._graph[name].unit == "clip":
                found[f"{clip.id}.{name}"] = known.one(name, clip.id)
            else:
                found[name] = known.whole(name)
        return found

    def _raw(self, clip: Clip, kind: str) -> str:
        path = clip.files[kind]
        if path is None:
            return "missing"
        if path not in self._raws:
            self._raws[path] = self._hashes.md5(path) if path.is_file() else "missing"
        return self._raws[path]

    def _units_of(self, stage: Stage) -> list[Unit]:
        params = section_values(stage, self._params)
        shared: dict[str, Any] = {
            "stage": stage,
            "code": {} if stage.off else code_hashes(stage.run, self._root, self._hashes),
            "params": params,
            # The raw tree is no checkpoint: its files count clip by clip.
            "files": named_files(params, self._hashes, but=self._params["data"].get("root")),
            "make": self._item,
        }
        labels = stage.parts or ("unit",)
        names: dict[str, list[str]] = {label: [label] for label in labels}
        if stage.unit == "clip":
            names = {str(shard): [] for shard in range(self._shards)}
            for clip in self._clips or ():
                names[str(shard_of(clip.id, self._shards))].append(clip.id)
        decided = self._decided(stage)
        return [
            Unit(label=label, names=tuple(listed) if decided else None, **shared)
            for label, listed in names.items()
        ]

    def _decided(self, stage: Stage) -> bool:
        if self._clips is None and (stage.unit == "clip" or stage.reads):
            return False
        return all(unit.names is not None for name in self.feeding(stage) for unit in self.of_stage(name))

    def _item(self, unit: Unit, name: str) -> Item:
        place = (unit.stage.name, name)
        if place not in self._items:
            inputs = self.inputs(unit.stage, name, self._recipes)
            if inputs is None:
                raise PipelineError(f"{unit.name}: {name} has no key while its inputs have none.")
            self._items[place] = Item(name=name, key=unit.key_of(name, inputs), inputs=inputs)
        return self._items[place]
