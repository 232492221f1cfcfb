"""A small but real run in a copy: every stage by `dvc repro`, then nothing to do for either tool."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = {
    "corpus.train_clips": 2,
    "corpus.val_clips": 1,
    "corpus.test_clips": 1,
    "corpus.clip_s": 6.0,
    "data.shards": 2,
    "tokenizers.steps": 20,
    "train.max_steps": 10,
    "train.validate_every": 5,
    "train.checkpoint_every": 5,
    "embedder.steps": 10,
    "scorer.steps": 10,
    "evaluate.bootstrap": 50,
    "evaluate.video_s": 2.0,
    "evaluate.video_height": 120,
}
EXPECTED = ("metrics.json", "clips.parquet", "index.html")


def main() -> None:
    """Run it; a non-zero exit of any command ends it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "omniges"
        make_copy(copy)
        call(copy, "omniges", "params", *(f"--set={key}={json.dumps(value)}" for key, value in SMALL.items()))
        call(copy, "dvc", "repro")
        lost = [name for name in EXPECTED if not (copy / "reports" / name).is_file()]
        if lost:
            sys.exit(f"reports/: {lost} missing after dvc repro")
        done = ran(copy)
        call(copy, "snakemake", "--cores", "2", "--quiet")
        call(copy, "dvc", "repro", "--quiet")
        if ran(copy) != done:
            sys.exit(f"a second run computed {ran(copy)[len(done) :]}")
        call(copy, "omniges", "summary")


def call(copy: Path, *command: str) -> None:
    """Run a command in the copy, its package first on the path."""
    subprocess.run(command, cwd=copy, check=True, env=os.environ | {"PYTHONPATH": str(copy)})


def ran(copy: Path) -> list[str]:
    """The record of what was really computed."""
    return (copy / ".omniges" / "ran.jsonl").read_text("utf-8").splitlines()


def make_copy(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    target.mkdir()
    for name in filter(None, listed.decode().split("\0")):
        path = target / name
        if (ROOT / name).is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)


if __name__ == "__main__":
    main()
