"""`omniges status`: which stages are fresh, stale or missing, why, and what a run would do."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from omniges.config import load_params


def status(
    stage: Annotated[str | None, typer.Argument(help="Only this stage, job by job.")] = None,
) -> None:
    """Show each stage's state, why it is so, what a run would compute, and about how long that takes."""
    from omniges.cli.planning import make_plan, records
    from omniges.pipeline.status import Durations, duration, row_of, summarise, total

    plan = make_plan(load_params())
    ran = records() / "ran.jsonl"
    rows = summarise(plan, ran)
    shown = rows
    if stage is not None:
        shown = [row_of(plan, unit.name, [unit], Durations(ran)) for unit in plan.of_stage(stage)]
    table = Table("stage" if stage is None else "job", "state", "jobs", "results", "about", "why")
    table.box, table.pad_edge = None, False
    for row in shown:
        about = "" if row.seconds is None or not row.jobs else duration(row.seconds)
        if about and row.results is None:
            about = f"up to {about}"
        jobs = f"{row.jobs}/{row.units}" if row.jobs else ""
        results = "?" if row.results is None else str(row.results or "")
        table.add_row(row.name, row.state, jobs, results, about, row.why)
    console = Console()
    console.print(table)
    would = total(rows)
    console.print(
        f"\nA run would {would}. Start it: `dvc repro`, or `snakemake --cores all`."
        if would
        else "\nEverything is up to date."
    )
