"""Machine-readable results: a short, flat metrics.json for `dvc metrics`, a full report.json, a Parquet row
per clip and variant.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.reconstruction import GROUPS, Interval, finite
from omniges.evaluation.report import words
from omniges.evaluation.summary import Distance
from omniges.files import atomic_path

PLAIN = {"scorer_auc": "auc", "bc": "bc", "l1div": "l1div", "foot_sliding": "foot_sliding"}
"""Measures of the headline, and their short names there."""


def headline(result: Evaluation) -> dict[str, float]:
    """About a dozen plain numbers that runs are compared by: the model's first seed, on the split that
    report.json names. What was not measured, and bounds of an interval that does not exist (one clip), are
    left out. `heard_GROUP` is the share of the group's variance that the right audio explains.
    """
    flat: dict[str, float] = {}
    model = result.summaries.get(result.model or "")
    if model and model.fgd:
        flat |= {"fgd": model.fgd.value} | _bounds("fgd", model.fgd)
    flat |= {f"heard_{g}": result.effects[g].explained.value for g in GROUPS if g in result.effects}
    if model:
        flat |= {short: model.measures[m].value for m, short in PLAIN.items() if m in model.measures}
    return flat | {"clips": model.n_clips if model else 0}


def tracked(result: Evaluation) -> dict[str, float]:
    """The headline with every interval, and two baselines' FGD for scale: what a tracker is given."""
    flat = headline(result)
    model = result.summaries.get(result.model or "")
    for name in ("mean-pose", "latent-flow"):
        baseline = result.summaries.get(name)
        if baseline and baseline.fgd:
            flat[f"fgd_{name.replace('-', '_')}"] = baseline.fgd.value
    for m, short in PLAIN.items():
        if model and m in model.measures:
            flat |= _bounds(short, model.measures[m])
    for group in (g for g in GROUPS if g in result.effects):
        flat |= _bounds(f"heard_{group}", result.effects[group].explained)
    return flat


def _bounds(name: str, x: Distance | Interval) -> dict[str, float]:
    """The interval's ends, where it has some."""
    ends = {f"{name}_low": x.low, f"{name}_high": x.high}
    return {key: end for key, end in ends.items() if finite(end) is not None}


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
