"""Time and memory of `omniges evaluate` on one-minute clips: python benchmarks/evaluate_scale.py [CLIPS]

With `--published WEIGHTS SMPLX MEAN_VEL`, the three files of compat mode, both modes are run.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from scipy.ndimage import gaussian_filter1d

from omniges import log
from omniges.data.beat2 import write_motion
from omniges.evaluation.evaluation import Options
from omniges.evaluation.protocol import Tools
from omniges.evaluation.standalone import Task, score_folder
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

FRAMES = 1800


def smooth_motion(seed: int) -> Motion:
    rng = np.random.default_rng(seed)
    poses = 0.3 * gaussian_filter1d(rng.standard_normal((FRAMES, 55, 3)), 6, axis=0) * 4
    return Motion(
        poses=poses.astype(np.float32),
        trans=np.tile([0.0, 0.95, 0.0], (FRAMES, 1)),
        expressions=gaussian_filter1d(rng.standard_normal((FRAMES, 100)), 4, axis=0),
        betas=np.zeros(300, np.float32),
        fps=30.0,
    )


def bursts(seed: int) -> np.ndarray:
    """[N] noise that comes and goes a few times a second: speech, as onsets hear it."""
    rng = np.random.default_rng(seed)
    loud = np.clip(gaussian_filter1d(rng.standard_normal(FRAMES), 4) * 8, 0, None)
    n = FRAMES * SAMPLE_RATE // 30
    at = np.interp(np.arange(n) / n, np.arange(FRAMES) / FRAMES, loud)
    return (0.05 * at * rng.standard_normal(n)).clip(-1, 1).astype(np.float32)


def make(root: Path, clips: int) -> None:
    """A tree of test clips with sound (and a few train clips), and as many results."""
    (root / "tree/wave16k").mkdir(parents=True)
    rows = ["id,type"]
    for i in range(clips + 8):
        split = "test" if i < clips else "train"
        name = f"{1 + i % 25}_name_0_{i}_{i}"
        rows.append(f"{name},{split}")
        write_motion(root / "tree/smplxflame_30" / f"{name}.npz", smooth_motion(i))
        soundfile.write(root / "tree/wave16k" / f"{name}.wav", bursts(i), SAMPLE_RATE)
        if split == "test":
            write_motion(root / "results" / f"{name}.npz", smooth_motion(i + 10_000))
    (root / "tree/train_test_split.csv").write_text("\n".join(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=int, nargs="?", default=265)
    parser.add_argument("--published", type=Path, nargs=3, metavar=("WEIGHTS", "SMPLX", "MEAN_VEL"))
    given = parser.parse_args()
    clips, name = given.clips, "BOTH MODES" if given.published else "EVALUATE"
    log.setup()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, clips)
        start, cpu = time.perf_counter(), time.process_time()
        options = Options(seed=0, bootstrap=1000, bootstrap_fgd=200)
        score_folder(
            Task(
                results=root / "results",
                root=root / "tree",
                out=root / "out",
                split="test",
                embedder=None,
                published=Tools.load(*given.published) if given.published else None,
                options=options,
            )
        )
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{clips} clips: {wall:.0f} s, {cpu:.0f} s of CPU, peak {peak_gib:.2f} GiB")
    goal = 900 if given.published else 300
    print(f"{name} SECONDS: measured {wall:.0f} (goal {goal} for 265 clips)")
    print(f"{name} GIB: measured {peak_gib:.2f} (goal 4)")


if __name__ == "__main__":
    main()
