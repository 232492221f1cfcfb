"""A small made-up world: motion that follows a loudness signal, so that what listens can be told from what is
deaf.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from omniges.config import Params, load_params, parse_params
from omniges.data.beat2 import write_motion
from omniges.data.motion_table import write_motion_table
from omniges.data.table import write_table, write_text_table
from omniges.files import write_json
from omniges.motion.layout import JAW, JOINT_NAMES
from omniges.types import Motion, Word
from omniges.workspace import Workspace

FPS = 30
REPOSITORY = Path(__file__).parents[2]
SHOULDERS = [JOINT_NAMES.index("left_shoulder"), JOINT_NAMES.index("right_shoulder")]
ELBOWS = [JOINT_NAMES.index("left_elbow"), JOINT_NAMES.index("right_elbow")]


def control_signal(rng: np.random.Generator, n: int, hz: float = 1.0) -> NDArray[np.float64]:
    """[n, 3]: smooth, unit variance: loudness, height of tone, colour."""
    x = gaussian_filter1d(rng.standard_normal((n + 60, 3)), FPS / (2 * np.pi * hz), axis=0)[30 : 30 + n]
    return x / x.std(0)


def motion_from(control: NDArray[np.float64], rng: np.random.Generator, share: float = 0.9) -> Motion:
    """Arms, jaw, head and face that follow `control` [T, 3], mixed with a share of unrelated movement."""
    n = len(control)
    own = np.sqrt(share) * control + np.sqrt(1 - share) * control_signal(rng, n)
    poses = np.zeros((n, 55, 3))
    poses[:, SHOULDERS, 2] = np.array([-1.1, 1.1]) + 0.25 * own[:, :1]
    poses[:, ELBOWS, 1] = np.array([-0.9, 0.9]) + 0.3 * own[:, 1:2]
    poses[:, JAW, 0] = 0.05 + 0.03 * own[:, 0]
    poses[:, 15, 0] = 0.1 * own[:, 2]
    poses += 0.01 * control_signal(rng, n, 0.5)[:, None, :]
    expressions = np.zeros((n, 100))
    expressions[:, :10] = own @ np.random.default_rng(5).standard_normal((3, 10))
    trans = np.zeros((n, 3))
    trans[:, 1] = 0.95
    return Motion(
        poses=poses.astype(np.float32),
        trans=trans,
        expressions=expressions,
        betas=np.zeros(300, np.float32),
        fps=float(FPS),
    )


def mfcc_from(control: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """[T, 128]: the control signal seen through a fixed random matrix, with noise."""
    mix = np.random.default_rng(6).standard_normal((3, 128))
    return (control @ mix + 0.3 * rng.standard_normal((len(control), 128))).astype(np.float32)


def wave_from(control: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose loudness is the control's."""
    n = len(control) * 16000 // FPS
    loud = np.interp(np.arange(n) / 16000, (np.arange(len(control)) + 0.5) / FPS, control[:, 0])
    return (0.1 * np.clip(loud, 0, None) * rng.standard_normal(n)).astype(np.float32).clip(-1, 1)


@dataclass
class World:
    """A workspace with everything that evaluation reads but what its own stages make."""

    params: Params
    W: Workspace
    controls: dict[str, NDArray[np.float64]]

    def test_clips(self) -> list[str]:
        return sorted(c for c in self.controls if "_test" in c)


def demo_params(**evaluate: object) -> Params:
    """params.yaml with small stages."""
    raw = load_params(REPOSITORY / "params.yaml").model_dump()
    raw["data"]["root"] = "raw"
    raw["embedder"] |= {"steps": 8, "batch": 8, "window_frames": 32}
    raw["scorer"] |= {"steps": 120, "batch": 16, "window_s": 2.0, "width": 32}
    raw["evaluate"] |= {"bootstrap": 200, "bootstrap_fgd": 20, "render": False} | evaluate
    raw["tracking"]["trackers"] = []
    return parse_params(raw)


def save_clip(
    W: Workspace, clip: str, control: NDArray[np.float64], rng: np.random.Generator, share: float
) -> None:
    """The tables of one clip, and its wav in a BEAT2 tree."""
    motion = motion_from(control, rng, share)
    write_motion_table(W.feature("motion") / f"{clip}.parquet", motion, clip=clip)
    write_table(
        W.feature("mfcc") / f"{clip}.parquet",
        mfcc_from(control, rng),
        clip=clip,
        feature="mfcc",
        unit="1",
        fps=FPS,
        dtype="float32",
    )
    duration_s = len(control) / FPS
    words = [
        Word(text="word", start_s=s, end_s=s + 0.4)
        for s in np.arange(0.0, duration_s - 2, 0.5)
        if s % 4 < 2.5
    ]
    write_text_table(W.feature("text") / f"{clip}.parquet", words, np.zeros((len(words), 8)), clip, "float32")
    (W.raw / "wave16k").mkdir(parents=True, exist_ok=True)
    soundfile.write(W.raw / "wave16k" / f"{clip}.wav", wave_from(control, rng), 16000)
    (W.raw / "smplxflame_30").mkdir(parents=True, exist_ok=True)
    write_motion(W.raw / "smplxflame_30" / f"{clip}.npz", motion)


def build_world(share: float = 0.9, seconds: float = 12.0) -> World:
    """Two speakers with 3 train, 1 val and 4 test clips each, in the working folder."""
    params = demo_params()
    W = Workspace.of(params)
    rows, controls = [], {}
    for speaker in (1, 2):
        for split, count in (("train", 3), ("val", 2), ("test", 4)):
            for k in range(count):
                clip = f"{speaker}_name_{split}_{k}"
                rng = np.random.default_rng([speaker, k, len(split)])
                controls[clip] = control_signal(rng, round(seconds * FPS))
                save_clip(W, clip, controls[clip], rng, share)
                rows.append({"id": clip, "speaker": speaker, "split": split, "n_frames": len(controls[clip])})
    for row in rows:
        row["duration_s"] = row["n_frames"] / FPS
    W.ingest.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), W.ingest / "clips.parquet")
    split_rows = "\r\n".join(f"{r['id']},{r['split']}" for r in rows)
    (W.raw / "train_test_split.csv").write_text(f"id,type\r\n{split_rows}\r\n")
    return World(params, W, controls)


def generate(world: World, seed: int, share: float) -> None:
    """A pretended model: it hears `share` of the control; wrong audio is the speaker's next test clip."""
    for clip, control in world.controls.items():
        if "_test_" not in clip:
            continue
        stem, k = clip.rsplit("_", 1)
        wrong = world.controls[f"{stem}_{(int(k) + 1) % 4}"]
        for name, heard in (("model", control), ("wrong-audio", wrong)):
            rng = np.random.default_rng([seed, int(k), int(clip[0])])  # the same noise for both
            write_motion(
                world.W.generated / f"{name}-seed{seed}" / f"{clip}.npz", motion_from(heard, rng, share)
            )


def generate_latent_flow(world: World, share: float) -> None:
    """A pretended latent flow, which hears less."""
    folder = world.W.latent_flow.generated
    for clip in world.test_clips():
        rng = np.random.default_rng([9, int(clip[-1]), int(clip[0])])
        write_motion(folder / f"{clip}.npz", motion_from(world.controls[clip], rng, share))
    write_json(folder / "generation.json", {"checkpoint": "c0ffee", "sampling": {"steps": 4}})
