"""How much memory clean-up and exports of long motion take.

Run: python benchmarks/long_exports.py [--model models/demo] [--what bvh,glb] [--minutes 10,60]

A take of half a minute is repeated, walking on, until it is long enough, and lies on disk as a generated one
does. Each export and step of clean-up then works on it in a process of its own; the largest resident memory
from there on is compared with what the process held before.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from omniges.api import FORMATS, Omniges, Take
from omniges.api.walk import MotionSpool
from omniges.motion.cleanup import STEPS
from omniges.spool import Spool
from omniges.types import Motion

SECONDS = 30.0
GOAL_MB = 50.0


def long_take(model: Path, minutes: float) -> Take:
    """Half a minute of bursts, generated, then again and again from where it came to."""
    t = np.arange(round(SECONDS * 16_000)) / 16_000
    wave = (0.1 * np.sin(2 * np.pi * 120 * t) * (t % 1.5 < 1.0)).astype(np.float32)
    short = Omniges.load(model, device="cpu").generate(wave, steps=1)
    motion, repeats = short.motion, round(minutes * 60 / SECONDS)
    made, step = MotionSpool(motion.fps), motion.trans[-1] * [1, 0, 1]
    for number in range(repeats):
        shifted = motion.trans + number * step
        made.append(Motion(**{**vars(motion), "trans": shifted}))
    sound = Spool.of((wave for _ in range(repeats)), np.float32)
    return Take(name="long", motion=made.motion(), wave=sound, words=(), seed=0)


def memory_mb(name: str) -> float:
    """A line of Linux's own account of this process."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(model: Path, what: str, minutes: float) -> None:
    """Do one thing in this process, and print memory before and at most, MB, and CPU seconds."""
    take = long_take(model, minutes)
    with tempfile.TemporaryDirectory() as name:
        Path("/proc/self/clear_refs").write_text("5")  # the largest resident memory counts from here on
        before, began = memory_mb("VmRSS"), time.process_time()
        if what in STEPS:
            take.cleaned((what,))
        else:
            take.save(Path(name), (what,))
        print(before, memory_mb("VmHWM"), time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--what", default=",".join([*(kind for kind in FORMATS if kind != "mp4"), *STEPS]))
    parser.add_argument("--minutes", default="10,60")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.model, options.one[0], float(options.one[1]))
        return
    lengths, worst = [float(minutes) for minutes in options.minutes.split(",")], 0.0
    for what in options.what.split(","):
        found = []
        for minutes in lengths:
            command = [sys.executable, __file__, "--model", str(options.model), "--one", what, str(minutes)]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            before, peak, cpu_s = map(float, run.stdout.split())
            found.append(peak)
            memory = f"{peak:5.0f} MB at most, {before:4.0f} before"
            print(f"{what:>7} {minutes:5g} min: {memory}; {cpu_s:5.0f} CPU s", flush=True)
        worst = max(worst, found[-1] - found[0])
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"growth_mb: {worst:.0f} (goal {GOAL_MB:g})")


if __name__ == "__main__":
    main()
