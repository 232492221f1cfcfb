"""Writes `reports/`."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omniges.config import Params
from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.report import page, tables
from omniges.evaluation.scoring import Reference, Variant
from omniges.files import write_json
from omniges.workspace import Workspace

if TYPE_CHECKING:
    from omniges.evaluation.stage import Render

logger = logging.getLogger(__name__)


def write(
    result: Evaluation,
    params: Params,
    W: Workspace,
    references: Sequence[Reference],
    variants: Sequence[Variant],
    render: "Render | None",
) -> None:
    """All of `reports/`; see the stage's docstring."""
    W.reports.mkdir(parents=True, exist_ok=True)
    made: dict[str, Any] = {}
    write_json(W.reports / "metrics.json", tables.headline(result))
    write_json(W.reports / "report.json", tables.full(result, made))
    tables.write_clips(W.reports / "clips.parquet", result)
    page.write(W.reports / "index.html", result, params, made, [], [])
