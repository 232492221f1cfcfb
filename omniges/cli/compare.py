"""`omniges compare`: whether two runs differ, in words."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniges.cli.evaluate import (
    Bootstrap,
    BootstrapFgd,
    Context,
    EmbedderOption,
    Seed,
    Split,
    checked_context,
)

if TYPE_CHECKING:
    from omniges.evaluation.compare import RunComparison, Side
    from omniges.evaluation.evaluation import Options
    from omniges.evaluation.standalone import Task


def compare(
    a: Annotated[str, typer.Argument(help="A report's folder, an MLflow run (id or name), or results.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    reference: Annotated[
        Path | None, typer.Option(help="A BEAT2 tree: A and B are folders of results, scored first.")
    ] = None,
    out: Annotated[Path, typer.Option(help="With --reference: where both reports are written.")] = Path(
        "scores"
    ),
    split: Split = "test",
    embedder: EmbedderOption = None,
    context_frames: Context = None,
    seed: Seed = 29,
    bootstrap: Bootstrap = 1000,
    bootstrap_fgd: BootstrapFgd = 200,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Say in words whether two runs differ: a paired bootstrap over the clips that both scored."""
    from omniges.evaluation.compare import compare_runs, read_side
    from omniges.evaluation.evaluation import Options
    from omniges.files import write_json
    from omniges.log import console

    options = Options(seed=seed, bootstrap=bootstrap, bootstrap_fgd=bootstrap_fgd)
    if reference is None:
        sides = [_side(name) for name in (a, b)]
    else:
        task = _task(reference, out, split, embedder, checked_context(context_frames), options)
        sides = [read_side(folder, label) for label, folder in _scored((Path(a), Path(b)), task)]
    found = compare_runs(sides[0], sides[1], seed, bootstrap)
    console.print(_comparison_table(found))
    for why in found.left_out:
        console.print(f"left out: {why}", markup=False)
    for line in found.in_words():
        console.print(line, markup=False)
    if json is not None:
        write_json(json, found.as_dict())


def _task(
    root: Path, out: Path, split: str, embedder: Path | None, context: int | None, options: "Options"
) -> "Task":

    from omniges.evaluation.own_scorer import train_own
    from omniges.evaluation.standalone import Task, judge_of
    from omniges.evaluation.tree import Tree, train_sample

    task = Task(
        results=root,
        root=root,
        out=out,
        split=split,
        embedder=embedder,
        options=options,
        context_frames=context,
    )
    # trained once, so that both sides are measured by the same networks
    tree = Tree.at(root)
    train = train_sample(tree)
    task = replace(task, scorer=train_own(train, tree.wave)[0])
    return task if embedder else replace(task, embedder=judge_of(task, train))


def _scored(folders: tuple[Path, Path], task: "Task") -> list[tuple[str, Path]]:
    """Score both folders; (label, report's folder) of each."""
    from omniges.evaluation.standalone import score_folder

    names = [folder.name for folder in folders]
    labels = names if names[0] != names[1] else ["a", "b"]
    found = []
    for label, folder in zip(labels, folders, strict=True):
        score_folder(replace(task, results=folder, out=task.out / label))
        found.append((label, task.out / label))
    return found


def _side(name: str) -> "Side":
    """A report on this disk, or that of the MLflow run of this id or name."""
    from omniges.evaluation.compare import read_side

    if Path(name).is_dir():
        return read_side(Path(name), name.rstrip("/"))
    from omniges.tracked import fetch

    with TemporaryDirectory() as scratch:
        fetch(name, ("report.json", "clips.parquet"), Path(scratch))
        return read_side(Path(scratch), name)


def _comparison_table(found: "RunComparison") -> Any:
    from rich.table import Table

    from omniges.evaluation.report.words import number

    table = Table(
        title=f"{found.clips} clips, differences B − A with 95 % intervals",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("figure (better)")
    for heading in (f"A: {found.a}", f"B: {found.b}", "B − A", "told apart"):
        table.add_column(heading, justify="right")
    words = {"a": "A is better", "b": "B is better", None: "no"}
    for x in found.differences:
        span = f"{number(x.by.value)} ({number(x.by.low)} to {number(x.by.high)})"
        table.add_row(f"{x.name} ({x.better})", number(x.a), number(x.b), span, words[x.winner])
    return table
