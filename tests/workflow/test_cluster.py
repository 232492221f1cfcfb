"""The shipped Slurm profile on a Slurm of two nodes on loopback; skipped where its packages are absent."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import CLIPS, Sandbox, make_sandbox
from slurm_loopback import Loopback, missing_programs

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(2400)]
QUICK = (
    "--slurm-init-seconds-before-status-checks=1",
    "--seconds-between-status-checks=2",
    "--latency-wait=5",
)
SLURM = ("--profile", "workflow/profiles/slurm", "--slurm-no-account", "--slurm-status-command", "squeue")
TRAINING = '''

def run(params, W):
    """Fails at its first attempt; then two processes add up what each of them is."""
    import torch
    import torch.distributed as dist
    first = Path(".omniges/failed-once")
    if os.environ["RANK"] == "0" and not first.exists():
        first.touch()
        raise RuntimeError("the first attempt fails")
    dist.init_process_group("gloo")
    ranks = torch.tensor([10.0 ** dist.get_rank()])
    dist.all_reduce(ranks)
    if dist.get_rank() == 0:
        _put(W.a2g / "model.safetensors", str(params.train))
        (W.a2g / "ranks").write_text(str(int(ranks)))
    dist.destroy_process_group()
'''


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    lacking = missing_programs()
    if lacking:
        pytest.skip(f"Slurm is not installed ({', '.join(lacking)}): apt-get install slurm-wlm munge")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("the executor plugin is not installed: pip install 'omniges[cluster]'")
    with Loopback(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def start(cluster: Loopback, box: Sandbox, *options: str, **environment: str) -> "subprocess.Popen[bytes]":
    """Snakemake on the cluster; two processes train the model."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{cluster.environment['PATH']}"
    return subprocess.Popen(
        [
            "snakemake",
            *SLURM,
            *QUICK,
            "--latency-wait",
            "5",
            "--set-resources",
            "train_model:ranks=2",
            *options,
        ],
        cwd=box.root,
        env=box.environment(**(cluster.environment | {"PATH": path} | environment)),
        stdout=(box.root / "snakemake.out").open("ab"),
        stderr=subprocess.STDOUT,
    )


def attempts(box: Sandbox, stage: str) -> list[bool]:
    """Of each time that a stage was computed: whether it failed."""
    rows = map(json.loads, (box.root / ".omniges" / "ran.jsonl").read_text().splitlines())
    return [row["failed"] for row in rows if row["stage"] == stage]


def test_a_cancelled_run_goes_on_a_failed_job_is_tried_again_and_two_ranks_train(
    cluster: Loopback, tmp_path: Path
) -> None:
    box = make_sandbox(tmp_path / "box")
    training = box.root / "omniges" / "training" / "stage.py"
    training.write_text(training.read_text() + TRAINING)
    # Each clip takes a second, so that the run is cancelled amid its features.
    cancelled = start(cluster, box, TOY_SLEEP_S="1")
    features = ("motion", "mfcc", "wavlm", "text")
    while not set(box.computed()) & set(features):
        assert cancelled.poll() is None, (box.root / "snakemake.out").read_text()[-5000:]
        time.sleep(0.5)
        box.seen = 0
    cancelled.send_signal(signal.SIGINT)
    assert cancelled.wait(120) != 0
    while cluster.call("squeue", "-h", "-t", "running,pending,completing").strip():
        time.sleep(0.5)
    box.seen = 0
    before = box.computed()

    finished = start(cluster, box)
    assert finished.wait(1800) == 0, (box.root / "snakemake.out").read_text()[-8000:]
    after = box.computed()
    for stage in features:  # no finished clip is computed again, none is left out
        assert not before.get(stage, set()) & after.get(stage, set())
        assert {path.stem for path in (box.root / "data" / "demo" / stage).glob("*.parquet")} == set(CLIPS)
    assert attempts(box, "train") == [True, False]
    assert (box.root / "models" / "demo" / "a2g" / "ranks").read_text() == "11"  # 10^0 + 10^1
    nodes = cluster.call("squeue", "-h", "-t", "all", "-o", "%N").split()  # none of jobs that never began
    assert set(nodes) == {"node1", "node2"}
    assert box.snakemake() == {}  # and this machine alone finds nothing left to do


def test_forced_stages_are_computed_on_their_nodes_too(cluster: Loopback, tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    box.snakemake("mfcc")
    forced = start(cluster, box, "--forcerun", "mfcc", "--until", "extract_mfcc")
    assert forced.wait(900) == 0, (box.root / "snakemake.out").read_text()[-5000:]
    assert box.computed()["mfcc"] == set(CLIPS)
