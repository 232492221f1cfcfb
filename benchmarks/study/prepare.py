"""The study's corpus, features, tokenizers, baselines and judges: every stage before training, each run once.

A folder outside the repository holds it all. What a stage was made with is written beside its output, so
that a second call with the same parameters makes nothing anew. Changed code isn't noticed: take a fresh
folder.
"""

import importlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omniges.config import Params, load_params, parse_params
from omniges.data.clips import planned
from omniges.errors import DataError
from omniges.files import read_json, remove, write_json
from omniges.motion.layout import PART_NAMES
from omniges.pipeline.graph import Stage, read_graph
from omniges.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
AFTER = ("train", "generate", "latent_train", "latent_generate", "evaluate")
"""Stages that the study does itself, once a variant; the latent flow is one of them."""


def study_params(source: Path, name: str, changes: Mapping[str, Any]) -> Params:
    """The repository's parameters on a corpus of the study's own, without trackers or videos.

    Args:
        source: a parameter file.
        name: of the corpus; folders are called so.
        changes: dotted name → value.
    """
    common = {
        "data.name": name,
        "data.root": f"data/raw/{name}",
        "tracking.trackers": [],
        "evaluate.render": False,
    }
    return changed(load_params(source), {**common, **changes})


def changed(params: Params, changes: Mapping[str, Any]) -> Params:
    """Parameters with some values replaced, checked anew; keys are dotted names."""
    raw = params.model_dump()
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        at = raw
        for step in path:
            at = at[step]
        at[last] = value
    return parse_params(raw, "study")


def prepare(params: Params) -> None:
    """Run, in the current folder, every stage before training that its parameters don't find done."""
    graph = read_graph(ROOT / "dvc.yaml", params.model_dump())
    W = Workspace.of(params)
    stale: dict[str, Path] = {}
    for stage in graph.stages.values():
        if stage.name in AFTER:
            continue
        record = Path("done") / params.data.name / f"{stage.name}.json"
        upstream = any(up.name in stale for up in graph.upstream(stage.name))
        if upstream or not record.is_file() or read_json(record)["params"] != _parameters_of(stage, params):
            stale[stage.name] = record
            record.unlink(missing_ok=True)  # a run that stops below must not leave it looking fresh
    for name, record in stale.items():
        stage = graph.stages[name]
        start = time.process_time()
        _run(stage, params, W)
        # The state of work that is done would refuse other parameters.
        remove(W.unfinished)
        seconds = time.process_time() - start
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, {"params": _parameters_of(stage, params), "cpu_s": seconds})
        print(f"{params.data.name}: {stage.name} {seconds:.1f} CPU s", flush=True)


def _parameters_of(stage: Stage, params: Params) -> dict[str, Any]:
    raw = params.model_dump()
    found = {}
    for dotted in stage.params:
        value: Any = raw
        for step in dotted.split("."):
            value = value[step]
        found[dotted] = value
    return json.loads(json.dumps(found))


def _run(stage: Stage, params: Params, W: Workspace) -> None:
    module, _, name = stage.run.partition(":")
    function = getattr(importlib.import_module(module), name)
    if stage.unit == "part":
        for part in PART_NAMES:
            function(params, W, part)
    elif stage.unit == "clip":
        faults = function(params, W, [clip.id for clip in planned(params, W)])
        if faults:
            raise DataError(f"{stage.name}: {len(faults)} clips failed; the first: {faults[0].problem}")
    else:
        function(params, W)


def enter(folder: Path) -> None:
    """Work in a folder, since the pipeline's paths start at the current one."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
