"""Stages that a parameter switches off: nothing runs, nothing is stale, and nothing is lost."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from omniges.cli.planning import load_graph
from omniges.config import Params, SamplingParams, load_params, parse_params
from omniges.errors import PipelineError
from omniges.pipeline.graph import read_graph
from omniges.pipeline.hashes import Hashes
from omniges.pipeline.plan import Plan
from omniges.pipeline.runner import Runner
from omniges.pipeline.status import summarise, total
from omniges.pipeline.units import Clip, UnitBuilder
from omniges.sampling.latent_flow import OF_CODES

ROOT = Path(__file__).parents[2]
DVC = """
stages:
  base:
    cmd: x
    params: [base]
    outs: [out/base]
    meta: {run: "m:b"}
  extra:
    cmd: x
    deps: [out/base]
    params: [extra]
    outs: [out/extra]
    meta: {run: "m:e", when: extra.on}
  report:
    cmd: x
    deps: [out/base, out/extra]
    outs: [out/report]
    meta: {run: "m:r"}
"""


class Machine:
    """Each stage writes down what it was made from."""

    def __init__(self) -> None:
        Path("dvc.yaml").write_text(DVC)
        self.params: dict[str, Any] = {"data": {"shards": 1}, "base": 0, "extra": {"on": True, "size": 1}}

    def plan(self, forced: frozenset[str] = frozenset()) -> Plan:
        graph, places = read_graph(Path("dvc.yaml"), self.params), {"state": Path("state")}
        return Plan(
            graph, self.params, [], root=Path(), unfinished=Path("unfinished"), forced=forced, **places
        )

    def run(self, *forced: str) -> list[str]:
        """What had to be computed, once what is known has been brought back."""
        plan, done = self.plan(frozenset(forced)), []
        for unit in plan.units.values():
            if plan.state(unit)[0] == "restorable":
                plan.restore(unit)
        for unit in plan.to_run():
            Runner(plan, Path("state"), stop_on_fault=True).run_whole(
                unit, lambda name=unit.name: self._make(name), force=unit.name in forced
            )
            done.append(unit.name)
        return done

    def _make(self, stage: str) -> None:
        made = Path("out", stage)
        made.mkdir(parents=True)
        before = sorted(p for p in Path("out").glob("*/x") if p.parent != made)
        text = f"{stage} {self.params.get(stage)} of {[p.read_text() for p in before]}"
        (made / "x").write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omniges.pipeline.hashes._SETTLED_S", 0.0)
    return Machine()


def files() -> list[str]:
    return sorted(str(path) for path in Path("out").glob("*/x"))


def test_off_costs_what_follows_once_and_on_again_costs_nothing(machine: Machine) -> None:
    assert machine.run() == ["base", "extra", "report"]
    machine.params["extra"]["on"] = False
    assert machine.run() == ["report"]
    assert files() == ["out/base/x", "out/report/x"]
    assert machine.run() == []
    machine.params["extra"] = {"on": False, "size": 2}
    assert machine.run() == []
    machine.params["base"] = 1
    assert machine.run() == ["base", "report"]
    machine.params |= {"base": 0, "extra": {"on": True, "size": 1}}
    assert machine.run() == []
    assert files() == ["out/base/x", "out/extra/x", "out/report/x"]


def test_a_first_run_without_it_leaves_an_empty_sealed_folder(machine: Machine) -> None:
    machine.params["extra"]["on"] = False
    assert machine.run() == ["base", "report"]
    assert [p.name for p in Path("out/extra").rglob("*") if p.is_file()] == ["unit.json"]
    machine.params["extra"]["on"] = True
    assert machine.run() == ["extra", "report"]


def test_what_is_off_is_not_forced_either(machine: Machine) -> None:
    machine.params["extra"]["on"] = False
    machine.run()
    assert machine.run("extra") == []
    assert machine.run("base", "extra", "report") == ["base", "report"]
    plan = machine.plan()
    Runner(plan, Path("state"), stop_on_fault=True).run_whole(
        plan.units["extra"], lambda: pytest.fail("ran"), force=True
    )
    assert machine.run() == []


def test_status_says_off_and_by_what(machine: Machine) -> None:
    machine.params["extra"]["on"] = False
    rows = {row.name: row for row in summarise(machine.plan(), Path("state/ran.jsonl"))}
    assert (rows["extra"].state, rows["extra"].why) == ("off", "extra.on is false")
    assert total(rows.values()).startswith("compute 2 of 3 stages (jobs: 2, results: 2)")
    machine.run()
    assert total(summarise(machine.plan(), Path("state/ran.jsonl"))) == ""


def test_only_stages_of_one_job_can_be_switched(machine: Machine) -> None:
    Path("dvc.yaml").write_text(DVC.replace("when: extra.on", "when: extra.on, unit: clip"))
    with pytest.raises(PipelineError, match=r"extra\.meta has `when`"):
        machine.plan()


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Hashes:
    return Hashes(tmp_path_factory.mktemp("hashes"))


@cache
def _shipped() -> Params:
    return load_params(ROOT / "params.yaml")


LATENT_FLOW = {"latent_train", "latent_generate"}


@pytest.mark.parametrize(
    ("change", "on", "off"),
    [
        (
            {"train.lr": 0.5},
            {"train", "generate", "evaluate"} | LATENT_FLOW,
            {"train", "generate", "evaluate"},
        ),
        (
            {"model.layers": 9},
            {"train", "generate", "evaluate"} | LATENT_FLOW,
            {"train", "generate", "evaluate"},
        ),
        ({"sampling.steps": 9}, {"generate", "evaluate"}, {"generate", "evaluate"}),
        ({"sampling.temperature": 0.5}, {"generate", "evaluate"}, {"generate", "evaluate"}),
        (
            {"sampling.overlap_frames": 8},
            {"generate", "latent_generate", "evaluate"},
            {"generate", "evaluate"},
        ),
        ({"baselines.latent_flow.steps": 9}, {"latent_generate", "evaluate"}, set()),
        ({"baselines.regression.steps": 9}, {"baselines", "evaluate"}, {"baselines", "evaluate"}),
    ],
)
def test_a_parameter_reruns_what_it_must(
    hashes: Hashes, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], on: set[str], off: set[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for switch, wanted in ((True, on), (False, off)):
        before, after = (_keys({"baselines.latent_flow.train": switch, **x}, hashes) for x in ({}, change))
        assert {name for name in before if before[name] != after[name]} == wanted


def _keys(changes: dict[str, Any], hashes: Hashes) -> dict[str, str]:
    raw = _shipped().model_dump()
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        at = raw
        for step in path:
            at = at[step]
        at[last] = value
    params = parse_params(raw)
    files = dict.fromkeys(("npz", "expression", "wav", "textgrid", "sem"))
    clips = [Clip(id=split, split=split, files=files) for split in ("train", "test")]
    builder = UnitBuilder(load_graph(params), params.model_dump(), clips, root=ROOT, hashes=hashes)
    return {unit.stage.name: unit.key for unit in builder.build().values()}


def test_every_option_of_sampling_that_latents_know_is_a_parameter_of_their_stage() -> None:
    params = _shipped()
    declared = load_graph(params)["latent_generate"].params
    known = set(SamplingParams.model_fields) - set(OF_CODES) - {"steps"}
    assert {name.partition(".")[2] for name in declared if name.startswith("sampling.")} == known
