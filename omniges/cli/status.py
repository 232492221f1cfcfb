"""`omniges status`: which stages are fresh, stale or missing, and why."""

from rich.console import Console
from rich.table import Table

from omniges.config import load_params


def status() -> None:
    """Show each stage's state, why it is so, and about how long the missing work took before."""
    from omniges.cli.planning import STATE, make_plan
    from omniges.pipeline.status import summarise

    plan = make_plan(load_params())
    table = Table("stage", "state", "jobs", "about", "why", box=None, pad_edge=False)
    rows = summarise(plan, STATE / "ran.jsonl")
    for row in rows:
        table.add_row(row.stage, row.state, row.jobs, row.duration, row.why)
    console = Console()
    console.print(table)
    open_rows = [row for row in rows if row.state in ("stale", "unknown")]
    console.print(
        f"\n{len(open_rows)} of {len(rows)} stages have work to do: `dvc repro`, or `snakemake --cores all`."
        if open_rows
        else "\nEverything is up to date."
    )
