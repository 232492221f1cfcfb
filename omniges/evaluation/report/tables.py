"""Machine-readable results: a short metrics.json for `dvc metrics`, a full report.json, a Parquet row per
clip and variant.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.reconstruction import GROUPS, finite
from omniges.evaluation.report import words
from omniges.files import atomic_path


def headline(result: Evaluation) -> dict[str, Any]:
    """The few figures that runs are compared by; every one on the split that report.json names. The bounds of
    an interval that does not exist (one clip) are left out.
    """
    rows: dict[str, Any] = {}
    for name, x in result.summaries.items():
        row: dict[str, Any] = {"fgd": x.fgd.value if x.fgd else None, "kid": x.kid.value if x.kid else None}
        for measure in ("l1div", "bc", "bc_difference", "scorer_auc", "scorer_r1", "pause_ratio"):
            row[measure] = x.measures[measure].value if measure in x.measures else None
        row |= {f"rms_{group}": x.rms_errors[group].value for group in GROUPS if group in x.rms_errors}
        rows[name] = {k: v for k, v in row.items() if v is not None}
    audio = {
        group: _finite(
            lower_by=e.lower_by.value,
            low=e.lower_by.low,
            high=e.lower_by.high,
            explained=e.explained.value,
        )
        for group, e in result.effects.items()
    }
    floors = {f"fgd_{k}": v for k, v in result.floors.items()}
    return {"headline": first_figures(result), "variants": rows, "audio_effect": audio, "floors": floors}


def _finite(**figures: float) -> dict[str, float]:
    return {name: value for name, value in figures.items() if finite(value) is not None}


def first_figures(result: Evaluation) -> dict[str, Any]:
    """A flat handful: the model's first seed beside the mean pose."""
    flat: dict[str, Any] = {}
    model = result.summaries.get(result.model or "")
    still = result.summaries.get("mean-pose")
    if model and model.fgd:
        flat |= _finite(fgd=model.fgd.value, fgd_low=model.fgd.low, fgd_high=model.fgd.high)
    if still and still.fgd:
        flat["fgd_mean_pose"] = still.fgd.value
    if model:
        flat |= {m: model.measures[m].value for m in ("scorer_auc", "bc", "l1div") if m in model.measures}
        if "scorer_auc" in model.measures:
            auc = model.measures["scorer_auc"]
            flat |= _finite(scorer_auc_low=auc.low, scorer_auc_high=auc.high)
    for group in (g for g in GROUPS if g in result.effects):
        explained = result.effects[group].explained
        name = f"audio_explains_{group}"
        flat |= _finite(
            **{name: explained.value, f"{name}_low": explained.low, f"{name}_high": explained.high}
        )
    flat |= {
        f"audio_clear_{g}": int(result.effects[g].lower_by.above_zero) for g in GROUPS if g in result.effects
    }
    flat["clips"] = model.n_clips if model else 0
    return flat


def full(result: Evaluation, made: dict[str, Any]) -> dict[str, Any]:
    """Everything, with intervals, n and encoders; report.schema.json beside this module describes it."""
    return {
        "schema": 2,
        "split": result.split,
        "encoder": result.encoder,
        "scorer_sha256": result.scorer_hash,
        "bootstrap": dict(result.bootstrap),
        "variants": {name: x.as_dict() for name, x in result.summaries.items()},
        "audio_effect": {name: x.as_dict() for name, x in result.effects.items()},
        "comparisons": [x.as_dict() for x in result.comparisons],
        "floors": result.floors,
        "listening": result.listening,
        "share_of_ceiling": result.share_of_ceiling(),
        "blind": words.blind(result),
        "not_scored": [f.__dict__ for s in result.scores.values() for f in s.faults],
        "published_protocol": result.published.as_dict() if result.published else None,
        "made": made,
    }


def write_clips(path: Path, result: Evaluation) -> None:
    """One row per clip and variant; columns are measures, `error_GROUP` are squared errors."""
    rows = [
        {
            "variant": name,
            "role": s.variant.role,
            "clip": c.clip,
            "speaker": c.speaker,
            "n_frames": c.n_frames,
        }
        | c.values
        | {f"error_{group}": value for group, value in c.errors.items()}
        | {"notes": "; ".join(c.notes)}
        for name, s in result.scores.items()
        for c in s.clips
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({key: [row.get(key) for row in rows] for key in columns})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
