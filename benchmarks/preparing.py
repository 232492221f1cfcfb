"""CPU seconds that a minute of clips takes to prepare, by stage; the field's caches take 7 s without WavLM.

    python benchmarks/preparing.py [--minutes 12]

Clips are made up, a minute each, in BEAT2's layout. Imports and starting networks are left out, since a job
pays them once a shard. Random numbers stand in for WavLM; the text encoder and MFCC are as params.yaml says:
the encoder is the one that it names.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
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
from omniges.features.stage import encoders
from omniges.motion.layout import PARTS
from omniges.types import Motion
from omniges.workspace import Workspace

FPS, SECONDS = 30, 60
PEER_S = 7.0  # CPU seconds a minute: full body model for foot contacts, strided amplitude
GOAL = 100.0


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


def stand_ins(W: Workspace, clips: list[str]) -> None:
    """WavLM, codes and the tokenizers' statistics, which this benchmark does not time."""
    rng = np.random.default_rng(1)
    for clip in clips:
        for name, rate, width, dtype in (("wavlm", FPS, 768, "float16"), ("codes", FPS / 4, 24, "int16")):
            values = (rng.standard_normal((round(SECONDS * rate), width), np.float32) * 9).astype(dtype)
            path = W.feature(name) / f"{clip}.parquet"
            write_table(path, values, clip=clip, feature=name, unit="1", fps=rate, dtype=dtype)
    for name, part in PARTS.items():
        W.tokenizer(name).mkdir(parents=True, exist_ok=True)
        values = {"mean": np.zeros(part.width, np.float32), "std": np.ones(part.width, np.float32)}
        save_file(values, W.tokenizer(name) / "statistics.safetensors")


def timed(do: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    do()
    return time.process_time() - start


def seconds_a_minute(params: Params, W: Workspace, clips: list[str]) -> dict[str, float]:
    """CPU seconds a minute of each stage."""
    encoders(params, W)
    found = {"ingest": timed(lambda: ingest.run(params, W))}
    assert len(read_clips(W)) == len(clips), (W.ingest / "report.md").read_text()
    stages = {"motion": extract.motion, "mfcc": extract_audio.mfcc, "text": extract_audio.text}
    for name, stage in stages.items():
        stage(params, W, clips[:1])
        # A call over one clip is start as well as work: taking it off leaves work alone.
        start = timed(lambda stage=stage: stage(params, W, clips[:1]))
        whole = timed(lambda stage=stage: stage(params, W, clips))
        found[name] = (whole - start) * len(clips) / (len(clips) - 1)
    stand_ins(W, clips)
    pack.run(params, W)
    found["pack"] = timed(lambda: pack.run(params, W))
    return {name: seconds / len(clips) for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=12)
    minutes = parser.parse_args().minutes
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    params = load_params()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        update = {"name": "preparing", "root": "raw", "required_splits": ["train"]}
        params = params.model_copy(update={"data": params.data.model_copy(update=update)})
        W, clips = Workspace.of(params), [f"1_ann_0_{i}_{i}" for i in range(minutes)]
        made_up_tree(W.raw, clips)
        found = seconds_a_minute(params, W, clips)
        disk = {
            name: sum(path.stat().st_size for path in (W.data / name).rglob("*") if path.is_file()) / minutes
            for name in ("motion", "mfcc", "wavlm", "text", "codes", "pack")
        }
        os.chdir("/")
    for name, seconds in found.items():
        print(f"{name}: {seconds * 1e3:.1f} ms of CPU a minute")
    print("disk a minute: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in disk.items()))
    prepared = sum(found[name] for name in ("motion", "mfcc", "text", "pack"))
    rest = prepared - found["mfcc"]
    print(f"preparing without MFCC, times faster than {PEER_S:g} s: {PEER_S / rest:.0f} (goal {GOAL:g})")
    print(f"preparing, times faster than {PEER_S:g} s: {PEER_S / prepared:.0f} (goal {GOAL:g})")


if __name__ == "__main__":
    main()
