"""What should exist, what does, and what has to run: decided by content, never by file times.

Each item has two keys. The first is known before anything runs: it is made of code, parameters, raw files
and the keys of what comes before. The second is made of the bytes that what comes before consists of; it
spares a rerun where an input was made anew with the same bytes, and notices where the same recipe gave
other bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from omniges.errors import PipelineError
from omniges.files import half_written, remove
from omniges.pipeline.graph import Graph, Stage
from omniges.pipeline.hashes import Hashes, digest
from omniges.pipeline.keys import canonical
from omniges.pipeline.manifest import Entry, Manifest, damage, read_manifest, write_manifest
from omniges.pipeline.reasons import explain
from omniges.pipeline.store import Store
from omniges.pipeline.units import Clip, Item, Known, Unit, UnitBuilder

State = Literal["fresh", "restorable", "stale", "unknown"]
NEVER_MADE = "never made"


class Plan:
    """Keys and states of all units; see `UnitBuilder` for the arguments.

    Args:
        graph: dvc.yaml.
        params: the parameters as nested mappings.
        clips: the corpus's clips, or None while it has yet to be made.
        root: the repository's root; all paths are relative to it, and so is the working directory.
        state: folder of the pipeline's own records (store, hashes).
        unfinished: where stages keep the state of unfinished work, in a folder named like the unit. It stays
            as long as the unit is wanted with the same content, and is removed when the result is sealed.
        raw_fault: what the raw tree lacks, if the pipeline makes that tree itself; None where it is whole.
        makes_raw: whether the pipeline makes the raw tree.
        forced: stages that shall run although they are fresh.
    """

    def __init__(
        self,
        graph: Graph,
        params: Mapping[str, Any],
        clips: Sequence[Clip] | None,
        *,
        root: Path,
        state: Path,
        unfinished: Path,
        raw_fault: str | None = None,
        makes_raw: bool = False,
        forced: frozenset[str] = frozenset(),
    ) -> None:
        self.graph = graph
        self.unfinished = unfinished
        self._raw_fault = raw_fault
        self._undecided = "depends on a corpus that has yet to be made"
        self._forced = frozenset(name for name in forced if not graph[name].off)
        self.hashes = Hashes(state / "hashes")
        self.store = Store(state / "store", root, self.hashes)
        self._states: dict[str, tuple[State, str]] = {}
        self._entries: dict[str, dict[str, Entry]] = {}
        self._builder = UnitBuilder(graph, params, clips, root=root, hashes=self.hashes)
        self._contents = self._known_contents()
        if makes_raw and self._remakes_raw():
            # The tree that is there is not the one that will be: only the jobs themselves can know their
            # keys.
            self._builder = UnitBuilder(graph, params, None, root=root, hashes=self.hashes)
            self._contents = self._known_contents()
            self._states, self._entries = {}, {}
            if clips is not None:
                self._undecided = "depends on the corpus, which is to be made anew"

    def _known_contents(self) -> Known:
        return Known(self._builder.names, self._content)

    def _remakes_raw(self) -> bool:
        makers = [unit for s in self.graph.stages.values() if s.raw for unit in self.of_stage(s.name)]
        return any(self.state(unit)[0] in ("stale", "unknown") for unit in makers)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """All units by name, producers first."""
        return self._builder.build()

    def of_stage(self, stage: str) -> list[Unit]:
        """Units of one stage; those of others are not looked at."""
        return self._builder.of_stage(self.graph[stage].name)

    def state(self, unit: Unit) -> tuple[State, str]:
        """The unit's state, and why it is so (empty for fresh)."""
        if unit.name not in self._states:
            self._states[unit.name] = self._examine(unit)
        return self._states[unit.name]

    def to_run(self, stage: str | None = None) -> list[Unit]:
        """Units that need a job: of a stage and all before it, or of the whole graph."""
        names = self.graph.closure(stage) if stage else list(self.graph.stages)
        units = [unit for name in names for unit in self.of_stage(name)]
        return [unit for unit in units if self.state(unit)[0] in ("stale", "unknown")]

    def resolve(self, unit: Unit, item: Item) -> Entry | None:
        """An existing, undamaged result for an item, made from the same bytes: in place, or in the store."""
        content = self.content_key(unit, item)
        placed = self.entries(unit).get(item.name)
        if (
            placed
            and content in (None, placed.content)
            and not damage(unit.stage.folder, placed, self.hashes)
        ):
            return placed
        for key in filter(None, (item.key, content)):
            found = self.store.find(key)
            if found and content in (None, found.content):
                return Entry(item.key, found.content, found.files, item.inputs, found.fault)
        return self._sealed_elsewhere(unit, item, content) if content and unit.stage.unit == "one" else None

    def detached(self, unit: Unit) -> Unit | None:
        """The unit as it can be made without the corpus, from nothing but what the stages before it have
        sealed here: its item's key is its content. None where that is not possible.

        From then on this plan takes those seals for true, since nothing is at hand to check them against.
        What they list and is here must be undamaged; what is not may be elsewhere (shards of a pack). A seal
        whose own inputs are sealed here too must be of these.

        Raises:
            PipelineError: a file of a stage before it was changed after it was sealed, or such a stage was
                made from other inputs, code or parameters.
        """
        feeding = [self.graph[name] for name in self._builder.feeding(unit.stage)]
        if unit.stage.unit != "one" or unit.stage.reads or any(stage.unit == "clip" for stage in feeding):
            return None
        sealed: dict[str, dict[str, Entry]] = {}
        for stage in feeding:
            manifests = [read_manifest(before.manifest) for before in self.of_stage(stage.name)]
            if not manifests or None in manifests:
                return None
            sealed[stage.name] = {name: e for found in manifests if found for name, e in found.items.items()}
            self._refuse_changed(stage.folder, sealed[stage.name].values())
        self._contents = Known(
            lambda stage: list(sealed[stage]),
            lambda stage, item: digest(canonical(sealed[stage][item].files)),
        )
        for stage in feeding:
            self._refuse_left_behind(stage, sealed)
        inputs = {stage: whole for stage in sealed if (whole := self._contents.whole(stage)) is not None}

        def make(unit: Unit, name: str) -> Item:
            return Item(name=name, key=unit.key_of(name, inputs), inputs=inputs)

        return replace(unit, names=(unit.label,), make=make)

    def _refuse_changed(self, folder: Path, entries: Iterable[Entry]) -> None:
        for entry in entries:
            here = {name: md5 for name, md5 in entry.files.items() if (folder / name).is_file()}
            broken = damage(folder, replace(entry, files=here), self.hashes)
            if broken:
                raise PipelineError(f"{broken} after it was sealed. Fetch it anew (`dvc pull --force`).")

    def _refuse_left_behind(self, stage: Stage, sealed: Mapping[str, Mapping[str, Entry]]) -> None:
        if stage.unit != "one" or stage.reads or not sealed.keys() >= set(self._builder.feeding(stage)):
            return  # what it was made from isn't here to tell
        (unit,) = self.of_stage(stage.name)
        inputs = self._builder.inputs(stage, unit.label, self._contents) or {}
        if sealed[stage.name][unit.label].content != unit.key_of(unit.label, inputs):
            raise PipelineError(
                f"{stage.name}: what is here was made from other inputs, code or parameters than are here "
                f"now. Run `omniges stage {stage.name}` first, or fetch all of it anew."
            )

    def _sealed_elsewhere(self, unit: Unit, item: Item, content: str) -> Entry | None:
        """What lies in place, if it was made from the same bytes on a machine that had no corpus to make keys
        of.
        """
        sealed = read_manifest(unit.manifest)
        found = sealed.items.get(item.name) if sealed else None
        if found is None or found.content != content or damage(unit.stage.folder, found, self.hashes):
            return None
        return Entry(item.key, found.content, found.files, item.inputs, found.fault)

    def entries(self, unit: Unit) -> dict[str, Entry]:
        """Results with the wanted key, by item: sealed in place (even if damaged since), or kept in the
        store.
        """
        if unit.name not in self._entries:
            sealed = read_manifest(unit.manifest)
            found = {}
            for item in unit.items or ():
                if unit.stage.off:  # nothing is all that it makes
                    found[item.name] = Entry(item.key, item.key, {}, item.inputs, None)
                    continue
                entry = sealed.items.get(item.name) if sealed else None
                if entry is None or entry.key != item.key:
                    entry = self.store.find(item.key)
                if entry is not None:
                    found[item.name] = entry
            self._entries[unit.name] = found
        return self._entries[unit.name]

    def content_key(self, unit: Unit, item: Item) -> str | None:
        """The item's key by the bytes of what comes before it; None while some of that does not exist."""
        inputs = self._builder.inputs(unit.stage, item.name, self._contents)
        return None if inputs is None else unit.key_of(item.name, inputs)

    def _content(self, stage: str, item: str) -> str | None:
        entry = self.entries(self._builder.unit_of(stage, item)).get(item)
        return None if entry is None else digest(canonical(entry.files))

    def restore(self, unit: Unit) -> None:
        """Bring a restorable unit back and seal it."""
        entries = {item.name: self.resolve(unit, item) for item in unit.items or ()}
        whole = {name: entry for name, entry in entries.items() if entry is not None}
        for entry in whole.values():
            self.store.place(unit.stage.folder, entry)
        self.seal(unit, whole)

    def seal(self, unit: Unit, entries: dict[str, Entry]) -> None:
        """Drop what nothing asks for any more, then write the manifest as the last act."""
        kept = {name for entry in entries.values() for name in entry.files}
        (self._sweep_clips if unit.stage.unit == "clip" else _sweep_whole)(unit, kept)
        labels = {other.manifest for other in self.of_stage(unit.stage.name)}
        # `[!.]`: a name with a dot is a manifest that another shard's job is writing at this moment.
        for path in unit.manifest.parent.glob("[!.]*.json") if len(unit.stage.outs) == 1 else ():
            if path not in labels:  # of a shard that is no more
                path.unlink(missing_ok=True)
        for path in half_written(unit.manifest):
            path.unlink(missing_ok=True)
        for out in unit.stage.outs:
            if not Path(out).suffix:  # DVC asks for the folder, even if there is nothing inside
                Path(out).mkdir(parents=True, exist_ok=True)
        remove(self.unfinished / unit.name)
        write_manifest(unit.manifest, Manifest(unit.name, unit.key, unit.code, unit.params, entries))
        self._states[unit.name] = ("fresh", "")
        self._entries.pop(unit.name, None)
        self._contents.forget(unit.stage.name)

    def _sweep_clips(self, unit: Unit, kept: set[str]) -> None:
        """Remove tables, whole or half-written, of this unit's clips that are not kept, and of clips that the
        stage has no more. Other shards' jobs may be writing into the same folder at this moment.
        """
        elsewhere = set(self._builder.names(unit.stage.name)) - set(unit.names or ())
        for path in unit.stage.folder.glob("*"):
            clip = path.name.lstrip(".").partition(".")[0]
            ours = path.suffix == ".parquet" or path.name.startswith(".")
            if ours and path.name not in kept and clip not in elsewhere and not path.is_dir():
                path.unlink(missing_ok=True)

    def _examine(self, unit: Unit) -> tuple[State, str]:
        if unit.names is None:
            return "unknown", self._undecided
        if self._forced.intersection(self.graph.closure(unit.stage.name)):
            return "stale", "forced"
        if unit.stage.raw and self._raw_fault:
            return "stale", self._raw_fault
        why = self._difference(unit)
        if why is None:
            return "fresh", ""
        if all(self.resolve(unit, item) for item in unit.items or ()):
            return "restorable", f"{unit.stage.folder} is missing" if why == NEVER_MADE else why
        return "stale", why

    def _difference(self, unit: Unit) -> str | None:
        sealed = read_manifest(unit.manifest)
        if sealed is None:
            return NEVER_MADE if not unit.stage.folder.exists() else "no manifest: never finished"
        if sealed.key != unit.key:
            return explain(unit, sealed)
        for item in unit.items or ():
            entry = sealed.items[item.name]
            broken = damage(unit.stage.folder, entry, self.hashes)
            if broken:
                return broken
            if self.content_key(unit, item) not in (None, entry.content):
                return f"{item.name}: its inputs were made anew, with other bytes"
        return None


def _sweep_whole(unit: Unit, kept: set[str]) -> None:
    """Remove what lies in the unit's outputs without being part of them: a killed run's, or older code's."""
    sealed = read_manifest(unit.manifest)
    for name in {name for entry in (sealed.items.values() if sealed else ()) for name in entry.files} - kept:
        (unit.stage.folder / name).unlink(missing_ok=True)
    for out in unit.outs:
        for path in half_written(out):
            remove(path)
        for path in list(out.rglob("*")) if out.is_dir() else ():
            inside = path.relative_to(unit.stage.folder)
            if inside.as_posix() not in kept and ".manifest" not in inside.parts and not path.is_dir():
                path.unlink(missing_ok=True)
