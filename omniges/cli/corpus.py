"""`omniges corpus`: make the demo corpus outside the pipeline, or show its card."""

from pathlib import Path
from typing import Annotated

import typer

from omniges.config import load_params
from omniges.errors import DataError
from omniges.workspace import Workspace


def corpus(
    params_file: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
    show: Annotated[bool, typer.Option("--show", help="Only print the card that is there.")] = False,
) -> None:
    """Make the corpus that the parameters ask for, unless it is there, and print its card."""
    params = load_params(params_file)
    W = Workspace.of(params)
    if not show:
        from omniges.corpus.stage import run

        run(params, W)
    page = W.corpus_card / "card.md"
    if not page.exists():
        raise DataError(f"{page}: not there yet. Run `omniges corpus` without --show, or the pipeline.")
    print(page.read_text("utf-8"))
