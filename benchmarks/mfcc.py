"""CPU milliseconds a minute of audio: MFCC here and by `librosa.feature.mfcc`, one thread, interleaved.

python benchmarks/mfcc.py [--rounds 15]
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import librosa
import numpy as np

from omniges.audio.spectrum import TOP_DB, log_mel_blocks
from omniges.features.mfcc import MelSpool, mfcc_blocks, mfcc_frames

RATE, N_FFT, HOP, N_MFCC = 16_000, 1024, 160, 128


def ours(wave: np.ndarray) -> np.ndarray:
    with MelSpool(log_mel_blocks([wave], sample_rate=RATE, n_fft=N_FFT, hop=HOP, n_mels=128)) as spool:
        return np.concatenate(list(mfcc_blocks(spool, N_MFCC, TOP_DB)))


def ours_at_motion_rate(wave: np.ndarray) -> np.ndarray:
    with MelSpool(log_mel_blocks([wave], sample_rate=RATE, n_fft=N_FFT, hop=HOP, n_mels=128)) as spool:
        blocks = mfcc_frames(spool, 1800, n_mfcc=N_MFCC, top_db=TOP_DB, hop_s=0.01, fps=30.0)
        return np.concatenate(list(blocks))


def librosas(wave: np.ndarray) -> np.ndarray:
    return librosa.feature.mfcc(y=wave, sr=RATE, n_mfcc=N_MFCC, n_fft=N_FFT, hop_length=HOP, n_mels=128).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    wave = (0.1 * np.random.default_rng(0).standard_normal(60 * RATE)).astype(np.float32)
    arms = {"librosa, 100 Hz": librosas, "here, 100 Hz": ours, "here, at 30 fps": ours_at_motion_rate}
    difference = float(np.abs(librosas(wave) - ours(wave)).max())
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            start = time.process_time()
            arm(wave)
            seconds[name].append(time.process_time() - start)
    ratios = [a / b for a, b in zip(seconds["librosa, 100 Hz"], seconds["here, 100 Hz"], strict=True)]
    report = {
        "ms a minute, median": {name: round(1e3 * statistics.median(s), 1) for name, s in seconds.items()},
        "times faster than librosa: least, median, most": [
            round(f(ratios), 2) for f in (min, statistics.median, max)
        ],
        "largest difference": difference,
    }
    print(json.dumps(report, indent=2))
    print(f"MFCC, librosa's time over ours: {statistics.median(ratios):.2f} (goal 1)")


if __name__ == "__main__":
    main()
