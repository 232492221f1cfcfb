"""The page: one self-contained HTML file that a person reads from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.report import words
from omniges.evaluation.report.clipviews import Video
from omniges.evaluation.report.published import PUBLISHED
from omniges.evaluation.report.words import number, percent
from omniges.evaluation.summary import Distance, VariantSummary
from omniges.files import atomic_path

if TYPE_CHECKING:
    from omniges.evaluation.report.write import Material


@dataclass(frozen=True)
class Column:
    """A column of the main table."""

    measure: str
    title: str
    better: str  # "lower", "higher", "near": to the ground truth's value
    meaning: str
    scale: float = 1.0


COLUMNS = (
    Column(
        "scorer_auc", "AUC", "higher", "own audio told from wrong audio by the trained scorer; .5 is deaf"
    ),
    Column("scorer_r1", "R@1", "higher", "own audio found among ten; .1 is deaf"),
    Column(
        "bc_difference",
        "ΔBC",
        "near",
        "beat consistency with own minus wrong audio: 0 is deaf; the corpus decides its sign",
    ),
    Column("pause_ratio", "pause / speech", "near", "wrist speed in pauses over that in speech"),
    Column("bc", "BC", "near", "beat consistency: can't tell ground truth from smooth noise"),
    Column("l1div", "L1Div", "near", "spread within a clip, m: rises with noise and drift"),
    Column("wrist_speed", "wrist m/s", "near", "mean wrist speed"),
    Column("jerk", "jerk m/s³", "near", "mean wrist jerk"),
    Column("foot_sliding", "foot m/s", "near", "horizontal speed of the lowest foot"),
    Column("root_drift", "drift m/min", "near", "pelvis between first and last frame"),
)


@dataclass(frozen=True)
class Plot:
    """An SVG with what stands beneath it."""

    svg: str
    caption: str


def write(
    path: Path, result: Evaluation, material: "Material", plots: Sequence[Plot], videos: Sequence[Video]
) -> None:
    """Fill the template and write the page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("omniges.evaluation.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "distance": distance_cell}
    text = environment.get_template("page.html").render(
        result=result,
        name=material.name,
        made=material.made,
        plots=plots,
        videos=videos,
        video_note=material.video_note,
        verdict=words.verdict(result),
        rows=rows(result),
        columns=COLUMNS,
        blind=[c for c in COLUMNS if c.measure in set(words.blind(result))],
        sample=sample(result),
        groups=list(dict.fromkeys(g for x in result.summaries.values() for g in x.rms_errors)),
        group_names=words.GROUP_NAMES,
        units=words.UNITS,
        tokenizers=material.tokenizers,
        model_label=result.summaries[result.model].label if result.model else "",
        published=PUBLISHED,
        faults=[(s.variant.label, f) for s in result.scores.values() for f in s.faults],
        notes=[(x.label, n) for x in result.summaries.values() for n in x.notes],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")


def rows(result: Evaluation) -> list[VariantSummary]:
    """Variants in reading order: truth, model, wrong audio, baselines."""
    order = {"ground-truth": 0, "model": 1, "wrong-audio": 2, "baseline": 3}
    return sorted((x for x in result.summaries.values() if x.n_clips), key=lambda x: order[x.role])


def sample(result: Evaluation) -> str:
    """What stands under every table: split, n, encoder."""
    model = result.summaries.get(result.model or "")
    text = f"split {result.split}"
    if model:
        text += f", n = {model.n_clips} clips, {model.n_frames} frames"
        text += f", {model.fgd.n_vectors} vectors" if model.fgd else ""
    if result.encoder:
        text += f"; encoder: {result.encoder['label']} ({result.encoder['sha256'][:12]}), fed "
        text += result.encoder["context"]
    return text


def distance_cell(x: Distance | None, scale: float = 1.0) -> str:
    """A distance with its interval, as plain text."""
    if x is None:
        return "–"
    if x.n_clips < 2:
        return f"{number(x.value * scale)} (one clip)"
    return f"{number(x.value * scale)} ({number(x.low * scale)} to {number(x.high * scale)})"
