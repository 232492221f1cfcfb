"""Running one unit: restore what is known, compute the rest, keep each result as soon as it is whole, seal
last.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from omniges.errors import PipelineError
from omniges.files import atomic_path, half_written, remove
from omniges.pipeline.manifest import Entry
from omniges.pipeline.plan import Plan
from omniges.pipeline.units import Item, Unit
from omniges.types import ClipFault

log = logging.getLogger(__name__)

ClipFunction = Callable[[Sequence[str]], list[ClipFault]]
WholeFunction = Callable[[], None]


class Runner:
    """Runs units of a plan.

    Args:
        plan: the plan, made in this process.
        state: folder of the pipeline's own records; `ran.jsonl` there lists what was really computed, and
        how long it took.
        stop_on_fault: whether a bad clip fails the unit (after the others are kept).
    """

    def __init__(self, plan: Plan, state: Path, *, stop_on_fault: bool) -> None:
        self._plan = plan
        self._state = state
        self._stop_on_fault = stop_on_fault

    def run_clips(self, unit: Unit, function: ClipFunction, *, force: bool) -> None:
        """Run a shard: `function` gets the ids of those clips alone that no earlier run has done.

        Raises:
            PipelineError: a clip failed and the parameters say stop, or the function left a clip out
            silently.
        """
        items = {item.name: item for item in _decided(unit)}
        found = {} if force else {name: self._plan.resolve(unit, item) for name, item in items.items()}
        done = {name: entry for name, entry in found.items() if entry is not None}
        if len(done) == len(items) and self._is_sealed(unit, force):
            log.info("%s: nothing to do", unit.name)
            return
        for entry in done.values():
            self._plan.store.place(unit.stage.folder, entry)
        missing = [items[name] for name in items if name not in done]
        if missing:
            log.info("%s: %d of %d clips to do", unit.name, len(missing), len(items))
            done |= self._compute_clips(unit, missing, function)
        self._plan.seal(unit, {name: done[name] for name in items})

    def run_whole(self, unit: Unit, function: WholeFunction, *, force: bool) -> None:
        """Run a stage, or a part of one, that makes its output in one go."""
        (item,) = _decided(unit)
        force = force and not unit.stage.off
        entry = None if force else self._plan.resolve(unit, item)
        if os.environ.get("RANK", "0") != "0":  # under torchrun, the first process keeps the books
            if entry is None:
                function()
            return
        if entry is not None and self._is_sealed(unit, force):
            log.info("%s: nothing to do", unit.name)
            return
        if entry is None:
            self._clear(unit)
            self._ready_unfinished(unit, item)
            with self._timed(unit, [item.name]):
                function()
            entry = self._entry(unit, item, _files_of(unit), None)
            self._plan.store.keep(unit.stage.folder, entry)
        else:
            log.info("%s: %s", unit.name, f"off, {off} is false" if (off := unit.stage.off) else "restored")
            self._plan.store.place(unit.stage.folder, entry)
        self._plan.seal(unit, {item.name: entry})

    def _is_sealed(self, unit: Unit, force: bool) -> bool:
        return not force and self._plan.state(unit)[0] == "fresh"

    def _compute_clips(self, unit: Unit, missing: list[Item], function: ClipFunction) -> dict[str, Entry]:
        for leftover in _leftovers(unit, {item.name for item in missing}):
            leftover.unlink(missing_ok=True)
        keeper = _Keeper(missing, lambda item: self._keep_if_there(unit, item))
        with self._timed(unit, [item.name for item in missing]):
            faults = {fault.clip: fault for fault in function(keeper)}
        keeper.look()
        done = dict(keeper.done)
        if faults and self._stop_on_fault:
            raise PipelineError(_fault_text(unit, list(faults.values())))
        for item in missing:
            if item.name in done:
                continue
            if item.name not in faults:
                raise PipelineError(f"{unit.name}: {item.name} was neither written nor reported as bad.")
            log.warning("%s: %s left out: %s", unit.name, item.name, faults[item.name].problem)
            done[item.name] = self._entry(unit, item, [], faults[item.name])
        return done

    def _keep_if_there(self, unit: Unit, item: Item) -> Entry | None:
        path = _clip_file(unit, item.name)
        if not path.is_file():
            return None
        entry = self._entry(unit, item, [path], None)
        self._plan.store.keep(unit.stage.folder, entry)
        return entry

    def _entry(self, unit: Unit, item: Item, files: Sequence[Path], fault: ClipFault | None) -> Entry:
        folder = unit.stage.folder
        content = self._plan.content_key(unit, item)
        if content is None:
            raise PipelineError(
                f"{unit.name}: ran before what it depends on was made. Run `snakemake {unit.stage.name}`."
            )
        listed = {path.relative_to(folder).as_posix(): self._plan.hashes.md5(path) for path in sorted(files)}
        return Entry(item.key, content, listed, item.inputs, asdict(fault) if fault else None)

    def _ready_unfinished(self, unit: Unit, item: Item) -> None:
        """Keep a killed run's state if it was on its way to this very result; drop any other."""
        folder, content = self._plan.unfinished / unit.name, self._plan.content_key(unit, item)
        mark = folder / "key"
        if not (mark.is_file() and mark.read_text("utf-8") == content):
            remove(folder)
            with atomic_path(mark) as temporary:
                temporary.write_text(content or "", "utf-8")

    def _clear(self, unit: Unit) -> None:
        """Unlink old outputs: they may be links into a cache, and a write through them would damage it."""
        unit.manifest.unlink(missing_ok=True)
        for out in unit.outs:
            for path in (out, *half_written(out)):
                remove(path)

    def _timed(self, unit: Unit, names: list[str]) -> "_Timed":
        return _Timed(self._state / "ran.jsonl", unit, names)


