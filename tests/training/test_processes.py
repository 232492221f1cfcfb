"""Training in processes of its own: ranks, and what a kill leaves behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compiler import compiles

TOY_RUN = str(Path(__file__).parent / "toy_run.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
COMPILED = (compiles, pytest.mark.timeout(1200))  # minutes where two ranks share a slow core


def run(folder, batch, mode, ranks=1):
    folder.mkdir(exist_ok=True)
    launcher = [sys.executable]
    if ranks > 1:
        # `accelerate launch --cpu --num_processes 2` would silently run one process.
        launcher = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc_per_node={ranks}",
        ]
    command = [*launcher, TOY_RUN, str(folder), str(batch), mode]
    subprocess.run(command, check=True, env=ENVIRONMENT, timeout=1000, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["gradients", pytest.param("compiled", marks=COMPILED)])
def test_two_ranks_have_the_gradients_of_one_with_the_doubled_batch(tmp_path, mode):
    run(tmp_path / "one", 8, "gradients")
    run(tmp_path / "two", 4, mode, ranks=2)
    assert (tmp_path / "two" / "ranks").read_text() == "2"
    one, two = (torch.load(tmp_path / name / "gradients.pt", weights_only=True) for name in ("one", "two"))
    assert abs(one["total"] - two["total"]) < 1e-5
    assert all(gradient is not None for gradient in one["gradients"].values())
    for name, gradient in one["gradients"].items():
        torch.testing.assert_close(two["gradients"][name], gradient, atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_a_rank_whose_batches_have_no_words_trains_with_the_others(tmp_path):
    run(tmp_path, 2, "silence", ranks=2)
    assert len(json.loads((tmp_path / "curve.json").read_text())) > 1


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_as_if_nothing_had_happened(tmp_path):
    run(tmp_path / "whole", 4, "steps")
    broken = tmp_path / "broken"
    broken.mkdir()
    for last_line in ("step 3", "step 7"):
        process = subprocess.Popen(
            [sys.executable, TOY_RUN, str(broken), "4", "steps"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == last_line:
                process.send_signal(signal.SIGKILL)  # in the middle of writing that step's state
                break
        process.wait()
    run(broken, 4, "steps")

    def curve(folder):
        entries = json.loads((folder / "curve.json").read_text())
        return [{k: v for k, v in entry.items() if k != "train/seconds"} for entry in entries]

    assert curve(broken) == curve(tmp_path / "whole")
