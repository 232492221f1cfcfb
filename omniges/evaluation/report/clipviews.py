"""What the page shows of single clips: beats over the waveform, and videos with sound."""

import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omniges.config import EvaluateParams
from omniges.evaluation.beats import beat_times_s
from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.kinematics import WRISTS, kinematics, speed
from omniges.evaluation.report import plots
from omniges.evaluation.scoring import Reference, Variant
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

logger = logging.getLogger(__name__)
BEATS_S = 10.0
Load = Callable[[Variant, Reference], Motion]
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


def beats_plot(variants: Sequence[Variant], reference: Reference, wave: Wave, load: Load) -> str:
    """Loudness, onsets, and the right wrist's speed of each variant."""
    window = SAMPLE_RATE // 50
    n = len(wave) // window
    amplitude = np.abs(wave[: n * window]).reshape(n, window).max(1).astype(np.float64)
    seconds = (np.arange(n) + 0.5) * window / SAMPLE_RATE
    rows = {}
    for variant in variants:
        k = kinematics(load(variant, reference))
        wrist = speed(k.body[:, [WRISTS[1]]], k.fps)
        rows[variant.label] = (
            np.arange(len(wrist)) / k.fps,
            wrist[:, 0],
            beat_times_s(wrist, k.fps, 0.1)[0],
            variant.role,
        )
    span_s = min(BEATS_S, reference.motion.duration_s)
    keep = seconds < span_s
    return plots.beats((seconds[keep], amplitude[keep]), reference.onsets_s, rows, span_s)


def videos(
    folder: Path,
    variants: Sequence[Variant],
    references: Sequence[Reference],
    wave_of: Callable[[str], Wave],
    load: Load,
    options: EvaluateParams,
    render: Callable[..., object],
) -> list[Video]:
    """One MP4 a clip: ground truth, generated, generated from wrong audio, with the clip's own sound."""
    made = []
    for reference in references[: options.num_samples]:
        motions = {
            v.label: load(v, reference) for v in variants if (v.folder / f"{reference.clip}.npz").is_file()
        }
        if not motions:
            continue
        path = folder / f"{reference.clip}.mp4"
        model = Path(options.smplx_model) if options.smplx_model else None
        path.parent.mkdir(parents=True, exist_ok=True)
        render(
            path,
            motions,
            wave_of(reference.clip),
            height=options.video_height,
            max_s=options.video_s,
            smplx_model=model,
        )
        made.append(Video(reference.clip, path, tuple(motions)))
    return made
