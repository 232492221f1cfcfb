"""`omniges evaluate`: score anybody's results in BEAT2's format."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    results: Annotated[
        Path, typer.Argument(metavar="PRED_DIR", help="Folder of CLIP.npz (or res_CLIP.npz) files.")
    ],
    reference: Annotated[
        Path, typer.Option(help="A BEAT2 tree: the folder that holds train_test_split.csv.")
    ],
    out: Annotated[Path, typer.Option(help="Where the report is written.")] = Path("scores"),
    split: Annotated[str, typer.Option(help="Whose clips are scored.")] = "test",
    embedder: Annotated[
        Path | None,
        typer.Option(
            help="AESKConv_240_100.bin or an embedder's folder; without it one is trained on the train split."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 29,
    bootstrap: Annotated[int, typer.Option(help="Resamples of clips behind every interval.")] = 1000,
    bootstrap_fgd: Annotated[int, typer.Option(help="The same for FGD.")] = 200,
) -> None:
    """Score a folder of results against BEAT2, and write metrics.json, clips.parquet and a page."""
    from rich.table import Table

    from omniges.evaluation.evaluation import Options
    from omniges.evaluation.report import words
    from omniges.evaluation.report.page import distance_cell, sample
    from omniges.evaluation.standalone import score_folder
    from omniges.log import console

    options = Options(seed=seed, bootstrap=bootstrap, bootstrap_fgd=bootstrap_fgd)
    result = score_folder(results, reference, out, split=split, embedder=embedder, options=options)
    table = Table(title=sample(result), title_justify="left")
    measures = ("bc", "bc_difference", "l1div", "jerk", "foot_sliding")
    for heading in ("variant", "clips", "FGD (95 % interval)", *measures):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for x in result.summaries.values():
        values = [words.number(x.measures[m].value if m in x.measures else None) for m in measures]
        table.add_row(x.label, str(x.n_clips), distance_cell(x.fgd), *values)
    console.print(table)
    for scores in result.scores.values():
        for fault in scores.faults:
            console.print(f"not scored: {fault.clip}: {fault.problem}", markup=False)
    for note in result.summaries["results"].notes:
        console.print(f"note: {note}", markup=False)
    typer.echo(out / "index.html")
