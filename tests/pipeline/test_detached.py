"""Plans without a corpus: what they take from seals alone, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

from omniges.cli.planning import changed_since_made
from omniges.config import load_params
from omniges.errors import PipelineError
from omniges.pipeline.graph import read_graph
from omniges.pipeline.keys import section_values
from omniges.pipeline.manifest import Manifest, write_manifest
from omniges.pipeline.plan import Plan
from omniges.pipeline.runner import Runner
from omniges.pipeline.units import Clip, Unit

ROOT = Path(__file__).parents[2]
DVC = """
stages:
  pack:
    cmd: x
    deps: [raw]
    params: [pack]
    outs: [out/pack]
    meta: {run: "m:p", reads: [wav]}
  train:
    cmd: x
    deps: [out/pack]
    params: [train]
    outs: [out/train]
    meta: {run: "m:t"}
  generate:
    cmd: x
    deps: [out/pack, out/train]
    outs: [out/generate]
    meta: {run: "m:g"}
"""


class Machine:
    """Stages that write down what they were made from."""

    def __init__(self, root: Path) -> None:
        (root / "dvc.yaml").write_text(DVC)
        self.params: dict[str, Any] = {"data": {"shards": 1}, "pack": 0, "train": 0}
        self.wav = root / "a.wav"
        self.wav.write_text("a")
        self.done: list[str] = []

    def plan(self, *, corpus: bool) -> Plan:
        clips = [Clip(id="a", split="train", files={"wav": self.wav})] if corpus else None
        places = {"root": Path(), "state": Path("state"), "unfinished": Path("unfinished")}
        return Plan(read_graph(Path("dvc.yaml"), self.params), self.params, clips, **places)

    def run(self, stage: str, *, corpus: bool) -> None:
        plan = self.plan(corpus=corpus)
        unit: Unit | None = plan.units[stage]
        if unit is not None and not corpus:
            unit = plan.detached(unit)
        assert unit is not None

        def work() -> None:
            self.done.append(stage)
            made = Path("out", stage)
            made.mkdir(parents=True)
            (made / "x").write_text(f"{self.params.get(stage, 0)}, {self.wav.read_text()}")

        Runner(plan, Path("state"), stop_on_fault=True).run_whole(unit, work, force=False)

    def left_to_do(self) -> list[str]:
        """With the corpus, once what is known has been brought back."""
        plan = self.plan(corpus=True)
        for unit in plan.units.values():
            if plan.state(unit)[0] == "restorable":
                plan.restore(unit)
        return [unit.name for unit in plan.to_run()]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omniges.pipeline.hashes._SETTLED_S", 0.0)
    return Machine(tmp_path)


def test_what_was_made_without_a_corpus_is_right_with_one(machine: Machine) -> None:
    machine.run("pack", corpus=True)
    for stage in ("train", "generate", "train", "generate"):
        machine.run(stage, corpus=False)
    assert machine.done == ["pack", "train", "generate"]
    assert machine.left_to_do() == []


def test_a_model_of_another_pack_is_not_used_for_this_one(machine: Machine) -> None:
    machine.run("pack", corpus=True)
    machine.run("train", corpus=False)
    machine.wav.write_text("b")
    machine.run("pack", corpus=True)
    with pytest.raises(PipelineError, match=r"train: what is here was made from other inputs"):
        machine.run("generate", corpus=False)
    machine.run("train", corpus=False)
    machine.run("generate", corpus=False)
    assert machine.done == ["pack", "train", "pack", "train", "generate"]
    machine.wav.write_text("c")
    machine.run("pack", corpus=True)
    assert machine.left_to_do() == ["train", "generate"]


def test_a_model_of_other_parameters_is_not_used_for_these(machine: Machine) -> None:
    machine.run("pack", corpus=True)
    machine.run("train", corpus=False)
    machine.params["train"] = 1
    with pytest.raises(PipelineError, match="Run `omniges stage train` first"):
        machine.run("generate", corpus=False)


def test_nothing_is_made_from_what_is_not_sealed(machine: Machine) -> None:
    machine.run("pack", corpus=True)
    plan = machine.plan(corpus=False)
    assert plan.detached(plan.units["generate"]) is None
    assert plan.detached(plan.units["pack"]) is None


def test_parameters_are_compared_with_the_seal_even_without_a_lock(machine: Machine) -> None:
    params = load_params(ROOT / "params.yaml")
    graph = read_graph(ROOT / "dvc.yaml", params.model_dump())
    made = section_values(graph["pack"], params.model_dump())
    for dtype, want in (("float16", {}), ("float32", {"pack.dtype": '"float32" → "float16"'})):
        sealed = made | {"pack": made["pack"] | {"dtype": dtype}}
        write_manifest(graph["pack"].manifest("unit"), Manifest("pack", "k", {}, sealed, {}))
        assert changed_since_made(params, graph, "train") == want
