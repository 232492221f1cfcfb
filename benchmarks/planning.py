"""What planning costs at BEAT2's size: 1,762 clips through the real graph, keys and tools, with toy stages.

    python benchmarks/planning.py [--clips 1762] [--shards 8] [--rounds 3] [--folder DIR]

The clips are BEAT2's in number, in form of id and in split; their files hold a few bytes, and the stages are
the toys of tests/workflow/sandbox.py, which take no time. So what is measured is all that is not extraction:
plans, starts of processes, digests, the store, and DVC's record. CPU seconds are those of all processes
together.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "workflow"))

import sandbox

SPEAKERS = 25
SPLITS = (("train", 95), ("val", 8), ("test", 15))  # of 118: speaker 2's official shares
PLAN_GOAL_S, CLIP_GOAL_MS = 10.0, 20.0


def beat2_ids(count: int) -> dict[str, str]:
    """Clip ids and splits as BEAT2 has them."""
    turns = [split for split, share in SPLITS for _ in range(share)]
    found = {}
    for i in range(count):
        speaker, take = 1 + i % SPEAKERS, i // SPEAKERS
        found[f"{speaker}_speaker{speaker}_0_{take}_{take}"] = turns[(take * 37 + speaker) % len(turns)]
    return found


def measured(do: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and CPU seconds of the processes that a call starts."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    do()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_run(box: sandbox.Sandbox) -> None:
    """Everything from nothing; prints what it cost for each result of a clip."""
    wall, cpu = measured(lambda: box.run("snakemake", "--cores", "2", "--quiet"))
    rows = [json.loads(row) for row in (box.root / ".omniges" / "ran.jsonl").read_text().splitlines()]
    results = sum(len(row["items"]) for row in rows)
    clips = len(sandbox.CLIPS)
    print(f"first run: {wall:.1f} s wall, {cpu:.1f} s CPU, {len(rows)} jobs, {results} results")
    print(
        f"overhead: {cpu / len(rows):.2f} s of CPU a job, {1e3 * cpu / clips:.0f} ms a clip with all features"
    )
    print(f"overhead a clip's result: {1e3 * cpu / results:.1f} ms of CPU (goal {CLIP_GOAL_MS:g})")


def nothing_to_do(box: sandbox.Sandbox, rounds: int) -> None:
    """Each tool on a finished run, in turn."""
    arms = {
        "snakemake": ("snakemake", "--cores", "2", "--quiet"),
        "dvc repro": ("dvc", "repro", "--quiet"),
        "omniges status": ("omniges", "status"),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    box.computed()
    for _ in range(rounds):
        for name, command in arms.items():
            found[name].append(measured(lambda command=command: box.run(*command)))
    if box.computed():
        sys.exit("something was computed although nothing had changed")
    for name, rows in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name} with nothing to do: {wall:.1f} s wall, {cpu:.1f} s CPU (goal {PLAN_GOAL_S:g})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=1762)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work, and leave everything; a temporary one")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sandbox.CLIPS = beat2_ids(options.clips)
    with tempfile.TemporaryDirectory() as temporary:
        box = sandbox.make_sandbox((options.folder or Path(temporary)) / "box")
        box.set(data__shards=options.shards)
        box.commit()
        print(f"{options.clips} clips, {options.shards} shards, {os.cpu_count()} cores")
        first_run(box)
        nothing_to_do(box, options.rounds)


if __name__ == "__main__":
    main()
