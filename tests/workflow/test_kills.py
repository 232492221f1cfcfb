"""SIGKILL at seeded moments: the next run finishes with an undisturbed run's bytes, and repeats nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import small
from sandbox import Sandbox, make_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
HERE = Path(__file__).parent
KILLS = 20
TINY = small.SMALL | {
    "corpus.speakers": 1,
    "corpus.clip_s": 6.0,
    "tokenizers.steps": 12,
    "tokenizers.checkpoint_every": 3,
    "tokenizers.codes": 32,
    "train.checkpoint_every": 3,
    "train.log_every": 1,
    "baselines.regression.steps": 4,
    "embedder.steps": 4,
    "scorer.steps": 4,
    "evaluate.bootstrap": 20,
    "evaluate.bootstrap_fgd": 4,
    "evaluate.video_s": 0.5,
    "tracking.trackers": [],
}


def torment(box: Sandbox, reference: Path, kills: dict[str, int]) -> dict[str, dict[str, object]]:
    """Kill every unit of the box at seeded moments; what was seen, by stage."""
    out = box.root / "seen.json"
    call = [sys.executable, str(HERE / "killing.py"), str(reference), str(out), json.dumps(kills), "6"]
    done = subprocess.run(
        call, cwd=box.root, env=box.environment(), capture_output=True, text=True, timeout=2000
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    found: dict[str, dict[str, object]] = json.loads(out.read_text())
    print({name: (each["kills"], each["resumed"], round(each["seconds"], 2)) for name, each in found.items()})
    assert [fault for each in found.values() for fault in each["faults"]] == []
    return found


def test_a_kill_at_any_change_of_a_file_costs_no_finished_work(tmp_path: Path) -> None:
    whole, box = make_sandbox(tmp_path / "whole"), make_sandbox(tmp_path / "box")
    torment(whole, whole.root, {"else": 0})
    seen = torment(box, whole.root, {"else": KILLS})
    assert {each["kills"] for each in seen.values()} == {KILLS}
    assert sum(each["resumed"] for each in seen.values()) > len(seen)  # finished items were there, and stayed
    assert box.outputs() == whole.outputs()


def test_real_stages_killed_at_any_moment_end_as_undisturbed(tmp_path: Path) -> None:
    whole, box = _real(tmp_path / "whole"), _real(tmp_path / "box")
    torment(whole, whole.root, {"else": 0})
    seen = torment(box, whole.root, {"else": KILLS})
    assert {each["kills"] for each in seen.values()} == {KILLS}
    # Trainings and the report tell the time in their files. What follows a training was compared file by file
    # as it was made: generation.json holds the digest of the weights, so those are an undisturbed run's too.
    for name in ("generated", "latent_flow", "pack"):
        assert stage_files(box, name) == stage_files(whole, name)
    # Every step of both networks; steps 10 and 12 of each tokenizer.
    assert len(losses(whole)) == 2 * TINY["train.max_steps"] + 4 * 2
    assert losses(box) == losses(whole)


def losses(box: Sandbox) -> list[dict[str, object]]:
    """Every row of all loss curves, without the seconds that it took to get there."""
    models = box.root / "models" / "demo"
    rows: list[dict[str, object]] = []
    for curve in sorted(models.glob("*/curve.json")):  # the model's and the latent flow's
        rows += json.loads(curve.read_text())
    for report in sorted(models.glob("tokenizers/*/report.json")):
        rows += json.loads(report.read_text())["history"]
    return [{name: value for name, value in row.items() if name != "train/seconds"} for row in rows]


def stage_files(box: Sandbox, name: str) -> dict[str, bytes]:
    """A stage's files but for its manifest."""
    start = f"data/demo/{name}/"
    return {k: v for k, v in box.outputs().items() if k.startswith(start) and ".manifest" not in k}


def _real(root: Path) -> Sandbox:
    small.make_copy(root)
    box = Sandbox(root)
    box.run("omniges", "params", *(f"--set={name}={json.dumps(value)}" for name, value in TINY.items()))
    return box


@pytest.mark.parametrize("tool", ["snakemake", "dvc"])
def test_tools_killed_at_work_lose_nothing_and_compute_nothing_twice(tmp_path: Path, tool: str) -> None:
    whole, box = make_sandbox(tmp_path / "whole"), make_sandbox(tmp_path / "box")
    torment(whole, whole.root, {"else": 0})
    rng = random.Random(f"6 {tool}")
    call = {"snakemake": ("snakemake", "--cores", "2"), "dvc": ("dvc", "repro")}[tool]
    ends = []
    for number in range(4):
        process = _start(box, *call)
        _await_results(box, process, rng.randint(1, 4))
        time.sleep(rng.uniform(0, 0.5))
        if number % 2:  # everything dies, or only the tool: then its jobs go on, and the next run waits
            with suppress(ProcessLookupError):  # it had nothing left to do, and has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        ends.append(process.wait())
    assert -signal.SIGKILL in ends, ends
    box.snakemake(OMNIGES_RECORD="0")
    assert box.outputs() == whole.outputs()
    counts = Counter((row["stage"], name) for row in _rows(box) for name in row["items"])
    assert {each for each, n in counts.items() if n > 1} == set()


def test_a_second_run_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    box.snakemake(OMNIGES_RECORD="0")
    box.set(mfcc__hop_s=0.02)
    first = _start(box, "snakemake", "--cores", "2", sleep_s=6.0)
    lock = box.root / ".omniges" / "lock"
    while lock.read_text() != str(first.pid):
        assert first.poll() is None
        time.sleep(0.05)
    for second in (("omniges", "gc"), ("snakemake", "--cores", "2"), ("dvc", "repro")):
        done = box.run(*second, check=False)
        assert done.returncode
        assert f"(process {first.pid})" in done.stdout + done.stderr
        assert first.poll() is None, "the first run ended before the second began: no test"
    assert first.wait() == 0
    assert "mfcc" in box.computed()
    assert box.snakemake(OMNIGES_RECORD="0") == {}


def _start(box: Sandbox, *command: str, sleep_s: float = 0.3) -> subprocess.Popen[bytes]:
    """A tool in a session of its own, its jobs slow enough to be met at work."""
    return subprocess.Popen(
        command,
        cwd=box.root,
        env=box.environment(TOY_SLEEP_S=str(sleep_s), OMNIGES_RECORD="0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _await_results(box: Sandbox, process: subprocess.Popen[bytes], more: int) -> None:
    """Until so many more units are done, or the process is."""
    wanted = len(_rows(box)) + more
    while process.poll() is None and len(_rows(box)) < wanted:
        time.sleep(0.05)


def _rows(box: Sandbox) -> list[dict[str, list[str]]]:
    path = box.root / ".omniges" / "ran.jsonl"
    return [json.loads(row) for row in path.read_text().splitlines()] if path.exists() else []
