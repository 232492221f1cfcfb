"""`omniges stage`: what every Snakemake job calls, and how to run one of them alone."""

import importlib
import logging
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer

from omniges.config import load_params
from omniges.errors import PipelineError
from omniges.pipeline.graph import Stage
from omniges.workspace import Workspace

log = logging.getLogger(__name__)


def stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.")],
    shard: Annotated[int | None, typer.Option(help="Which shard of the clips, for per-clip stages.")] = None,
    part: Annotated[str | None, typer.Option(help="Which part, for the tokenizers.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compute even what is known.")] = False,
) -> None:
    """Run one unit of the pipeline; restores what earlier runs have done already."""
    from omniges.cli.planning import STATE, make_plan
    from omniges.pipeline.progress import Progress
    from omniges.pipeline.runner import Runner

    params = load_params()
    plan = make_plan(params)
    declared = plan.graph[name]
    unit = plan.units[_unit_name(declared, shard, part)]
    runner = Runner(plan, STATE, stop_on_fault=params.data.on_bad_clip == "stop")
    W = Workspace.of(params)
    if declared.unit == "clip":
        runner.run_clips(unit, lambda clips: _load(declared)(params, W, clips), force=force)
    elif declared.unit == "part":
        runner.run_whole(unit, lambda: _load(declared)(params, W, part), force=force)
    else:
        runner.run_whole(unit, lambda: _load(declared)(params, W), force=force)
    plan.hashes.save(unit.name)
    left = Progress(STATE).finish(unit.name) if os.environ.get("RANK", "0") == "0" else None
    if left is not None:
        log.info("%s", left.text())


def _unit_name(declared: Stage, shard: int | None, part: str | None) -> str:
    if declared.unit == "one":
        return declared.name
    label = shard if declared.unit == "clip" else part
    if label is None:
        raise PipelineError(f"{declared.name}: wanted --{'shard' if declared.unit == 'clip' else 'part'}.")
    return f"{declared.name}-{label}"


def _load(declared: Stage) -> Callable[..., Any]:
    """The stage's function; only here are heavy packages imported."""
    module, _, function = declared.run.partition(":")
    log.debug("%s: importing %s", declared.name, module)
    return getattr(importlib.import_module(module), function)
