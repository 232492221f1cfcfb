"""`omniges summary`: where the report is, its figures, and how to look at the runs."""

from pathlib import Path
from typing import Any

from omniges.errors import PipelineError
from omniges.files import read_json


def summary() -> None:
    """Print the report's place, a short table of metrics and the `mlflow ui` command."""
    from rich.console import Console
    from rich.table import Table

    metrics = Path("reports/metrics.json")
    if not metrics.is_file():
        raise PipelineError(f"{metrics}: missing. Run `dvc repro` first.")
    table = Table("figure", "value", box=None, pad_edge=False)
    for name, value in _flat(read_json(metrics)):
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    console = Console()
    console.print(table)
    console.print(f"\nreport  {Path('reports/index.html').resolve()}", soft_wrap=True)
    console.print("runs    mlflow ui --backend-store-uri sqlite:///mlflow.db", soft_wrap=True)


def _flat(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict):
        return [
            row for key, value in tree.items() for row in _flat(value, f"{prefix}.{key}" if prefix else key)
        ]
    return [(prefix, tree)]
