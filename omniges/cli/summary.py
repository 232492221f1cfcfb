"""`omniges summary`: where the report is, its main figures, and how to look at the runs."""

from pathlib import Path
from typing import Any

from omniges.errors import PipelineError
from omniges.files import read_json

COLUMNS = {
    "fgd": "FGD",
    "measures.scorer_auc": "AUC",
    "rms_errors.jaw": "jaw rad",
    "rms_errors.face": "face",
    "rms_errors.wrists": "wrists m",
    "measures.l1div": "L1Div",
    "measures.bc": "BC",
}
"""Figures of a variant in report.json, and how the short table heads them."""


def summary() -> None:
    """Print the report's place, a short table of metrics and the `mlflow ui` command."""
    from rich.console import Console

    path = Path("reports/report.json")
    if not path.is_file():
        raise PipelineError(f"{path}: missing. Run `dvc repro` first.")
    report = read_json(path)
    console = Console()
    console.print(_variants(report["variants"]))
    for group in ("jaw", "face", "wrists", "head"):
        console.print(_effect(group, report["audio_effect"].get(group)))
    console.print(f"\nreport  {Path('reports/index.html').resolve()}", soft_wrap=True)
    console.print("runs    mlflow ui --backend-store-uri sqlite:///mlflow.db", soft_wrap=True)


def _variants(variants: dict[str, dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("test split", *COLUMNS.values(), box=None, pad_edge=False)
    for name, row in variants.items():
        figures = (_figure(row, key) for key in COLUMNS)
        table.add_row(name, *("–" if each is None else f"{each:.3g}" for each in figures))
    return table


def _figure(row: dict[str, Any], key: str) -> float | None:
    found: Any = row
    for step in (*key.split("."), "value"):
        found = found.get(step) if found else None
    return found


def _effect(group: str, effect: dict[str, Any] | None) -> str:
    if effect is None:
        return f"{group}: right audio was not compared with wrong audio"
    share, by = effect["explained"]["value"], effect["lower_by"]
    clear = "clear of zero" if by["clear_of_zero"] else "not clear of zero"
    return f"{group}: the right audio explains {100 * share:.0f} % of the variance, {clear}"
