"""After a run: tell DVC what Snakemake made, or show why it failed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omniges.errors import PipelineError

if TYPE_CHECKING:
    from omniges.cli.planning import SnakemakePlan

LOGS = Path("reports/logs")
TAIL_LINES = 20


def record() -> None:
    """Write dvc.lock for what lies there (`dvc commit`), so that `dvc repro` knows it; refuses if anything
    is stale.
    """
    from omniges.cli.planning import make_plan
    from omniges.config import load_params

    plan = make_plan(load_params())
    late = [unit.name for unit in plan.units.values() if plan.state(unit)[0] != "fresh"]
    if late:
        raise PipelineError(f"not up to date: {', '.join(late[:8])}. Run `snakemake --cores all` first.")
    _dvc_commit()


def after_success(plan: "SnakemakePlan") -> None:
    """At the end of a whole Snakemake run that nobody but the user started: record it."""
    under_dvc = "DVC_STAGE" in os.environ
    if under_dvc or not Path(".dvc").is_dir() or os.environ.get("OMNIGES_RECORD", "1") == "0":
        return
    if not plan.changes and Path("dvc.lock").is_file():
        return
    try:
        record()
    except (PipelineError, subprocess.CalledProcessError) as error:
        print(f"dvc.lock was not written: {error}", file=sys.stderr)


def print_failures() -> None:
    """The last lines of each failed job's log, and the command that runs it alone."""
    from omniges.cli.planning import SnakemakePlan

    logs = sorted(LOGS.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for path in logs:
        if (SnakemakePlan.MARKS / path.stem).exists() or not _failed(path):
            continue
        stage, _, label = path.stem.partition("-")
        option = f" --{'shard' if label.isdigit() else 'part'} {label}" if label else ""
        lines = path.read_text("utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        rule = "─" * 20
        print(f"\n{rule} {path}\n" + "\n".join(lines), file=sys.stderr)
        print(f"{rule} run it alone: python -m omniges stage {stage}{option}", file=sys.stderr)


def _failed(log: Path) -> bool:
    """Whether the log belongs to this run: younger than the lock that the run took."""
    from omniges.cli.planning import STATE

    lock = STATE / "lock"
    return lock.exists() and log.stat().st_mtime >= lock.stat().st_mtime


def _dvc_commit() -> None:
    # Naming the stages would make DVC load its graph once for each of them.
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=True)
