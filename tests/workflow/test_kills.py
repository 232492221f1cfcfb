"""SIGKILL at seeded moments: the next run finishes with an undisturbed run's bytes, and repeats nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import Sandbox, make_sandbox

HERE = Path(__file__).parent
KILLS = 20


def torment(box: Sandbox, reference: Path, kills: int) -> dict[str, dict[str, object]]:
    """Kill every unit of the box at seeded moments; what was seen, by stage."""
    out = box.root / "seen.json"
    call = [sys.executable, str(HERE / "killing.py"), str(reference), str(out), str(kills), "6"]
    done = subprocess.run(
        call, cwd=box.root, env=box.environment(), capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    found: dict[str, dict[str, object]] = json.loads(out.read_text())
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_kill_at_any_change_of_a_file_costs_no_finished_work(tmp_path: Path) -> None:
    whole, box = make_sandbox(tmp_path / "whole"), make_sandbox(tmp_path / "box")
    whole.snakemake(OMNIGES_RECORD="0")
    seen = torment(box, whole.root, KILLS)
    print(json.dumps(seen, indent=1))
    assert [fault for each in seen.values() for fault in each["faults"]] == []
    assert box.outputs() == whole.outputs()
