"""How fast videos and exports are made. Run: python benchmarks/rendering.py [seconds]

The motion is a closed-form swing of all joints; what is drawn hardly changes the time.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from omniges.rendering.blendshapes import write_arkit_json
from omniges.rendering.bvh import write_bvh
from omniges.rendering.glb import write_glb
from omniges.rendering.video import render_comparison
from omniges.rendering.viewer import write_viewer
from omniges.types import Motion

FPS = 30.0
HEIGHTS, ROUNDS, GOAL = (480, 720, 1080), 3, 30.0  # GOAL: frames a second of one body on two cores


def swing(seconds: float) -> Motion:
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * FPS)) / FPS
    phase, size = rng.uniform(0, 2 * np.pi, (55, 3)), rng.normal(0, 0.25, (55, 3))
    poses = size * np.sin(2 * np.pi * 0.8 * t[:, None, None] + phase)
    trans = np.stack([0.1 * np.sin(t), 1.3 + 0 * t, 0 * t], axis=1)
    return Motion(
        poses=poses.astype(np.float32),
        trans=trans,
        expressions=np.zeros((len(t), 100)),
        betas=np.zeros(300, np.float32),
        fps=FPS,
    )


def timed(name: str, frames: int, work: Callable[[], object]) -> float:
    """Frames a second."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:34} {frames / wall:7.1f} frames/s   {1e3 * cpu / frames:6.1f} ms CPU a frame")
    return frames / wall


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    motion, frames = swing(seconds), round(seconds * FPS)
    wave = np.random.default_rng(1).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {seconds:g} s at {FPS:g} fps")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render_comparison(folder / "warm.mp4", {"a": motion}, wave, max_s=0.2)
        rates: dict[tuple[int, int], list[float]] = {}
        for _ in range(ROUNDS):
            for bodies in (1, 2, 3):
                for height in HEIGHTS:
                    motions = {f"body {i}": motion for i in range(bodies)}
                    path = folder / f"{bodies}-{height}.mp4"
                    rate = timed(
                        f"mp4, {bodies} body(ies), {height}p",
                        frames,
                        lambda p=path, m=motions, h=height: render_comparison(p, m, wave, height=h),
                    )
                    rates.setdefault((bodies, height), []).append(rate)
        timed("bvh", frames, lambda: write_bvh(folder / "a.bvh", motion))
        timed("glb", frames, lambda: write_glb(folder / "a.glb", motion))
        timed("arkit json", frames, lambda: write_arkit_json(folder / "a.json", motion))
        timed("viewer", frames, lambda: write_viewer(folder / "a.html", {"a": motion}, wave))
        for path in sorted(folder.iterdir()):
            print(f"{path.name:34} {path.stat().st_size / 1e3:9.0f} kB")
    print(f"load {os.getloadavg()[0]:.1f} at the end; medians of {ROUNDS} rounds, {os.cpu_count()} threads")
    for (bodies, height), found in rates.items():
        goal = f" (goal {GOAL:g})" if bodies == 1 else ""
        print(f"mp4_{bodies}_{height}p_frames_per_s: {median(found):.0f}{goal}")


if __name__ == "__main__":
    main()
