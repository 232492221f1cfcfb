"""Why a unit is not what it should be: the modules, parameters, files and clips that differ from what was
sealed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omniges.pipeline.keys import canonical
from omniges.pipeline.manifest import Manifest
from omniges.pipeline.units import Unit


@dataclass
class Changes:
    """What differs; those of several units can be added up."""

    modules: set[str] = field(default_factory=set)
    params: dict[str, str] = field(default_factory=dict)  # name → "old → new"
    files: set[str] = field(default_factory=set)  # raw files, as CLIP.kind
    inputs: dict[str, set[str]] = field(default_factory=dict)  # stage → its clips that come anew, if by clip
    named: set[str] = field(default_factory=set)  # files that parameters name
    new: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def add(self, other: "Changes") -> None:
        self.modules |= other.modules
        self.params |= other.params
        self.files |= other.files
        self.named |= other.named
        self.new |= other.new
        self.gone |= other.gone
        for stage, clips in other.inputs.items():
            self.inputs.setdefault(stage, set()).update(clips)

    def text(self, most: int = 4) -> str:
        """In words; at most `most` names of each kind."""
        comes_anew = [f"{stage}{_counted(clips)}" for stage, clips in sorted(self.inputs.items())]
        rows = {
            "code changed": sorted(self.modules),
            "params changed": [f"{name}: {change}" for name, change in sorted(self.params.items())],
            "files changed": sorted(self.files),
            "checkpoint changed": sorted(self.named),
            "follows from": comes_anew,
            "new": sorted(self.new),
            "gone": sorted(self.gone),
        }
        return "; ".join(f"{title}: {_few(listed, most)}" for title, listed in rows.items() if listed)


def changes(unit: Unit, sealed: Manifest) -> Changes:
    """What differs between a unit as it is wanted and as it was sealed."""
    found = Changes(modules=_differing(unit.code, sealed.code))
    found.params = changed_params(sealed.params, unit.params)
    wanted = {item.name: item.inputs for item in unit.items or ()}
    found.new, found.gone = wanted.keys() - sealed.items.keys(), sealed.items.keys() - wanted.keys()
    for item in wanted.keys() & sealed.items.keys():
        _note_inputs(found, unit, sealed.items[item].inputs, wanted[item])
    if not found.text():
        found.named = set(unit.files)
    return found


def changed_params(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that differ, by their dotted names, as `old → new`."""
    old, new = dict(_leaves(before)), dict(_leaves(now))
    return {name: f"{old.get(name)} → {new.get(name)}" for name in sorted(_differing(old, new))}


def explain(unit: Unit, sealed: Manifest) -> str:
    """Why a sealed unit's key is not the wanted one, in words."""
    return changes(unit, sealed).text() or "a file that params name changed"


def _note_inputs(found: Changes, unit: Unit, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    # A clip that comes or goes changes what a whole stage is made from.
    found.new |= _clips(now) - _clips(before)
    found.gone |= _clips(before) - _clips(now)
    for name in _differing(before, now):
        clip, dot, kind = name.rpartition(".")
        if clip in found.new or clip in found.gone:
            continue
        if not dot:
            found.inputs.setdefault(name, set())
        elif kind in unit.stage.reads or kind == "split":
            found.files.add(name)
        else:
            found.inputs.setdefault(kind, set()).add(clip)


def _clips(inputs: Mapping[str, str]) -> set[str]:
    return {name.rpartition(".")[0] for name in inputs if name.endswith(".split")}


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    return {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", canonical(value)


def _counted(clips: set[str]) -> str:
    if len(clips) > 2:
        return f" ({len(clips)} clips)"
    return f" ({', '.join(sorted(clips))})" if clips else ""


def _few(names: Sequence[str], most: int) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
