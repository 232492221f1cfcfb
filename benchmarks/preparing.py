"""CPU time that a minute of clips takes to prepare, by stage, beside the peers' cache building; and its disk.

    python benchmarks/preparing.py [--minutes 6] [--rounds 5]

Clips are made up, a minute each, in BEAT2's layout. Imports and starting networks are left out, since a job
pays them once a shard. Random numbers stand in for WavLM, whose passes are no part of this. The passes of the
text encoder that params.yaml names are, and have a line of their own as well. Packing is timed a second time
with WavLM one channel wide, which tells what its 768 take.

The peers' side is nearly all of what their cache building does for a minute: a full SMPL-X pass through the
`smplx` library (made-up weights, true sizes), of which they keep four joints as foot contacts, and the
largest of 1,024 samples at every sample. Pickling their windows is left out, in their favour. Both sides run
in turn.
"""

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.numpy import save_file

from omniges.config import Params, load_params
from omniges.data import extract, extract_audio, ingest, pack
from omniges.data.beat2 import write_motion
from omniges.data.clips import SPLIT_FILE, read_clips
from omniges.data.table import write_table
from omniges.features import text as text_feature
from omniges.features.stage import encoders
from omniges.motion.layout import N_JOINTS, PARENTS, PARTS
from omniges.motion.smplx_body import N_VERTICES, SmplxBody
from omniges.types import Motion
from omniges.workspace import Workspace

FPS, SECONDS = 30, 60
GOAL = 100.0
PEER_DISK_MB = 66.6  # measured: 64-frame windows every 20 frames, pickled, a minute
WAVLM_WIDTH = 768
DISK_GOALS = {"with WavLM": 7, "without WavLM": 15}


def made_up_clip(root: Path, clip: str, rng: np.random.Generator) -> None:
    """Smooth motion, noise for sound, 150 words."""
    n = FPS * SECONDS
    motion = Motion(
        poses=np.cumsum(rng.standard_normal((n, 55, 3), np.float32) * 0.01, axis=0),
        trans=np.cumsum(rng.standard_normal((n, 3)) * 0.002, axis=0),
        expressions=rng.standard_normal((n, 100)),
        betas=np.zeros(300, np.float32),
        fps=FPS,
    )
    write_motion(root / "smplxflame_30" / f"{clip}.npz", motion)
    wave = rng.uniform(-0.3, 0.3, round((SECONDS + 0.4) * 16_000)).astype(np.float32)
    soundfile.write(root / "wave16k" / f"{clip}.wav", wave, 16_000)
    ends = np.linspace(0.0, SECONDS, 301)
    tiers = []
    for number, tier in enumerate(("words", "phones"), start=1):
        tiers.append(f'item [{number}]:\n class = "IntervalTier"\n name = "{tier}"\n xmin = 0\n')
        tiers.append(f" xmax = {SECONDS}\n intervals: size = 300\n")
        for i in range(300):
            text = f"word{i}" if i % 2 else ""
            tiers.append(f" intervals [{i + 1}]:\n xmin = {ends[i]}\n xmax = {ends[i + 1]}\n")
            tiers.append(f' text = "{text}"\n')
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n'
    body = f"xmax = {SECONDS}\ntiers? <exists>\nsize = 2\nitem []:\n{''.join(tiers)}"
    (root / "textgrid" / f"{clip}.TextGrid").write_text(head + body)


