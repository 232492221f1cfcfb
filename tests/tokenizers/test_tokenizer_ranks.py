"""Two processes must hold the same codebooks and weights after every step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import json, sys, torch
from torch import distributed as dist
sys.path.insert(0, sys.argv[2])
from test_tokenizer_training import trainer_of
from tokenizer_toys import with_tokenizers
from omniges.config import load_params
from omniges.tokenizers.training import averages_of

torch.set_num_threads(1)
dist.init_process_group("gloo")
params = with_tokenizers(load_params(sys.argv[3]), steps=6, quantizer_dropout=0.5, dead_below=1.5)
trainer = trainer_of(params)
trainer.run()
found = {**trainer.model.state_dict(), **averages_of(trainer.model)}
sums = {name: [x.double().sum().item(), x.double().square().sum().item()] for name, x in found.items()}
batch = trainer.data.batch(8, trainer._seed(0, dist.get_rank())).sum().item()
open(f"{sys.argv[1]}/{dist.get_rank()}.json", "w").write(json.dumps({"sums": sums, "batch": batch}))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_learn_the_same_codebook_from_different_batches(tmp_path: Path):
    here = Path(__file__).parent
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    paths = os.pathsep.join(str(folder) for folder in (here, here.parent, here.parents[1]))
    done = subprocess.run(
        [
            sys.executable,
            *launch,
            str(script),
            str(tmp_path),
            str(here),
            str(here.parents[1] / "params.yaml"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["batch"] != second["batch"]
    assert first["sums"] == second["sums"]
