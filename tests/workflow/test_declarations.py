"""dvc.yaml against the code: what a stage can reach stands in its deps, what it reads in its params."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from omniges.cli.planning import load_graph
from omniges.config import Params, load_params
from omniges.pipeline.hashes import Hashes
from omniges.pipeline.keys import code_hashes

ROOT = Path(__file__).parents[2]
GRAPH_SECTIONS = {"data", "corpus", "tracking"}
"""`data` and `corpus` also decide folders and the clip list, which keys see; trackers only report."""


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def stage_names() -> list[str]:
    return list(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"])


@pytest.mark.parametrize("name", stage_names())
def test_every_module_that_a_stage_reaches_is_a_dependency(name: str, params: Params, tmp_path: Path) -> None:
    stage = load_graph(params)[name]
    found = code_hashes(stage.run, ROOT, Hashes(tmp_path))
    assert "missing" not in found.values()
    modules = [m for m in found if not m.endswith(".py") and "/" not in m]
    unlisted = {m for m in modules if not _listed(m, stage.deps)}
    assert not unlisted, f"{name}: add the folders of {sorted(unlisted)} to deps in dvc.yaml"


@pytest.mark.parametrize("name", stage_names())
def test_every_section_that_a_stages_module_reads_is_in_its_params(name: str, params: Params) -> None:
    stage = load_graph(params)[name]
    module = ROOT / (stage.run.partition(":")[0].replace(".", "/") + ".py")
    function = stage.run.partition(":")[2]
    read = _sections(module, function)
    declared = {entry.partition(".")[0] for entry in stage.params}
    assert read - GRAPH_SECTIONS <= declared


@pytest.mark.parametrize("file", ["params.yaml", "params.beat2.yaml"])
def test_shipped_parameters_are_valid_and_fill_the_graph(file: str) -> None:
    graph = load_graph(load_params(ROOT / file))
    assert all("${" not in out for stage in graph.stages.values() for out in stage.outs)


def test_each_stage_has_a_rule_and_calls_snakemake_by_its_name() -> None:
    rules = "".join(path.read_text("utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    raw = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    for name, stage in raw.items():
        assert stage["cmd"] == f"snakemake --cores all {name}"
        assert f'plan.command("{name}")' in rules


def _listed(module: str, deps: tuple[str, ...]) -> bool:
    path = module.replace(".", "/")
    return any(path == dep or path.startswith(f"{dep}/") or f"{path}.py" == dep for dep in deps)


def _sections(module: Path, function: str) -> set[str]:
    """Attributes of `params` that are sections, in a function and what it calls in its module."""
    tree = ast.parse(module.read_text("utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    queue, seen, found = [function], set(), set()
    while queue:
        name = queue.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in ast.walk(functions[name]):
            if isinstance(node, ast.Name):
                queue.append(node.id)
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "params"
            ):
                found.add(node.attr)
    return found & set(Params.model_fields)
