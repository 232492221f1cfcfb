"""Writes `reports/`: figures for machines, plots and videos as files, and the page that holds them all."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omniges.audio.files import read_wave
from omniges.config import Params
from omniges.data.beat2 import read_motion
from omniges.data.clips import planned
from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.report import clipviews, page, plots, provenance, tables
from omniges.evaluation.report.page import Plot
from omniges.evaluation.scoring import Reference, Variant
from omniges.files import atomic_folder, read_json, write_json
from omniges.motion.layout import PART_NAMES
from omniges.types import Motion
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)


def write(
    result: Evaluation,
    params: Params,
    W: Workspace,
    references: Sequence[Reference],
    variants: Sequence[Variant],
    render: Callable[..., object] | None,
) -> dict[str, Any]:
    """All of `reports/`; see the stage's docstring. Returns how it was made."""
    made = provenance.made_by(params, W, result)
    write_json(W.reports / "metrics.json", tables.headline(result))
    write_json(W.reports / "report.json", tables.full(result, made))
    tables.write_clips(W.reports / "clips.parquet", result)
    waves = {clip.id: clip.wav for clip in planned(params, W)}
    shown = clipviews.shown(result, variants)
    drawn = draw(result, [v.name for v in shown])
    with atomic_folder(W.reports / "plots") as folder:
        drawn["beats"] = Plot(
            clipviews.beats_plot(shown, references[0], read_wave(waves[references[0].clip]), load),
            f"Sound and right wrist of {references[0].clip}. Beats everywhere are no sign of listening.",
        )
        for name, plot in drawn.items():
            (folder / f"{name}.svg").write_text(plot.svg, "utf-8")
    with atomic_folder(W.reports / "videos") as folder:
        made_videos: list[clipviews.Video] = []
        if render is not None:
            made_videos = clipviews.videos(
                folder, shown, references, lambda c: read_wave(waves[c]), load, params.evaluate, render
            )
        page.write(
            W.reports / "index.html",
            result,
            params,
            made,
            list(drawn.values()),
            made_videos,
            tokenizer_figures(W),
            video_note(params, render is not None),
        )
    return made


def load(variant: Variant, reference: Reference) -> Motion:
    """A variant's motion of a clip."""
    return read_motion(variant.folder / f"{reference.clip}.npz")


def draw(result: Evaluation, shown: Sequence[str]) -> dict[str, Plot]:
    """Every plot that has something to show."""
    names = [n for n in (*shown, "mean-pose") if n in result.scores]
    candidates = {
        "audio_effect": (
            plots.audio_effect(result),
            "What the right audio explains, paired over clips; right of zero is listening.",
        ),
        "fgd": (
            plots.fgd(result),
            "FGD against the ground truth of the same clips; dashed: real against real.",
        ),
        "listening": (
            plots.listening(result),
            "The contrastive scorer; mean pose and random clip must sit at chance.",
        ),
        "errors": (
            plots.errors(result, shown),
            "Error by group, relative to standing still at the mean pose.",
        ),
        "spectra": (plots.spectra(result, shown), "How fast the wrists change their speed."),
        "embedding": (
            plots.embedding_map(result, names),
            "The embedder's features; the mean pose is one point.",
        ),
    }
    return {name: Plot(svg, caption) for name, (svg, caption) in candidates.items() if svg is not None}


def tokenizer_figures(W: Workspace) -> dict[str, Any]:
    """What the tokenizers' stage measured on its validation clips, by part: plain numbers and texts only."""
    found: dict[str, Any] = {}
    for part in PART_NAMES:
        path = Path(W.tokenizer(part)) / "report.json"
        if path.is_file():
            figures = read_json(path).get("reconstruction") or {}
            figures = figures.get("val", figures) if isinstance(figures, dict) else {}
            found[part] = {k: v for k, v in figures.items() if isinstance(v, int | float | str)}
    return found


def video_note(params: Params, rendered: bool) -> str:
    """Why there is no video, or on which body it is drawn."""
    if not rendered:
        return "No video: evaluate.render is false or evaluate.num_samples is 0 in params.yaml."
    body = params.evaluate.smplx_model
    return f"Drawn with the SMPL-X model {body}." if body else "Drawn on the project's own body."