def made_up_tree(root: Path, clips: list[str]) -> None:
    for name in ("smplxflame_30", "wave16k", "textgrid"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for clip in clips:
        made_up_clip(root, clip, rng)
    rows = "".join(f"{clip},train\r\n" for clip in clips)
    (root / SPLIT_FILE).write_bytes(f"id,type\r\n{rows}".encode())


def stand_in(W: Workspace, clips: list[str], name: str, rate: float, width: int, dtype: str) -> None:
    """Random numbers as a feature."""
    rng = np.random.default_rng(1)
    for clip in clips:
        values = (rng.standard_normal((round(SECONDS * rate), width), np.float32) * 9).astype(dtype)
        path = W.feature(name) / f"{clip}.parquet"
        write_table(path, values, clip=clip, feature=name, unit="1", fps=rate, dtype=dtype)


def stand_in_wavlm(W: Workspace, clips: list[str], width: int) -> None:
    stand_in(W, clips, "wavlm", FPS, width, "float16")


def stand_ins(W: Workspace, clips: list[str]) -> None:
    """WavLM, codes and the tokenizers' statistics, which this benchmark does not time."""
    stand_in_wavlm(W, clips, WAVLM_WIDTH)
    stand_in(W, clips, "codes", FPS / 4, 24, "int16")
    for name, part in PARTS.items():
        W.tokenizer(name).mkdir(parents=True, exist_ok=True)
        values = {"mean": np.zeros(part.width, np.float32), "std": np.ones(part.width, np.float32)}
        save_file(values, W.tokenizer(name) / "statistics.safetensors")


class PeersCaches:
    """What the peers' cache building spends its time on."""

    def __init__(self, folder: Path) -> None:
        rng, V, J = np.random.default_rng(2), N_VERTICES, N_JOINTS
        share = rng.random((J, V), np.float32)
        path = folder / "body.npz"
        np.savez(
            path,
            v_template=rng.standard_normal((V, 3), np.float32),
            weights=(share / share.sum(axis=0)).T,
            J_regressor=share / share.sum(axis=1, keepdims=True),
            shapedirs=0.01 * rng.standard_normal((V, 3, 400), np.float32),
            posedirs=0.001 * rng.standard_normal((V, 3, 9 * (J - 1)), np.float32),
            f=rng.integers(0, V, (20_908, 3)),
            kintree_table=np.stack([np.array([2**32 - 1, *PARENTS[1:]]), np.arange(J)]),
            hands_meanl=np.zeros(45, np.float32),
            hands_meanr=np.zeros(45, np.float32),
            hands_componentsl=np.eye(45, dtype=np.float32),
            hands_componentsr=np.eye(45, dtype=np.float32),
            lmk_faces_idx=rng.integers(0, 20_908, 51),
            lmk_bary_coords=np.full((51, 3), 1 / 3, np.float32),
        )
        self._body, n = SmplxBody(path), FPS * SECONDS
        self._motion = Motion(
            poses=0.2 * rng.standard_normal((n, J, 3), np.float32),
            trans=np.zeros((n, 3)),
            expressions=rng.standard_normal((n, 100)),
            betas=np.zeros(300, np.float32),
            fps=FPS,
        )
        self._wave = rng.uniform(-0.3, 0.3, SECONDS * 16_000).astype(np.float32)

    def minute(self) -> None:
        for posed in self._body.pose(self._motion):
            _ = posed.joints[:, [7, 8, 10, 11]]
        for start in range(0, len(self._wave), 160_000):  # at once, it would take 4 GB
            views = np.lib.stride_tricks.sliding_window_view(self._wave[start : start + 161_023], 1024)
            np.abs(views).max(axis=1)


def timed(do: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    do()
    return time.process_time() - start


class Network:
    """Times the text encoder's passes, which are a network's, apart from the stage around them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        window = text_feature.TextEncoder._window

        def timed_window(encoder: text_feature.TextEncoder, words: Sequence[str]) -> np.ndarray:
            start = time.process_time()
            found = window(encoder, words)
            self.seconds += time.process_time() - start
            return found

        text_feature.TextEncoder._window = timed_window  # type: ignore[method-assign]


def stage_seconds(params: Params, W: Workspace, clips: list[str], network: Network) -> dict[str, float]:
    """CPU seconds a minute of each stage, once."""
    found = {"ingest": timed(lambda: ingest.run(params, W)) / len(clips)}
    stages = {"motion": extract.motion, "mfcc": extract_audio.mfcc, "text": extract_audio.text}
    for name, stage in stages.items():
        # A call over one clip is start as well as work: taking it off leaves work alone.
        start = timed(lambda stage=stage: stage(params, W, clips[:1]))
        network.seconds = 0.0
        whole = timed(lambda stage=stage: stage(params, W, clips))
        found[name] = (whole - start) / (len(clips) - 1)
    found["text encoder"] = network.seconds / len(clips)
    found["text"] -= found["text encoder"]
    for name, width in (("pack without WavLM", 1), ("pack", WAVLM_WIDTH)):
        stand_in_wavlm(W, clips, width)
        shutil.rmtree(W.pack, ignore_errors=True)
        found[name] = timed(lambda: pack.run(params, W)) / len(clips)
    return found


def disk_mb(W: Workspace, minutes: int) -> dict[str, float]:
    names = ("motion", "mfcc", "wavlm", "text", "codes", "pack")
    return {
        name: sum(path.stat().st_size for path in (W.data / name).rglob("*") if path.is_file())
        / minutes
        / 1e6
        for name in names
    }


def print_speed(rounds: list[dict[str, float]], peers: list[float]) -> None:
    print(f"peers' SMPL-X pass and amplitude: {1e3 * statistics.median(peers):.0f} ms of CPU a minute")
    for name in rounds[0]:
        print(f"{name}: {1e3 * statistics.median(found[name] for found in rounds):.1f} ms of CPU a minute")
    stages = ("motion", "mfcc", "text", "text encoder")
    for what, packing in (("preparing", "pack"), ("preparing without WavLM's column", "pack without WavLM")):
        ours = [sum(found[name] for name in (*stages, packing)) for found in rounds]
        ratios = [p / o for p, o in zip(peers, ours, strict=True)]
        print(
            f"{what}: {1e3 * statistics.median(ours):.1f} ms, rounds {min(ratios):.0f} to {max(ratios):.0f}"
        )
        print(f"{what}, times faster: {statistics.median(ratios):.0f} (goal {GOAL:g})")


def print_disk(disk: dict[str, float], wavlm_in_pack: float) -> None:
    print("disk a minute: " + ", ".join(f"{name} {size:.2f} MB" for name, size in disk.items()))
    everything = {"with WavLM": sum(disk.values())}
    everything["without WavLM"] = everything["with WavLM"] - disk["wavlm"] - wavlm_in_pack
    packed = {"with WavLM": disk["pack"], "without WavLM": disk["pack"] - wavlm_in_pack}
    for what, goal in DISK_GOALS.items():
        whole, read = PEER_DISK_MB / everything[what], PEER_DISK_MB / packed[what]
        print(f"disk {what}: all stages together 1/{whole:.2f} of the windows' (goal 1/{goal}),")
        print(f"  the pack alone 1/{read:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    params = load_params()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        update = {"name": "preparing", "root": "raw", "required_splits": ["train"]}
        params = params.model_copy(update={"data": params.data.model_copy(update=update)})
        W, clips = Workspace.of(params), [f"1_ann_0_{i}_{i}" for i in range(options.minutes)]
        made_up_tree(W.raw, clips)
        encoders(params, W)
        stand_ins(W, clips)
        peers, network = PeersCaches(Path(folder)), Network()
        stage_seconds(params, W, clips, network)  # warms up
        if len(read_clips(W)) != len(clips):
            raise SystemExit((W.ingest / "report.md").read_text())
        rounds, theirs = [], []
        for _ in range(options.rounds):
            theirs.append(timed(peers.minute))
            rounds.append(stage_seconds(params, W, clips, network))
        disk = disk_mb(W, options.minutes)
        os.chdir("/")
    print_disk(disk, wavlm_in_pack=FPS * SECONDS * WAVLM_WIDTH * 2 / 1e6)
    print_speed(rounds, theirs)


if __name__ == "__main__":
    main()
