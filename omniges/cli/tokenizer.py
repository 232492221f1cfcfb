"""`omniges tokenizer`: convert a published tokenizer (`.pth`) to a checkpoint folder, or back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omniges.errors import CheckpointError
from omniges.motion.layout import PART_NAMES

if TYPE_CHECKING:
    from omniges.tokenizers.published import Row


def tokenizer(
    source: Annotated[Path, typer.Argument(help="A .pth file, or a tokenizer's checkpoint folder.")],
    target: Annotated[Path, typer.Argument(help="The folder, or the .pth file, to make.")],
    part: Annotated[str, typer.Option(help="upper, hands, lower_trans or face.")],
    statistics: Annotated[
        Path | None,
        typer.Option(help="Folder with the published *330_{mean,std}.npy and *trans_{mean,std}.npy."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every tensor, not only those that don't fit.")
    ] = False,
) -> None:
    """Convert a published net_300000_PART.pth into a checkpoint folder, or such a folder into a .pth file."""
    if part not in PART_NAMES:
        raise CheckpointError(f"--part {part}: wanted one of {', '.join(PART_NAMES)}.")
    if source.is_dir():
        _export(source, target, part)
    else:
        _import(source, target, part, statistics, every)


def _import(source: Path, target: Path, part: str, statistics: Path | None, every: bool) -> None:
    from omniges.tokenizers import published
    from omniges.tokenizers.checkpoints import save_part

    state = published.read_state(source)
    rows = published.compare(state, published.config_from_state(state, part, source))
    _print_table(rows, every)
    model = published.load_published(source, part)
    found = published.statistics_in(part, statistics)
    save_part(target, part, model, found, fps=None, provenance=published.provenance(source))
    print(f"{target}: {part} tokenizer, {model.config.channels} channels, width {model.config.width}.")


def _export(source: Path, target: Path, part: str) -> None:
    from omniges.tokenizers import published
    from omniges.tokenizers.checkpoints import read_part

    model, _ = read_part(source, part)
    published.write_published(target, model)
    print(f"{target}: {part} tokenizer. Its mean and deviation stay in {source / 'statistics.safetensors'}.")


def _print_table(rows: "list[Row]", every: bool) -> None:
    from rich.table import Table

    from omniges.log import console

    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in _VERDICTS}
    shown = rows if every else [row for row in rows if row.verdict != "found"]
    if shown:
        table = Table("tensor", "found", "wanted", "verdict")
        for row in shown:
            table.add_row(row.key, _shape(row.found), _shape(row.wanted), row.verdict)
        console.print(table)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


_VERDICTS = ("found", "missing", "other shape", "unexpected")


def _shape(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else " x ".join(map(str, shape)) or "scalar"
