"""The plan in a few lines: a row a stage, with what a run would compute and about how long that takes."""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omniges.pipeline.manifest import read_manifest
from omniges.pipeline.plan import Plan
from omniges.pipeline.reasons import Changes, changes
from omniges.pipeline.units import Unit


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stage, or one of its units."""

    name: str
    state: str  # fresh, restorable, stale, missing, off, or unknown (the corpus has yet to be made)
    jobs: int  # units that would run
    units: int
    results: int | None  # clips, parts or stages to compute; None while the corpus is unknown
    seconds: float | None  # of one process, by earlier runs; None where there were none
    why: str


class Durations:
    """What earlier runs took, from the runner's record.

    Args:
        ran: the record; a line for each unit that was computed.
    """

    def __init__(self, ran: Path) -> None:
        self._each: dict[str, float] = {}  # seconds of one result, by unit and by stage; the last run counts
        self._longest: dict[str, float] = {}  # of all runs, by unit
        for line in ran.read_text("utf-8", errors="replace").splitlines() if ran.is_file() else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a full disk cuts lines short
                row = json.loads(line)
                if not row["failed"] and row["items"]:
                    self._each[row["unit"]] = self._each[row["stage"]] = row["seconds"] / len(row["items"])
                    self._longest[row["unit"]] = max(row["seconds"], self._longest.get(row["unit"], 0.0))

    def of(self, unit: Unit, results: int | None) -> float | None:
        """Seconds for so many of a unit's results; a unit that never ran is like others of its stage. Where
        it is unknown how many, what its longest run took.
        """
        if results is None:
            return self._longest.get(unit.name)
        each = self._each.get(unit.name, self._each.get(unit.stage.name))
        return None if each is None else each * results


def summarise(plan: Plan, ran: Path) -> list[Row]:
    """One row a stage.

    Args:
        plan: the plan.
        ran: the runner's record of what was computed, and how long it took.
    """
    durations = Durations(ran)
    return [row_of(plan, stage, plan.of_stage(stage), durations) for stage in plan.graph.stages]


def row_of(plan: Plan, name: str, units: list[Unit], durations: Durations) -> Row:
    """Units of one stage in a row."""
    if units[0].stage.off:
        why = f"{units[0].stage.off} is false"
        return Row(name=name, state="off", jobs=0, units=len(units), results=0, seconds=None, why=why)
    states = [plan.state(unit) for unit in units]
    waiting = [unit for unit, (state, _) in zip(units, states, strict=True) if state in ("stale", "unknown")]
    results = [missing_results(plan, unit) for unit in waiting]
    known = [n for n in results if n is not None]
    seconds = [durations.of(unit, n) for unit, n in zip(waiting, results, strict=True)]
    timed = [each for each in seconds if each is not None]
    return Row(
        name=name,
        state=_state(units, {state for state, _ in states}),
        jobs=len(waiting),
        units=len(units),
        results=None if len(known) < len(results) else sum(known),
        seconds=sum(timed) if len(timed) == len(waiting) else None,
        why=_why(units, states),
    )


def missing_results(plan: Plan, unit: Unit) -> int | None:
    """How many of a unit's items would be computed; None while the corpus is unknown."""
    if unit.items is None:
        return None
    if plan.state(unit)[1] == "forced":
        return len(unit.items)
    return max(1, sum(plan.resolve(unit, item) is None for item in unit.items))


def expected_seconds(plan: Plan, ran: Path) -> dict[str, float | None]:
    """Units that need a job, and how long each may take."""
    durations, found = Durations(ran), {}
    for unit in plan.to_run():
        results = missing_results(plan, unit)
        found[unit.name] = durations.of(unit, results)
    return found


def total(rows: Iterable[Row]) -> str:
    """What a run would do, in a sentence; empty if nothing."""
    rows = list(rows)
    work = [row for row in rows if row.jobs]
    back = sum(row.state == "restorable" for row in rows)
    parts = []
    if work:
        jobs, results = sum(row.jobs for row in work), [row.results for row in work]
        counted = "" if None in results else f", results: {sum(n or 0 for n in results)}"
        what = f"compute {len(work)} of {_stages(len(rows))} (jobs: {jobs}{counted}): "
        parts.append(what + _time_of([row for row in work if row.results is not None]))
        if open_ := [row for row in work if row.results is None]:
            seconds = sum(row.seconds or 0.0 for row in open_)
            parts[-1] += f", then up to {duration(seconds)}" if seconds else ", then an unknown time"
            parts[-1] += f" in {_stages(len(open_))} that the new corpus decides about"
    if back:
        parts.append(f"bring back {_stages(back)} from earlier runs")
    return "; and ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{math.ceil(seconds) if seconds < 1 else round(seconds)} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _time_of(work: list[Row]) -> str:
    timed = [row.seconds for row in work if row.seconds is not None]
    if not timed:
        return "no earlier run says how long"
    rest = len(work) - len(timed)
    unknown = f", and {_stages(rest)} that never ran here" if rest else ""
    return f"about {duration(sum(timed))} of work{unknown}"


def _stages(count: int) -> str:
    return f"{count} stage{'' if count == 1 else 's'}"


def _state(units: list[Unit], states: set[str]) -> str:
    worst = next((state for state in ("unknown", "stale", "restorable") if state in states), "fresh")
    if worst == "stale" and not any(unit.manifest.is_file() for unit in units):
        return "missing"
    return worst


def _why(units: Sequence[Unit], states: Sequence[tuple[str, str]]) -> str:
    """Reasons of all units together: what differs is added up, whatever else it may be is counted."""
    together, others = Changes(), Counter[str]()
    for unit, (state, why) in zip(units, states, strict=True):
        sealed = read_manifest(unit.manifest) if state in ("stale", "restorable") else None
        if sealed is not None and sealed.key != unit.key:
            together.add(changes(unit, sealed))
        elif why:
            others[why] += 1
    counted = [text if n in (1, len(units)) else f"{text} ({n} jobs)" for text, n in others.most_common(2)]
    return "; ".join(filter(None, [together.text(), *counted]))