class _Keeper(list[str]):
    """The ids to do; as the function goes on to the next, what it has finished is kept, so that a kill
    loses little.
    """

    def __init__(self, items: list[Item], keep: Callable[[Item], Entry | None]) -> None:
        super().__init__(item.name for item in items)
        self._open = {item.name: item for item in items}
        self._keep = keep
        self.done: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            yield name
            self._look_at(name)

    def look(self) -> None:
        """Keep whatever is there, in whichever order the function wrote it."""
        for name in list(self._open):
            self._look_at(name)

    def _look_at(self, name: str) -> None:
        entry = self._keep(self._open[name]) if name in self._open else None
        if entry is not None:
            self.done[name] = entry
            del self._open[name]


class _Timed:
    """Appends a line about what was computed; one write, so that parallel jobs don't mix."""

    def __init__(self, path: Path, unit: Unit, names: list[str]) -> None:
        self._path = path
        self._row = {"unit": unit.name, "stage": unit.stage.name, "items": names}

    def __enter__(self) -> None:
        self._start_s = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        row = self._row | {"seconds": round(time.monotonic() - self._start_s, 3), "failed": kind is not None}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def _decided(unit: Unit) -> tuple[Item, ...]:
    if unit.items is None:
        raise PipelineError(
            f"{unit.name}: the corpus has not been made. Run `snakemake --cores all corpus` first."
        )
    return unit.items


def _clip_file(unit: Unit, clip: str) -> Path:
    return unit.stage.folder / f"{clip}.parquet"


def _leftovers(unit: Unit, clips: set[str]) -> list[Path]:
    """Old files of clips, and half-written ones of a killed job (see `omniges.files.atomic_path`)."""
    if not unit.stage.folder.is_dir():
        return []
    found = []
    for entry in os.scandir(unit.stage.folder):
        whole, suffix = os.path.splitext(entry.name)
        half = entry.name[1:].partition(".")[0] if entry.name.startswith(".") else None
        if half in clips or (suffix == ".parquet" and whole in clips):
            found.append(Path(entry.path))
    return found


def _files_of(unit: Unit) -> list[Path]:
    """All files below the unit's outputs, its manifest apart."""
    found: list[Path] = []
    for out in unit.outs:
        if out.is_dir():
            found += [Path(root, name) for root, _, names in os.walk(out) for name in names]
        elif out.is_file():
            found.append(out)
        elif out != unit.manifest and out.suffix:
            raise PipelineError(f"{unit.name}: finished without writing {out}.")
    return [path for path in found if path != unit.manifest and path.parent.name != ".manifest"]


def _fault_text(unit: Unit, faults: list[ClipFault]) -> str:
    rows = "\n".join(f"  {fault.clip}: {fault.problem} {fault.remedy}" for fault in faults)
    return f"{unit.name}: {len(faults)} clip(s) failed and data.on_bad_clip is stop; others are kept:\n{rows}"
