"""`omniges summary`: where the report is, its main figures, and how to look at the runs."""

from pathlib import Path
from typing import Any

from omniges.errors import PipelineError
from omniges.files import read_json

COLUMNS = {
    "fgd": "FGD",
    "scorer_auc": "AUC",
    "rms_jaw": "jaw rad",
    "rms_face": "face",
    "rms_wrists": "wrists m",
    "l1div": "L1Div",
    "bc": "BC",
}
"""Figures of `variants` in metrics.json, and how the short table heads them."""


def summary() -> None:
    """Print the report's place, a short table of metrics and the `mlflow ui` command."""
    from rich.console import Console

    metrics = Path("reports/metrics.json")
    if not metrics.is_file():
        raise PipelineError(f"{metrics}: missing. Run `dvc repro` first.")
    found = read_json(metrics)
    console = Console()
    console.print(_variants(found["variants"]))
    for group in ("jaw", "face", "wrists", "head"):
        console.print(_effect(group, found["headline"]))
    console.print(f"\nreport  {Path('reports/index.html').resolve()}", soft_wrap=True)
    console.print("runs    mlflow ui --backend-store-uri sqlite:///mlflow.db", soft_wrap=True)


def _variants(variants: dict[str, dict[str, float | None]]) -> Any:
    from rich.table import Table

    table = Table("test split", *COLUMNS.values(), box=None, pad_edge=False)
    for name, figures in variants.items():
        cells = [figures.get(key) for key in COLUMNS]
        table.add_row(name, *("–" if each is None else f"{each:.3g}" for each in cells))
    return table


def _effect(group: str, headline: dict[str, Any]) -> str:
    share = headline.get(f"audio_explains_{group}")
    if share is None:
        return f"{group}: right audio was not compared with wrong audio"
    clear = "clear of zero" if headline.get(f"audio_clear_{group}") else "not clear of zero"
    return f"{group}: the right audio explains {100 * share:.0f} % of the variance, {clear}"
