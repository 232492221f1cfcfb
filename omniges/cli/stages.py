"""`omniges stage`: what every Snakemake job calls, and how to run one of them alone."""

import errno
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

import typer

from omniges.config import Params, load_params
from omniges.errors import DataError, PipelineError
from omniges.pipeline.graph import Stage
from omniges.pipeline.plan import Plan
from omniges.pipeline.units import Unit
from omniges.workspace import Workspace

log = logging.getLogger(__name__)


def stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.")],
    shard: Annotated[int | None, typer.Option(help="Which shard of the clips, for per-clip stages.")] = None,
    part: Annotated[str | None, typer.Option(help="Which part, for the tokenizers.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compute even what is known.")] = False,
) -> None:
    """Run one unit of the pipeline; restores what earlier runs have done already."""
    if shard is not None:  # as the rules have it, and before numpy: sums over more threads give other bytes
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    from omniges.cli.planning import load_graph

    params = load_params()
    declared = load_graph(params)[name]
    unit_name = _unit_name(declared, shard, part)
    with _alone(unit_name), _disk_faults(unit_name):
        _run(params, declared, unit_name, part, force=force)


def _alone(unit: str) -> AbstractContextManager[None]:
    """No two processes make one unit: a job whose Snakemake was killed may still be at work on it."""
    from omniges.cli.planning import STATE
    from omniges.pipeline.locks import exclusive

    if os.environ.get("RANK", "0") != "0":  # under torchrun, the first process keeps the books
        return nullcontext()
    return exclusive(STATE / "units" / unit)


@contextmanager
def _disk_faults(unit: str) -> Iterator[None]:
    """Say what to do where a disk is full or can't be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        remedy = "make it writable" if error.errno == errno.EROFS else "make room (`omniges gc`, `dvc gc`)"
        raise PipelineError(
            f"{unit}: {error.filename or 'writing'}: {error.strerror}. Finished work is kept: {remedy}, "
            "then run again."
        ) from error


def _run(params: Params, declared: Stage, unit_name: str, part: str | None, *, force: bool) -> None:
    from omniges.cli.planning import STATE, make_plan, records
    from omniges.pipeline.progress import Progress
    from omniges.pipeline.runner import Runner

    plan = make_plan(params, corpus=False)
    unit, W = _possible(plan, plan.units[unit_name], params), Workspace.of(params)
    stop = params.data.on_bad_clip == "stop"
    runner = Runner(plan, records(), stop_on_fault=stop)
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


def _possible(plan: Plan, unit: Unit, params: Params) -> Unit:
    """The unit; where there is no corpus, as it can be made from sealed inputs alone (a machine that only
    trains).
    """
    from omniges.cli.planning import changed_since_made, corpus_clips

    if unit.names is not None:
        return unit
    try:
        clips, why = corpus_clips(params)
    except DataError as error:
        clips, why = None, str(error)
    alone = plan.detached(unit) if clips is None else None
    if alone is None:
        before = ", ".join(stage.name for stage in plan.graph.upstream(unit.stage.name))
        raise PipelineError(
            f"{unit.name}: the corpus is not as it should be ({why or 'made by other code or parameters'}), "
            f"and not all that comes before ({before}) is sealed here. "
            f"Run `snakemake --cores all {unit.stage.name}`."
        )
    changed = changed_since_made(params, plan.graph, unit.stage.name)
    if changed:
        listed = ", ".join(f"{name}: {change}" for name, change in changed.items())
        raise PipelineError(
            f"{unit.name}: what comes before it was made with other parameters than params.yaml has now "
            f"({listed}), and can't be made anew without a corpus. Set them back, or fetch what they made."
        )
    log.info("%s: no corpus here, so what comes before it is taken as it was sealed", unit.name)
    return alone


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
