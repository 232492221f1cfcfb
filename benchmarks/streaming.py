"""What smaller windows cost live motion. Run: python benchmarks/streaming.py [--clips 2]

Clips of the test split are streamed in chunks of 20 ms, and generated at once for comparison, with the same
seeds. Acceleration is the mean size of the second difference of all rotations, as a ratio to the whole
clip's: above 1 are seams, below is dullness. Jaw and wrists are compared with the speaker's own motion, RMS,
as ratios to the error of the whole clip: above 1 the model follows the speech less well.
"""

import argparse
import csv
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from omniges.api import Omniges
from omniges.api.streaming import joined
from omniges.audio.files import read_wave
from omniges.data.beat2 import read_motion
from omniges.motion.layout import JAW
from omniges.motion.skeleton import joint_positions
from omniges.types import Motion

SETTINGS = (
    # window, overlap, look-ahead, decoder ahead (None: exact)
    (128, 32, 32, None),
    (128, 32, 32, 8),
    (64, 16, 16, 8),
    (64, 32, 8, 8),
    (64, 48, 8, 8),
    (64, 48, 8, 4),
    (32, 16, 8, 8),
    (32, 16, 8, 4),
    (32, 16, 8, 0),
)
CHUNK = 320  # samples, 20 ms
WRISTS = (20, 21)
LIVE = ("window_frames", "overlap_frames", "lookahead_frames", "decoder_ahead_frames")
GOALS = (2.0, 1.1, 1.1, 1.1)  # at most, of what `Omniges.live` picks: seconds, and ratios to the whole clip


def acceleration(motion: Motion) -> float:
    """Mean size of the second difference of all joints' rotations, rad a frame squared."""
    turns = motion.poses.reshape(-1, 55, 3)
    steps = [
        (Rotation.from_rotvec(turns[:-1, j]).inv() * Rotation.from_rotvec(turns[1:, j])).as_rotvec()
        for j in range(55)
    ]
    return float(np.linalg.norm(np.diff(np.stack(steps, 1), axis=0), axis=-1).mean())


def errors(motion: Motion, truth: Motion) -> tuple[float, float]:
    """RMS of the jaw's turn, rad, and of the wrists' places beside the pelvis, metres."""
    n = min(motion.n_frames, truth.n_frames)
    jaw = motion.poses[:n, JAW] - truth.poses[:n, JAW]
    one, other = (joint_positions(replace(m, trans=np.zeros_like(m.trans)))[:n] for m in (motion, truth))
    apart = (one[:, WRISTS] - one[:, :1]) - (other[:, WRISTS] - other[:, :1])
    return float(np.sqrt((jaw**2).sum(-1).mean())), float(np.sqrt((apart**2).sum(-1).mean()))


def chunks(wave: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    yield from (wave[start : start + CHUNK] for start in range(0, len(wave), CHUNK))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--corpus", type=Path, default=Path("data/raw/demo"))
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    omniges = Omniges.load(options.model, device="cpu")
    with (options.corpus / "train_test_split.csv").open() as stream:
        names = [row["id"] for row in csv.DictReader(stream) if row["type"] == "test"][: options.clips]
    speech = {name: read_wave(options.corpus / "wave16k" / f"{name}.wav") for name in names}
    truth = {name: read_motion(options.corpus / "smplxflame_30" / f"{name}.npz") for name in names}
    takes = [(name, seed) for name in names for seed in range(options.seeds)]
    whole = {(n, s): omniges.generate(speech[n], seed=s, name=n).motion for n, s in takes}
    live = omniges.live()
    print(f"{len(names)} clips, {options.seeds} seed(s), load {os.getloadavg()[0]:.1f}")
    print("window overlap look-ahead decoder |  delay  start  CPU s a block | acceleration  jaw  wrists")
    for window, overlap, lookahead, ahead in SETTINGS:
        ratios, cpu_s = [], []
        for name, seed in takes:
            stream = omniges.stream(
                chunks(speech[name]),
                seed=seed,
                name=name,
                decoder_ahead_frames=ahead,
                window_frames=window,
                overlap_frames=overlap,
                lookahead_frames=lookahead,
            )
            began = time.process_time()
            blocks = list(stream)
            cpu_s.append((time.process_time() - began) / len(blocks))
            made, once = joined(blocks), whole[name, seed]
            rows = [(acceleration(m), *errors(m, truth[name])) for m in (made, once)]
            ratios.append([a / b for a, b in zip(*rows, strict=True)])
        means = [mean(column) for column in zip(*ratios, strict=True)]
        print(
            f"{window:6} {overlap:7} {lookahead:10} {'exact' if ahead is None else ahead:>7} | "
            f"{stream.delay_s:5.2f}s {(window + 1) / omniges.fps:5.2f}s {median(cpu_s):14.3f} | "
            f"{means[0]:12.2f} {means[1]:4.2f} {means[2]:7.2f}",
            flush=True,
        )
        if live == dict(zip(LIVE, (window, overlap, lookahead, ahead), strict=True)):
            picked = (stream.delay_s, *means)
    for name, value, goal in zip(("delay_s", "acceleration", "jaw", "wrists"), picked, GOALS, strict=True):
        print(f"live_{name}: {value:.2f} (goal {goal:g})")


if __name__ == "__main__":
    main()
