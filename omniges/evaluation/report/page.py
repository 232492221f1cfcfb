"""The page."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omniges.config import Params
from omniges.evaluation.evaluation import Evaluation
from omniges.files import atomic_path


def write(
    path: Path,
    result: Evaluation,
    params: Params,
    made: dict[str, Any],
    plots: Sequence[Any],
    videos: Sequence[Any],
) -> None:
    lines = [e.in_words() for e in result.effects.values()] + [c.in_words() for c in result.comparisons]
    with atomic_path(path) as temporary:
        temporary.write_text(
            "<!doctype html><title>Omniges</title>" + "".join(f"<p>{html.escape(x)}</p>" for x in lines),
            "utf-8",
        )
