"""The graph as `dvc.yaml` declares it, the only declaration of dependencies, parameters and outputs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from omniges.errors import PipelineError

UnitKind = Literal["one", "clip", "part"]
_TEMPLATE = re.compile(r"\$\{([A-Za-z0-9_.]+)\}")
_META_KEYS = {"run", "unit", "reads", "parts", "clips", "raw", "when"}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of dvc.yaml, its templates filled in."""

    name: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    run: str  # "module:function"
    unit: UnitKind
    reads: tuple[str, ...]  # kinds of raw files, e.g. "wav"
    parts: tuple[str, ...]
    clips: tuple[str, ...]  # splits that matter here; empty for all
    raw: bool  # makes the raw tree itself
    off: str | None  # the parameter that switches it off: it makes nothing, and depends on nothing else

    @property
    def folder(self) -> Path:
        """Where relative names in manifests start: the only output, or the folder that holds all of them."""
        return Path(self.outs[0]) if len(self.outs) == 1 else Path(self.outs[0]).parent

    def manifest(self, label: str) -> Path:
        """The sealed record of a unit; it lies inside the output, so that it travels with `dvc pull`."""
        if len(self.outs) == 1:
            return self.folder / ".manifest" / f"{label}.json"
        return self.folder / "manifest.json"


@dataclass(frozen=True)
class Graph:
    """All stages, and who feeds whom."""

    stages: dict[str, Stage]

    def __getitem__(self, name: str) -> Stage:
        if name not in self.stages:
            raise PipelineError(f"no stage {name!r} in dvc.yaml; it has {', '.join(self.stages)}.")
        return self.stages[name]

    @cached_property
    def _producers(self) -> dict[str, str]:
        return {out: stage.name for stage in self.stages.values() for out in stage.outs}

    def upstream(self, name: str) -> list[Stage]:
        """Stages whose outputs `name` depends on, in the order of dvc.yaml."""
        feeding = {self._producers[dep] for dep in self[name].deps if dep in self._producers}
        return [stage for stage in self.stages.values() if stage.name in feeding]

    def closure(self, name: str) -> list[str]:
        """The stage and everything before it, in the order of dvc.yaml (which lists producers first)."""
        wanted = {name}
        for stage in reversed(self.stages.values()):
            if stage.name in wanted:
                wanted.update(up.name for up in self.upstream(stage.name))
        return [stage for stage in self.stages if stage in wanted]


def read_graph(path: Path, params: Mapping[str, Any]) -> Graph:
    """Parse dvc.yaml and fill its templates from the parameters.

    Args:
        path: dvc.yaml.
        params: the parameters as nested mappings.
    """
    raw = YAML(typ="safe").load(path.read_text("utf-8"))
    graph = Graph({name: _stage(name, body, params) for name, body in raw["stages"].items()})
    _check_order(graph)
    return graph


def lookup(params: Mapping[str, Any], dotted: str) -> Any:
    """A value by its dotted path, e.g. `data.name`."""
    value: Any = params
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise PipelineError(f"dvc.yaml names the parameter {dotted!r}, which params.yaml does not have.")
        value = value[part]
    return value


def _stage(name: str, body: Mapping[str, Any], params: Mapping[str, Any]) -> Stage:
    meta = body.get("meta", {})
    unknown = set(meta) - _META_KEYS
    if unknown or "run" not in meta:
        raise PipelineError(
            f"dvc.yaml: {name}.meta has {sorted(meta)}; wanted `run`, and of {sorted(_META_KEYS)}."
        )

    def filled(values: Any) -> tuple[str, ...]:
        return tuple(_fill(text, params) for text in _names(values or []))

    off = _switched_off(name, meta, params)
    return Stage(
        name=name,
        deps=() if off else filled(body.get("deps")),
        params=(off,) if off else filled(body.get("params")),
        outs=filled(body.get("outs")) + filled(body.get("metrics")),
        run=meta["run"],
        unit=meta.get("unit", "one"),
        reads=tuple(meta.get("reads", ())),
        parts=tuple(meta.get("parts", ())),
        clips=tuple(meta.get("clips", ())),
        raw=bool(meta.get("raw", False)),
        off=off,
    )


def _switched_off(name: str, meta: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """The parameter of `meta.when`, if it is false."""
    when = meta.get("when")
    if when is not None and (meta.get("unit", "one") != "one" or meta.get("reads") or meta.get("raw")):
        raise PipelineError(
            f"dvc.yaml: {name}.meta has `when`, which is for stages of one job that read no raw file."
        )
    return None if when is None or lookup(params, when) else str(when)


def _names(values: list[Any]) -> Iterator[str]:
    for value in values:
        yield next(iter(value)) if isinstance(value, Mapping) else value


def _fill(text: str, params: Mapping[str, Any]) -> str:
    return _TEMPLATE.sub(lambda match: str(lookup(params, match[1])), text)


def _check_order(graph: Graph) -> None:
    seen: set[str] = set()
    for stage in graph.stages.values():
        late = [up.name for up in graph.upstream(stage.name) if up.name not in seen]
        if late:
            raise PipelineError(f"dvc.yaml: {stage.name} depends on {late}, which must stand before it.")
        seen.add(stage.name)
