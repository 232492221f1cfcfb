"""CPU milliseconds and megabytes a minute of audio: onsets and amplitude, here and the peers' way.

The peers' way: `librosa.onset.onset_detect`, and the maximum over a view of 1,024 samples at every sample.

    python benchmarks/onsets.py [--rounds 5]
"""

import argparse
import json
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import librosa
import numpy as np

from omniges.audio.onsets import amplitude_envelope, onset_times

RATE = 16_000


def minute() -> np.ndarray:
    rng = np.random.default_rng(0)
    loudness = np.repeat(rng.uniform(0, 1, 600) ** 4, 1600)
    return (0.3 * loudness * rng.standard_normal(60 * RATE)).astype(np.float32)


def peers_envelope(wave: np.ndarray) -> np.ndarray:
    return np.abs(np.lib.stride_tricks.sliding_window_view(wave, 1024)).max(axis=1)


def librosas_onsets(wave: np.ndarray) -> np.ndarray:
    return librosa.onset.onset_detect(y=wave, sr=RATE, hop_length=512, units="time")


def peak_mb(run: Callable[[], object]) -> float:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    wave = minute()
    arms: dict[str, Callable[[], object]] = {
        "onsets, here": lambda: onset_times(wave),
        "onsets, librosa": lambda: librosas_onsets(wave),
        "amplitude, here": lambda: amplitude_envelope(wave),
        "amplitude, peers": lambda: peers_envelope(wave),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for arm in arms.values():
        arm()  # librosa compiles at its first call
    for _ in range(rounds):
        for name, arm in arms.items():
            start = time.process_time()
            arm()
            seconds[name].append(time.process_time() - start)
    same = np.array_equal(onset_times(wave), librosas_onsets(wave))
    report = {
        "ms a minute, median": {name: round(1e3 * statistics.median(s), 1) for name, s in seconds.items()},
        "peak MB": {name: peak_mb(arm) for name, arm in arms.items()},
        "onsets equal librosa's": same,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
