"""The plan in a few lines: a row a stage."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from omniges.pipeline.plan import Plan
from omniges.pipeline.units import Unit


@dataclass(frozen=True)
class Row:
    stage: str
    state: str
    jobs: str  # units that would run, of all
    duration: str  # of the same units in their last runs
    why: str


def summarise(plan: Plan, ran: Path) -> list[Row]:
    """One row a stage.

    Args:
        plan: the plan.
        ran: the runner's record of what was computed, and how long it took.
    """
    seconds = _last_seconds(ran)
    return [_row(plan, plan.of_stage(stage), seconds) for stage in plan.graph.stages]


def _row(plan: Plan, units: list[Unit], seconds: dict[str, float]) -> Row:
    states = [plan.state(unit) for unit in units]
    counts = Counter(state for state, _ in states)
    state = next((name for name in ("unknown", "stale", "restorable") if counts[name]), "fresh")
    waiting = [unit for unit, (each, _) in zip(units, states, strict=True) if each in ("stale", "unknown")]
    known = [seconds[unit.name] for unit in waiting if unit.name in seconds]
    reasons = Counter(why for each, why in states if why and each != "fresh")
    why = "; ".join(f"{text} ({n}×)" if n > 1 else text for text, n in reasons.most_common(2))
    return Row(
        stage=units[0].stage.name,
        state=state,
        jobs=f"{len(waiting)}/{len(units)}" if waiting else "",
        duration=f"{sum(known):.0f} s" if known else "",
        why=why,
    )


def _last_seconds(ran: Path) -> dict[str, float]:
    if not ran.is_file():
        return {}
    rows = [json.loads(line) for line in ran.read_text("utf-8").splitlines()]
    return {row["unit"]: row["seconds"] for row in rows if not row["failed"]}
