"""Windows a second from the pack, beside an LMDB of pickled windows as the field's loaders keep them.

    python benchmarks/loading.py [--minutes 40] [--peer-minutes 4] [--seconds 4]

Both sets are made up (random numbers in true shapes) and larger than the processor's caches; both are read
warm, in one process, in random order, 64 windows a batch. The field's window is that of its caches: pose,
contacts, onset and amplitude at the sample rate, expressions, shape a frame, words, labels, translation.
Beside it: what a DataLoader with one worker hands to training, in batches of training's own size, over what a
full-size training step takes in. Seconds there are CPU seconds of the worker and of the process that trains.
"""

import argparse
import os
import pickle
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import numpy as np
import torch
from safetensors.numpy import save_file
from step import adamw
from step_arms import Step
from torch.utils.data import DataLoader, RandomSampler

from omniges.config import Params, load_params
from omniges.data import pack
from omniges.data.motion_table import write_motion_table
from omniges.data.table import write_table, write_text_table
from omniges.data.windows import Batch, WindowDataset, collate
from omniges.motion.layout import PARTS
from omniges.types import Motion, Word
from omniges.workspace import Workspace

FRAMES, STRIDE, BATCH, FPS = 64, 20, 64, 30
WINDOWS_A_MINUTE = 60 * FPS / STRIDE
SPEED_GOAL, BYTES_GOAL, FEED_GOAL = 2.5, 1 / 3, 5


