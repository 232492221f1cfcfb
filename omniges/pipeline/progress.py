"""How far a run has come, over the whole pipeline and whichever tool started it.

`dvc repro` starts Snakemake once a stage, and each of these sees its own jobs alone. So what is left to do
is written down at each start; while it only shrinks, it is still the same run. Each job adds its name at its
end.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omniges.files import atomic_path, read_json, write_json
from omniges.pipeline.status import duration


@dataclass(frozen=True)
class Left:
    """Where a run stands."""

    done: int
    jobs: int
    seconds: float | None  # of work that is left; None where no earlier run tells
    share: float | None  # of work that is done

    def text(self) -> str:
        """In words, for a log."""
        text = f"pipeline: {self.done} of {self.jobs} jobs done"
        if self.seconds is None or self.share is None:
            return text
        return f"{text}, {100 * self.share:.0f} % of the work; about {duration(self.seconds)} of work left"


class Progress:
    """The record of one run.

    Args:
        folder: the pipeline's own records.
    """

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "progress.json"
        self._log = folder / "progress.done"

    def start(self, waiting: Mapping[str, float | None]) -> None:
        """Begin a run, or go on with one that has not come to its end.

        Args:
            waiting: units that need a job, of the whole graph, with the seconds that each may take.
        """
        jobs = self._jobs()
        over = set(jobs) <= self._finished()
        if over or not waiting.keys() <= jobs.keys():
            jobs = {}
        write_json(self._plan, {**jobs, **waiting})
        with atomic_path(self._log) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in jobs if name not in waiting), "utf-8")

    def finish(self, unit: str) -> Left | None:
        """Note that a unit is whole; None if it belongs to no run, as when a job is run alone."""
        jobs = self._jobs()
        if unit not in jobs:
            return None
        with self._log.open("a", encoding="utf-8") as stream:  # one short write: parallel jobs don't mix
            stream.write(f"{unit}\n")
        finished = self._finished() & jobs.keys()
        seconds = {name: each for name, each in jobs.items() if each is not None}
        whole = sum(seconds.values())
        if len(seconds) < len(jobs) or not whole:
            return Left(done=len(finished), jobs=len(jobs), seconds=None, share=None)
        left = sum(each for name, each in seconds.items() if name not in finished)
        return Left(done=len(finished), jobs=len(jobs), seconds=left, share=1 - left / whole)

    def _jobs(self) -> dict[str, float | None]:
        with contextlib.suppress(OSError, ValueError):  # nobody started a run here, or its record is damaged
            return read_json(self._plan)
        return {}

    def _finished(self) -> set[str]:
        return set(self._log.read_text("utf-8").splitlines()) if self._log.is_file() else set()
