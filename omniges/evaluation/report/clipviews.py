"""What the page shows of single clips: beats over the waveform, and videos with sound."""

import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omniges.evaluation.beats import beat_times_s
from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.kinematics import WRISTS, kinematics, speed
from omniges.evaluation.report import plots
from omniges.evaluation.scoring import Reference, Variant
from omniges.log import progress
from omniges.timing import SAMPLE_RATE

logger = logging.getLogger(__name__)
BEATS_S = 10.0
Wave = NDArray[np.float32]


@dataclass(frozen=True)
class Video:
    """A rendered clip."""

    clip: str
    path: Path
    labels: tuple[str, ...]

    def data_uri(self) -> str:
        return "data:video/mp4;base64," + base64.b64encode(self.path.read_bytes()).decode()


def shown(result: Evaluation, variants: Sequence[Variant]) -> list[Variant]:
    """Ground truth, the model's first seed, and the same seed with wrong audio, as far as they are there."""
    by_name = {v.name: v for v in variants}
    model = by_name.get(result.model or "")
    wrong = [v for v in variants if v.role == "wrong-audio" and model is not None and v.seed == model.seed]
    truth = [v for v in variants if v.role == "ground-truth"]
    return [v for v in (*truth, model, *wrong) if v is not None and result.scores[v.name].clips]


def beats_plot(variants: Sequence[Variant], reference: Reference, wave: Wave) -> str:
    """Loudness, onsets, and the right wrist's speed of each variant."""
    window = SAMPLE_RATE // 50
    onsets_s = np.zeros(0) if reference.onsets_s is None else reference.onsets_s
    n = len(wave) // window
    amplitude = np.abs(wave[: n * window]).reshape(n, window).max(1).astype(np.float64)
    seconds = (np.arange(n) + 0.5) * window / SAMPLE_RATE
    rows = {}
    for variant in variants:
        k = kinematics(variant.read(reference).motion)
        wrist = speed(k.body[:, [WRISTS[1]]], k.fps)
        rows[variant.label] = (
            np.arange(len(wrist)) / k.fps,
            wrist[:, 0],
            beat_times_s(wrist, k.fps, 0.1)[0],
            variant.role,
        )
    span_s = min(BEATS_S, len(wave) / SAMPLE_RATE)
    keep = seconds < span_s
    return plots.beats((seconds[keep], amplitude[keep]), onsets_s, rows, span_s)


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How and how many videos are drawn."""

    render: Callable[..., object]  # see `omniges.evaluation.stage.Render`
    clips: int
    height: int
    max_s: float
    smplx_model: Path | None


def videos(
    folder: Path,
    result: Evaluation,
    variants: Sequence[Variant],
    references: Sequence[Reference],
    wave_of: Callable[[str], Wave] | None,
    options: VideoOptions,
) -> list[Video]:
    """One MP4 a clip: ground truth, generated, generated from wrong audio, with the clip's own sound."""
    made = []
    for reference in progress(references[: options.clips], "drawing videos"):
        scored = [v for v in variants if reference.clip in {c.clip for c in result.scores[v.name].clips}]
        motions = {v.label: v.read(reference).motion for v in scored}
        if not motions:
            continue
        path = folder / f"{reference.clip}.mp4"
        options.render(
            path,
            motions,
            wave_of(reference.clip) if wave_of else None,
            height=options.height,
            max_s=options.max_s,
            smplx_model=options.smplx_model,
        )
        made.append(Video(reference.clip, path, tuple(motions)))
    return made
