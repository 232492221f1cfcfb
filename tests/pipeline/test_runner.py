"""Plan, runner and store on a graph of two stages, without any tool."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from omniges.errors import PipelineError
from omniges.pipeline.collect import collect, in_use
from omniges.pipeline.graph import Graph, read_graph
from omniges.pipeline.locks import acquire, exclusive, holder
from omniges.pipeline.plan import Plan
from omniges.pipeline.progress import Left, Progress
from omniges.pipeline.runner import Runner
from omniges.pipeline.status import Row, summarise, total
from omniges.pipeline.units import Clip, shard_of
from omniges.types import ClipFault

DVC = """
stages:
  sound:
    cmd: x
    deps: [raw]
    params: [sound]
    outs: [out/sound]
    meta: {run: "m:f", unit: clip, reads: [wav]}
  sum:
    cmd: x
    deps: [out/sound]
    params: [sum.seed]
    outs: ["out/${sum.name}"]
    meta: {run: "m:g"}
"""
IDS = ("a", "b", "c", "d")


class World:
    """A folder with raw clips, parameters, and functions that count what they do."""

    def __init__(self, root: Path) -> None:
        self.params = {"data": {"shards": 2}, "sound": {"gain": 1}, "sum": {"seed": 0, "name": "sum"}}
        self.done: list[str] = []
        self.salt = ""
        self.fail: set[str] = set()
        self.die_at: str | None = None
        (root / "dvc.yaml").write_text(DVC)
        for clip in IDS:
            self.raw(clip).parent.mkdir(exist_ok=True)
            self.raw(clip).write_text(clip)

    def raw(self, clip: str) -> Path:
        return Path("raw") / f"{clip}.wav"

    def graph(self) -> Graph:
        return read_graph(Path("dvc.yaml"), self.params)

    def plan(self, forced: frozenset[str] = frozenset()) -> Plan:
        clips = [Clip(id=clip, split="train", files={"wav": self.raw(clip)}) for clip in IDS]
        return Plan(
            self.graph(),
            self.params,
            clips,
            root=Path(),
            state=Path("state"),
            unfinished=Path("unfinished"),
            forced=forced,
        )

    def run(self, *, stop: bool = False, forced: frozenset[str] = frozenset()) -> list[str]:
        """Everything that needs a job; what was computed."""
        self.done = []
        plan = self.plan(forced)
        for unit in plan.units.values():
            if plan.state(unit)[0] == "restorable":
                plan.restore(unit)
        for unit in plan.to_run():
            fresh_plan = self.plan()
            runner = Runner(fresh_plan, Path("state"), stop_on_fault=stop)
            unit = fresh_plan.units[unit.name]
            force = unit.stage.name in forced
            if unit.stage.unit == "clip":
                runner.run_clips(unit, self.sound, force=force)
            else:
                runner.run_whole(unit, self.sum, force=force)
            fresh_plan.hashes.save(unit.name)
        return sorted(self.done)

    def sound(self, clips: Sequence[str]) -> list[ClipFault]:
        faults = []
        for clip in clips:
            if clip == self.die_at:
                raise KeyboardInterrupt
            if clip in self.fail:
                faults.append(ClipFault(clip=clip, problem="bad", remedy="none"))
                continue
            self.done.append(clip)
            target = Path("out/sound") / f"{clip}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self.raw(clip).read_text() + str(self.params["sound"]) + self.salt)
        return faults

    def sum(self) -> None:
        self.done.append("sum")
        folder = Path("out") / str(self.params["sum"]["name"])
        folder.mkdir(parents=True)
        (folder / "all").write_text(
            "".join(p.read_text() for p in sorted(Path("out/sound").glob("*.parquet")))
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omniges.pipeline.hashes._SETTLED_S", 0.0)
    return World(tmp_path)


EVERYTHING = [*IDS, "sum"]


def test_edit_revert_and_params_there_and_back(world: World) -> None:
    assert world.run() == EVERYTHING
    assert world.run() == []
    world.raw("b").write_text("B!")
    assert world.run() == ["b", "sum"]
    world.raw("b").write_text("b")
    assert world.run() == []
    world.params["sound"] = {"gain": 2}
    assert world.run() == EVERYTHING
    world.params["sound"] = {"gain": 1}
    assert world.run() == []
    world.params["sum"] = {"seed": 1, "name": "sum"}
    assert world.run() == ["sum"]


def test_another_number_of_shards_moves_clips_without_computing_them(world: World) -> None:
    world.run()
    world.params["data"] = {"shards": 3}
    assert world.run() == []
    assert sorted(p.name for p in Path("out/sound").glob("*.parquet")) == [f"{clip}.parquet" for clip in IDS]


def test_two_corpora_side_by_side(world: World) -> None:
    world.run()
    world.params["sum"] = {"seed": 0, "name": "other"}
    assert world.run() == []  # the same content: linked from the store
    assert Path("out/other/all").read_text() == Path("out/sum/all").read_text()


@pytest.mark.parametrize("damage", ["delete", "truncate", "change"])
def test_a_damaged_output_costs_that_clip_at_most(world: World, damage: str) -> None:
    world.run()
    victim, good = Path("out/sound/b.parquet"), Path("out/sound/b.parquet").read_text()
    if damage == "delete":
        victim.unlink()
    else:  # in place: the store's object is the same file
        victim.write_text("" if damage == "truncate" else good.replace("b", "x"))
    assert world.run() in ([], ["b"])
    assert victim.read_text() == good


def test_a_damaged_store_is_not_believed(world: World) -> None:
    world.run()
    for path in Path("state/store/objects").rglob("*"):
        if path.is_file():
            content = path.read_text()
            path.unlink()
            path.write_text(content[:-1])
    Path("out/sound/b.parquet").unlink()
    assert world.run() == ["b"]


def test_a_kill_keeps_the_finished_clips(world: World) -> None:
    shard = shard_of("b", 2)
    mates = [clip for clip in IDS if shard_of(clip, 2) == shard]
    world.die_at = mates[-1]
    with pytest.raises(KeyboardInterrupt):
        world.run()
    before = set(world.done)
    world.die_at = None
    for path in Path("out/sound").glob("*"):  # what DVC does before it runs a stage again
        path.unlink() if path.is_file() else None
    assert set(world.run()) == set(EVERYTHING) - before
    assert before


def test_a_bad_clip_is_left_out_or_stops_and_the_others_are_kept(world: World) -> None:
    world.fail = {"b"}
    with pytest.raises(PipelineError, match="b: bad"):
        world.run(stop=True)
    done = set(world.done)
    assert "b" not in done
    assert set(world.run()) == set(EVERYTHING) - done - {"b"}
    assert world.run() == []
    world.fail = set()
    world.raw("b").write_text("mended")
    assert world.run() == ["b", "sum"]


def test_forced_with_the_same_bytes_stops_there_with_other_bytes_goes_on(world: World) -> None:
    world.run()
    assert world.run(forced=frozenset({"sound"})) == list(IDS)
    world.salt = "a GPU's whim"
    assert world.run(forced=frozenset({"sound"})) == EVERYTHING
    assert world.run() == []


def test_outputs_that_are_links_are_never_written_through(world: World) -> None:
    world.run()
    cached = Path("cached")
    os.replace("out/sum/all", cached)
    Path("out/sum/all").symlink_to(cached.resolve())
    before = cached.read_text()
    world.params["sum"] = {"seed": 5, "name": "sum"}
    world.raw("a").write_text("A")
    world.run()
    assert cached.read_text() == before


def test_reasons_name_clip_param_and_state(world: World) -> None:
    world.run()
    world.raw("b").write_text("B!")
    world.params["sum"] = {"seed": 9, "name": "sum"}
    why = {row.name: (row.state, row.why) for row in summarise(world.plan(), Path("state/ran.jsonl"))}
    assert why["sound"][0] == why["sum"][0] == "stale"
    assert "b.wav" in why["sound"][1]
    assert "sum.seed: 0 → 9" in why["sum"][1]


def test_a_silently_missing_clip_is_an_error(world: World) -> None:
    plan = world.plan()
    unit = plan.of_stage("sound")[shard_of("b", 2)]
    with pytest.raises(PipelineError, match="neither written nor reported"):
        runner = Runner(plan, Path("state"), stop_on_fault=False)
        runner.run_clips(unit, lambda clips: [], force=False)


def test_sealing_leaves_alone_what_another_shard_is_writing(world: World) -> None:
    world.run()
    plan = world.plan()
    first, second = plan.of_stage("sound")
    folder = first.manifest.parent
    neighbour, orphan = folder / ".1.x1y2z3.json", folder / "7.json"
    neighbour.write_text("half a mani")
    table = folder.parent / f".{second.items[0].name}.x1y2z3.parquet"
    table.write_text("half a table")
    orphan.write_text(first.manifest.read_text())
    plan.seal(first, plan.entries(first))
    assert neighbour.read_text() == "half a mani"
    assert table.read_text() == "half a table"
    assert not orphan.exists()  # of a shard that is no more


def test_status_says_how_much_a_run_would_compute_and_why(world: World) -> None:
    world.run()
    world.raw("b").write_text("B!")
    rows = {row.name: row for row in summarise(world.plan(), Path("state/ran.jsonl"))}
    assert (rows["sound"].results, rows["sound"].jobs, rows["sound"].units) == (1, 1, 2)
    assert rows["sound"].why == "files changed: b.wav"
    assert rows["sum"].why == "follows from: sound (b)"
    world.params["sound"]["gain"] = 2
    changed = {row.name: row for row in summarise(world.plan(), Path("state/ran.jsonl"))}["sound"]
    assert changed.why == "params changed: sound.gain: 1 → 2; files changed: b.wav"
    assert changed.results == 4


def test_seconds_are_those_of_earlier_results_times_the_missing_ones(world: World) -> None:
    world.run()
    ran = Path("state/ran.jsonl")
    rows = [json.loads(line) for line in ran.read_text().splitlines()]
    ran.write_text("".join(json.dumps(row | {"seconds": 6.0 * len(row["items"])}) + "\n" for row in rows))
    world.params["sound"]["gain"] = 2
    found = {row.name: row for row in summarise(world.plan(), ran)}
    assert (found["sound"].seconds, found["sum"].seconds) == (24.0, 6.0)
    assert "about 30 s of work" in total(found.values())


def test_status_tells_what_is_gone_from_what_never_was(world: World) -> None:
    world.run()
    shutil.rmtree("out/sum")
    found = summarise(world.plan(), Path("state/ran.jsonl"))
    assert [(row.name, row.state, row.why) for row in found if row.state != "fresh"] == [
        ("sum", "restorable", "out/sum is missing")
    ]
    assert total(found) == "bring back 1 stage from earlier runs"
    (Path("out/sound") / "a.parquet").unlink()
    found = summarise(world.plan(), Path("state/ran.jsonl"))
    assert (found[0].state, found[0].why) == ("restorable", "out/sound/a.parquet is missing")


def test_what_a_new_corpus_decides_takes_as_long_as_its_longest_run_at_most() -> None:
    shared = {"state": "unknown", "units": 1, "jobs": 1, "why": ""}
    rows = [
        Row(name="corpus", results=1, seconds=0.2, **shared),
        Row(name="train", results=None, seconds=90.0, **shared),
        Row(name="new", results=None, seconds=None, **shared),
    ]
    want = "(jobs: 3): about 1 s of work, then up to 2 min in 2 stages that the new corpus decides about"
    assert total(rows) == f"compute 3 of 3 stages {want}"


def test_a_stage_that_was_never_made_is_missing(world: World) -> None:
    rows = summarise(world.plan(), Path("state/ran.jsonl"))
    assert [(row.state, row.seconds) for row in rows] == [("missing", None)] * 2
    assert [row.why for row in rows] == ["never made"] * 2
    assert "no earlier run says how long" in total(rows)
    world.run()
    assert total(summarise(world.plan(), Path("state/ran.jsonl"))) == ""


def test_progress_adds_up_over_the_starts_of_one_run(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.start({"a": 10.0, "b": 30.0, "c": 60.0})
    assert progress.finish("a") == Left(done=1, jobs=3, seconds=90.0, share=pytest.approx(0.1))
    progress.start({"b": 30.0, "c": 60.0})  # the next stage of `dvc repro`
    assert progress.finish("b") == Left(done=2, jobs=3, seconds=60.0, share=pytest.approx(0.4))
    assert progress.finish("alone") is None
    assert progress.finish("c") == Left(done=3, jobs=3, seconds=0.0, share=pytest.approx(1.0))
    progress.start({"c": None})  # that run is over: this is another
    assert progress.finish("c") == Left(done=1, jobs=1, seconds=None, share=None)


def tree() -> dict[str, str]:
    return {p.as_posix(): p.read_text() for p in Path("out").rglob("*") if p.is_file()}


def test_what_a_kill_leaves_is_gone_after_the_next_run_even_if_that_only_restores(world: World) -> None:
    world.run()
    whole = tree()
    for name in (".b.x1y2z3.parquet", ".b.77", "gone_clip.parquet", ".manifest/.0.q.json"):
        (Path("out/sound") / name).write_text("half a ta")
    for name in ("sum/half", "sum/.all.x1y2z3", ".sum.x1y2z3/all"):
        path = Path("out") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("half a su")
    Path("out/sound/.manifest/0.json").unlink()
    Path("out/sound/.manifest/1.json").unlink()
    Path("out/sum/.manifest/unit.json").unlink()
    assert world.run() == []
    assert tree() == whole


def test_unfinished_state_serves_the_same_result_only(world: World) -> None:
    state = Path("unfinished/sum/state")
    seen: list[bool] = []

    def dies() -> None:
        seen.append(state.exists())
        state.write_text("half way")
        raise KeyboardInterrupt

    finish, world.sum = world.sum, dies  # type: ignore[method-assign]
    for _ in range(2):  # the second run goes on from the first one's state
        with pytest.raises(KeyboardInterrupt):
            world.run()
    world.raw("a").write_text("A!")  # the same recipe for `sum`, other data: never to be gone on with
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert seen == [False, True, False]
    world.sum = finish  # type: ignore[method-assign]
    assert world.run() == ["sum"]
    assert not state.parent.exists()


def test_damaged_records_cost_nothing_but_their_content(world: World) -> None:
    world.run()
    for path in Path("state/hashes").glob("*.json"):
        path.write_text('{"half a ca')
    with Path("state/ran.jsonl").open("a") as stream:
        stream.write('{"unit": "su')
    assert world.run() == []
    assert all(row.state == "fresh" for row in summarise(world.plan(), Path("state/ran.jsonl")))


def test_one_process_at_a_time_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "unit"
    holding = (
        "import sys, time; from pathlib import Path; from omniges.pipeline.locks import acquire\n"
        f"held = acquire(Path({str(path)!r})); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert acquire(path) is None
    assert holder(path) == str(process.pid)
    process.kill()
    process.wait()
    with exclusive(path):
        assert acquire(path) is None
    assert acquire(path) is not None


def objects() -> set[str]:
    return {path.parent.name + path.name for path in Path("state/store/objects").glob("*/*")}


def test_collecting_drops_what_nothing_uses_and_nothing_else(world: World) -> None:
    world.run()
    first = objects()
    world.params["sound"] = {"gain": 2}
    world.run()
    second = objects() - first
    used = in_use([Path("out")])
    store = Path("state/store")
    young = collect(store, used=used, older_than_s=3600, dry_run=False)
    assert (young.results, young.files, young.size) == (0, 0, 0)
    dry = collect(store, used=used, older_than_s=0, dry_run=True)
    assert objects() == first | second
    assert collect(store, used=used, older_than_s=0, dry_run=False) == dry
    assert dry.files == len(first)
    assert dry.size == sum(len(clip + str({"gain": 1})) * 2 for clip in IDS)  # the tables, and their sum
    assert objects() == second
    assert world.run() == []
    world.params["sound"] = {"gain": 1}
    assert world.run() == EVERYTHING  # gone for good


def test_collecting_spares_what_was_brought_back_lately_and_what_a_job_is_about_to_name(world: World) -> None:
    world.run()
    world.params["sound"] = {"gain": 2}
    world.run()
    for path in Path("state/store/keys").glob("*/*.json"):
        os.utime(path, (0, 0))
    world.params["sound"] = {"gain": 1}
    assert world.run() == []  # brought back: used today
    world.params["sound"] = {"gain": 3}
    world.run()
    unnamed = Path("state/store/objects/ab/cdef")
    unnamed.parent.mkdir(exist_ok=True)
    unnamed.write_text("about to get its key")
    found = collect(Path("state/store"), used=in_use([Path("out")]), older_than_s=3600, dry_run=False)
    assert found.files == len(EVERYTHING)  # gain 2
    assert unnamed.exists()
    world.params["sound"] = {"gain": 1}
    assert world.run() == []
