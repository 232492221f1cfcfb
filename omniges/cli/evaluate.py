"""`omniges evaluate`: score anybody's results in BEAT2's format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from omniges.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from omniges.evaluation.evaluation import Evaluation
    from omniges.evaluation.protocol import Published, Tools
    from omniges.evaluation.report.clipviews import VideoOptions

Mode = Literal["correct", "compat", "both"]
Reference = Annotated[Path, typer.Option(help="A BEAT2 tree: the folder that holds train_test_split.csv.")]
Split = Annotated[str, typer.Option(help="Whose clips are scored.")]
EmbedderOption = Annotated[
    Path | None,
    typer.Option(
        help="AESKConv_240_100.bin or an embedder's folder; without it one is trained on the train split."
    ),
]
Context = Annotated[
    int | None,
    typer.Option(min=16, help="Frames fed to FGD's network at once, in 16s; whole clips by default."),
]
Seed = Annotated[int, typer.Option(help="Of the bootstrap.")]
Bootstrap = Annotated[int, typer.Option(min=1, help="Resamples of clips behind every interval.")]
BootstrapFgd = Annotated[int, typer.Option(min=1, help="The same for FGD.")]
Smplx = Annotated[
    Path | None,
    typer.Option(help="SMPLX_NEUTRAL_2020.npz: for compat mode, and for videos of its mesh."),
]


def evaluate(
    results: Annotated[
        Path, typer.Argument(metavar="PRED_DIR", help="Folder of CLIP.npz (or res_CLIP.npz) files.")
    ],
    reference: Reference,
    out: Annotated[Path, typer.Option(help="Where the report is written.")] = Path("scores"),
    split: Split = "test",
    mode: Annotated[
        Mode, typer.Option(help="correct: the headline; compat: the published protocol; both: side by side.")
    ] = "correct",
    embedder: EmbedderOption = None,
    weights: Annotated[
        Path | None, typer.Option(help="compat: AESKConv_240_100.bin; by default the tree's own.")
    ] = None,
    smplx: Smplx = None,
    mean_vel: Annotated[
        Path | None, typer.Option(help="compat: mean_vel_smplxflame_30.npy; by default the tree's own.")
    ] = None,
    render: Annotated[
        bool, typer.Option("--render/--no-render", help="Draw videos of results beside ground truth.")
    ] = False,
    num_samples: Annotated[int, typer.Option(min=1, help="Clips that get a video.")] = 4,
    context_frames: Context = None,
    seed: Seed = 29,
    bootstrap: Bootstrap = 1000,
    bootstrap_fgd: BootstrapFgd = 200,
) -> None:
    """Score a folder of results against BEAT2; writes a page, metrics.json, report.json and clips.parquet."""
    from omniges.evaluation.evaluation import Options
    from omniges.evaluation.standalone import Task, score_folder, score_published_only

    tools = None if mode == "correct" else _tools(reference, weights, smplx, mean_vel)
    task = Task(
        results=results,
        root=reference,
        out=out,
        split=split,
        embedder=embedder or (weights if mode == "both" else None),
        options=Options(seed=seed, bootstrap=bootstrap, bootstrap_fgd=bootstrap_fgd),
        context_frames=checked_context(context_frames),
        video=_video(num_samples, smplx) if render else None,
        published=tools,
    )
    if mode == "compat" and tools is not None:
        print_published(score_published_only(task, tools))
        typer.echo(out / "published.json")
        return
    result = score_folder(task)
    _print_result(result)
    if result.published is not None:
        print_published(result.published)
    typer.echo(out / "index.html")


def _tools(root: Path, weights: Path | None, smplx: Path | None, mean_vel: Path | None) -> "Tools":
    from omniges.evaluation.protocol import MEAN_VELOCITY, WEIGHTS, Tools

    if smplx is None:
        raise EvaluationError(
            "compat mode: no SMPL-X file. Name SMPLX_NEUTRAL_2020.npz with --smplx (it needs a licence)."
        )
    return Tools.load(weights or root / WEIGHTS, smplx, mean_vel or root / MEAN_VELOCITY)


def _video(clips: int, smplx: Path | None) -> "VideoOptions":
    from omniges.evaluation.report.clipviews import VideoOptions
    from omniges.rendering.video import render_comparison

    return VideoOptions(render=render_comparison, clips=clips, height=480, max_s=20.0, smplx_model=smplx)


def checked_context(frames: int | None) -> int | None:
    if frames is not None and frames % 16:
        raise EvaluationError(f"--context-frames: got {frames}, wanted a multiple of 16 (one feature).")
    return frames


MEASURES = ("scorer_auc", "bc_difference", "bc", "l1div", "jerk", "foot_sliding")


def _print_result(result: "Evaluation") -> None:
    from omniges.evaluation.report import words
    from omniges.evaluation.report.page import COLUMNS, distance_cell, sample
    from omniges.log import console

    titles = {c.measure: c.title for c in COLUMNS}
    distances = _table(("clips", "FGD (95 % interval)"))
    measures = _table([titles[m] for m in MEASURES])
    for x in result.summaries.values():
        distances.add_row(x.label, str(x.n_clips), distance_cell(x.fgd))
        values = (words.number(x.measures[m].value if m in x.measures else None) for m in MEASURES)
        measures.add_row(x.label, *values)
    console.print(sample(result), markup=False)
    console.print("", distances, "", measures, sep="\n")
    for scores in result.scores.values():
        for fault in scores.faults:
            console.print(f"not scored: {fault.clip}: {fault.problem}", markup=False)
    for note in result.summaries["results"].notes:
        console.print(f"note: {note}", markup=False)


def _table(headings: "Sequence[str]") -> "Table":
    """A table whose first column, the variant, wraps where a terminal is narrow; figures never do."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("variant", overflow="fold")
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="right")
    return table


def print_published(found: "Published") -> None:
    """The published protocol's figures, and the hashes of what they were made with."""
    from omniges.evaluation.report.words import number
    from omniges.log import console

    columns = {"fgd": "FGD", "bc": "BC", "l1div": "L1Div", "face_mse": "MSE m²", "lvd": "LVD m"}
    for protocol, rows in found.figures.items():
        table = _table(("clips", "frames", *columns.values()))
        for label, row in rows.items():
            cells = [number(row.get(key), 5) for key in columns]
            table.add_row(label, f"{row['clips']:.0f}", f"{row['frames']:.0f}", *cells)
        console.print(f"\npublished protocol, faults included: {protocol}", table, sep="\n")
    for purpose, digest in found.hashes.items():
        console.print(f"{purpose} SHA-256 {digest}", markup=False, soft_wrap=True)
    console.print(
        "Only with the authors' own weights can FGD be held against printed values.",
        markup=False,
    )
    for fault in found.faults:
        console.print(f"not scored: {fault.clip}: {fault.problem}", markup=False)