def made_up_pack(params: Params, W: Workspace, minutes: int) -> None:
    """A pack of one-minute clips with true widths."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, n = np.random.default_rng(0), 60 * FPS
    clips = [f"1_ann_0_{i}_{i}" for i in range(minutes)]
    for clip in clips:
        motion = Motion(
            poses=rng.standard_normal((n, 55, 3), np.float32),
            trans=rng.standard_normal((n, 3)),
            expressions=rng.standard_normal((n, 100)),
            betas=np.zeros(300, np.float32),
            fps=FPS,
        )
        write_motion_table(W.feature("motion") / f"{clip}.parquet", motion, clip=clip)
        for name, width, fps, dtype in (
            ("mfcc", 128, FPS, "float16"),
            ("wavlm", 768, FPS, "float16"),
            ("codes", 24, FPS / 4, "int16"),
        ):
            values = rng.standard_normal((round(60 * fps), width), np.float32).astype(dtype)
            path = W.feature(name) / f"{clip}.parquet"
            write_table(path, values, clip=clip, feature=name, unit="1", fps=fps, dtype=dtype)
        words = [Word(text="word", start_s=i * 0.4, end_s=i * 0.4 + 0.3) for i in range(150)]
        embeddings = rng.standard_normal((150, 1024), np.float32)
        write_text_table(W.feature("text") / f"{clip}.parquet", words, embeddings, clip, "float16")
    for name, part in PARTS.items():
        W.tokenizer(name).mkdir(parents=True)
        values = {"mean": np.zeros(part.width, np.float32), "std": np.ones(part.width, np.float32)}
        save_file(values, W.tokenizer(name) / "statistics.safetensors")
    W.ingest.mkdir(parents=True)
    rows = [{"id": c, "speaker": 1, "split": "train", "n_frames": n, "duration_s": 60.0} for c in clips]
    pq.write_table(pa.Table.from_pylist(rows), W.ingest / "clips.parquet")
    pack.run(params, W)


def peer_window(rng: np.random.Generator) -> list[np.ndarray]:
    """One window as the field pickles it: 722 kB; 740 kB were measured in a real cache."""
    samples = round(FRAMES / FPS * 16_000)
    return [
        rng.standard_normal((FRAMES, 169), np.float32),  # pose and contacts
        rng.standard_normal((samples, 2)),  # onset and amplitude
        rng.standard_normal((FRAMES, 100)),  # expressions
        rng.standard_normal((FRAMES, 300), np.float32),  # betas, repeated
        *(rng.integers(0, 9, FRAMES) for _ in range(4)),  # word, emotion, semantics, speaker
        *(rng.standard_normal((FRAMES, 3)) for _ in range(2)),  # translation and its steps
    ]


def made_up_pickles(path: Path, minutes: int) -> int:
    """An LMDB of pickled windows; returns their number."""
    rng, n = np.random.default_rng(0), round(minutes * WINDOWS_A_MINUTE)
    with lmdb.open(str(path), map_size=n * (1 << 20)) as environment:
        for i in range(n):
            with environment.begin(write=True) as transaction:
                transaction.put(f"{i:08d}".encode(), pickle.dumps(peer_window(rng)))
    return n


def rates_of(sources: dict[str, Callable[[], Iterator[int]]], seconds: float) -> dict[str, float]:
    """Windows a CPU second of each source, the best of five turns after a warming one; turns alternate, so
    that a busy machine is unfair to none.
    """
    best = dict.fromkeys(sources, 0.0)
    for turn in range(6):
        for name, batches in sources.items():
            found, start = 0, time.process_time()
            for size in batches():
                found += size
                if time.process_time() - start > seconds / 6:
                    break
            if turn:
                best[name] = max(best[name], found / (time.process_time() - start))
    return best


def peer_batches(path: Path, n: int, as_torch: bool) -> Iterator[int]:
    rng = np.random.default_rng(1)
    environment = lmdb.open(str(path), readonly=True, lock=False)
    try:
        while True:
            with environment.begin() as transaction:
                keys = (f"{i:08d}".encode() for i in rng.integers(0, n, BATCH))
                samples = [pickle.loads(transaction.get(key)) for key in keys]
            if as_torch:
                [torch.from_numpy(np.stack(column)).float() for column in zip(*samples, strict=True)]
            yield len(samples)
    finally:
        environment.close()


def pack_batches(windows: WindowDataset, cast: bool) -> Iterator[int]:
    sampler = RandomSampler(windows, replacement=True, num_samples=1 << 20)
    loader: DataLoader[Batch] = DataLoader(windows, BATCH, sampler=sampler, collate_fn=collate)
    for batch in loader:
        yield len(batch.to("cpu") if cast else batch)


def fed_by_one_worker(windows: WindowDataset, batch: int, n_batches: int) -> dict[str, float]:
    """Windows a CPU second of the worker, and of the process that takes its batches and casts them."""
    sampler = RandomSampler(windows, replacement=True, num_samples=batch * n_batches)
    loader: DataLoader[Batch] = DataLoader(windows, batch, sampler=sampler, collate_fn=collate, num_workers=1)
    children, own = children_s(), time.process_time()
    n = sum(len(found.to("cpu")) for found in loader)
    own = time.process_time() - own
    del loader
    return {"worker": n / (children_s() - children), "training process": n / own}


def children_s() -> float:
    """CPU seconds of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def consumed(params: Params, turns: int = 3) -> float:
    """Windows a CPU second that the full-size step takes in, in the parameters' precision."""
    step = Step(params, "bf16" if params.train.precision == "bf16" else "fp32")
    optimizer = adamw([step.model])
    times = [sum(step.run(optimizer).values()) for _ in range(turns)]
    return params.train.batch_per_process / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=40)
    parser.add_argument("--peer-minutes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--batches", type=int, default=1000, help="that one worker makes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params, full_size = load_params(), load_params(Path("params.beat2.yaml"))
    data = params.data.model_copy(update={"name": "loading", "required_splits": ["train"]})
    params = params.model_copy(update={"data": data})
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        W = Workspace.of(params)
        made_up_pack(params, W, arguments.minutes)
        n = made_up_pickles(Path("pickles"), arguments.peer_minutes)
        windows = WindowDataset(W.pack, "train", FRAMES)
        sources = {
            "pickles, loaded": lambda: peer_batches(Path("pickles"), n, False),
            "pickles, as torch batches": lambda: peer_batches(Path("pickles"), n, True),
            "pack, as stored": lambda: pack_batches(windows, False),
            "pack, as float32": lambda: pack_batches(windows, True),
        }
        rates = rates_of(sources, arguments.seconds)
        fed = fed_by_one_worker(windows, full_size.train.batch_per_process, arguments.batches)
        peer_disk = Path("pickles/data.mdb").stat().st_size / arguments.peer_minutes
        disk = sum(path.stat().st_size for path in W.pack.glob("*.mdb")) / arguments.minutes
        batch = windows.__getitems__(list(range(0, len(windows), len(windows) // BATCH))[:BATCH])
        read = sum(t.nbytes for t in batch._tensors().values()) / BATCH
        peer_read = len(pickle.dumps(peer_window(np.random.default_rng(0))))
        os.chdir("/")
    for name, value in rates.items():
        print(f"{name}: {value:,.0f} windows a CPU second")
    print(f"disk a minute: pickles {peer_disk / 1e6:.1f} MB, pack {disk / 1e6:.2f} MB")
    torch_ratio = rates["pack, as float32"] / rates["pickles, as torch batches"]
    loaded_ratio = rates["pack, as stored"] / rates["pickles, loaded"]
    print(f"windows a second over pickles, torch batches of float32: {torch_ratio:.2f} (goal {SPEED_GOAL})")
    print(f"windows a second over pickles, as stored: {loaded_ratio:.2f} (goal {SPEED_GOAL})")
    print(f"bytes a window over pickles: {read / peer_read:.3f} (goal {BYTES_GOAL:.3f})")
    taken = consumed(full_size)
    each = ", ".join(f"{who} {rate:,.0f}" for who, rate in fed.items())
    print(f"one worker, windows a CPU second: {each}; a full-size step takes {taken:.1f}")
    print(f"fed by one worker over what the step takes: {min(fed.values()) / taken:.0f} (goal {FEED_GOAL})")


if __name__ == "__main__":
    main()
