"""Writes a report's folder: figures for machines, plots and videos as files, and the page that holds them
all.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.report import clipviews, page, plots, tables
from omniges.evaluation.report.clipviews import Video, VideoOptions
from omniges.evaluation.report.page import Plot
from omniges.evaluation.scoring import Reference, Variant
from omniges.files import atomic_folder, write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a report needs beside the figures."""

    name: str  # of the corpus
    made: Mapping[str, Any]  # how it was made; "made_at" at least
    references: Sequence[Reference]
    variants: Sequence[Variant]
    wave_of: Callable[[str], NDArray[np.float32]] | None  # clip → [N] at 16 kHz
    video: VideoOptions | None = None  # None: no videos
    video_note: str = ""
    tokenizers: Mapping[str, Any] = field(default_factory=dict)


def write(folder: Path, result: Evaluation, material: Material) -> None:
    """metrics.json, report.json, clips.parquet, plots/, videos/ and index.html."""
    write_json(folder / "metrics.json", tables.headline(result))
    write_json(folder / "report.json", tables.full(result, dict(material.made)))
    tables.write_clips(folder / "clips.parquet", result)
    shown = clipviews.shown(result, material.variants)
    drawn = draw(result, [v.name for v in shown])
    if material.wave_of is not None and shown:
        drawn["beats"] = beats(result, material, shown)
    with atomic_folder(folder / "plots") as target:
        for name, plot in drawn.items():
            (target / f"{name}.svg").write_text(plot.svg, "utf-8")
    made: list[Video] = []
    with atomic_folder(folder / "videos") as target:
        if material.video is not None:
            made = clipviews.videos(
                target, result, shown, material.references, material.wave_of, material.video
            )
        page.write(folder / "index.html", result, material, list(drawn.values()), made)


def beats(result: Evaluation, material: Material, shown: Sequence[Variant]) -> Plot:
    """Beats of the first clip that every shown variant has."""
    clips = set.intersection(*({c.clip for c in result.scores[v.name].clips} for v in shown))
    reference = next((r for r in material.references if r.clip in clips), None)
    if reference is None or material.wave_of is None:
        return Plot("", "No clip was scored for every variant, so there are no beats to show.")
    return Plot(
        clipviews.beats_plot(shown, reference, material.wave_of(reference.clip)),
        f"Sound and right wrist of {reference.clip}. Beats everywhere are no sign of listening.",
    )


def draw(result: Evaluation, shown: Sequence[str]) -> dict[str, Plot]:
    """Every plot that has something to show."""
    names = [n for n in (*shown, "mean-pose") if n in result.scores]
    windows = result.encoder is not None and result.encoder["context"].startswith("windows")
    candidates = {
        "audio_effect": (
            plots.audio_effect(result),
            "What the right audio explains, paired over clips; right of zero is listening.",
        ),
        "fgd": (
            plots.fgd(result),
            "FGD against the ground truth of the same clips; vertical lines: real against real.",
        ),
        "listening": (
            plots.listening(result),
            "The contrastive scorer; mean pose and random clip must sit at chance.",
        ),
        "errors": (
            plots.errors(result, shown),
            "Error by group, relative to standing still at the mean pose.",
        ),
        "spectra": (
            plots.spectra(result, shown),
            "How much the wrists' speed (above) and jerk (below) changes at which frequency. Above the "
            "ground truth is shakier, below is smoother.",
        ),
        "embedding": (
            plots.embedding_map(result, names),
            "The embedder's features without clips' ends, the middle 98 %; the mean pose may lie outside."
            + (
                " Groups are places in the window: its ends look different for any motion." if windows else ""
            ),
        ),
    }
    return {name: Plot(svg, caption) for name, (svg, caption) in candidates.items() if svg is not None}
