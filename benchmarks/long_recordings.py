"""How much memory long recordings take. Run: python benchmarks/long_recordings.py [--model models/demo]

Each length is generated (npz, one step) in a process of its own, whose largest resident memory is taken.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from omniges.api import Omniges

MINUTES = (10.0, 60.0)
GOAL_MB = 50.0


def write_voice(path: Path, minutes: float) -> None:
    """Harmonic bursts, written second by second."""
    t = np.arange(24_000) / 16_000
    burst = 0.1 * sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12)) * (t < 1.0)
    with soundfile.SoundFile(path, "w", 16_000, 1) as sound:
        for _ in range(round(minutes * 60 / 1.5)):
            sound.write(burst)


def measure(model: Path, minutes: float) -> None:
    """Generate in this process, and print its memory in MB and CPU seconds."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "voice.wav"
        write_voice(path, minutes)
        began = time.process_time()
        Omniges.load(model, device="cpu").generate(path, steps=1).save(Path(name) / "out", ("npz",))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    if options.minutes is not None:
        measure(options.model, options.minutes)
        return
    found = []
    for minutes in MINUTES:
        command = [sys.executable, __file__, "--model", str(options.model), "--minutes", str(minutes)]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peak, cpu_s = map(float, run.stdout.split())
        found.append(peak)
        print(f"{minutes:5g} min: {peak:5.0f} MB resident at most, {cpu_s:5.0f} CPU s", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"growth_mb: {found[-1] - found[0]:.0f} (goal {GOAL_MB:g})")


if __name__ == "__main__":
    main()
