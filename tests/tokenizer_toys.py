"""Made-up motion and small sizes for the tokenizers' tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from omniges.config import Params
from omniges.data.motion_table import write_motion_table
from omniges.types import Motion
from omniges.workspace import Workspace


def moving(n_frames: int, seed: int) -> Motion:
    """A clip of slow, band-limited motion in few dimensions, so that little training learns it."""
    rng = np.random.default_rng(seed)
    hidden = gaussian_filter1d(rng.normal(0, 1, (n_frames + 100, 6)), 8, axis=0)[50:-50]
    hidden /= hidden.std(axis=0)
    mixing = np.random.default_rng(99).normal(0, 1, (6, 265))
    values = hidden @ mixing / 6**0.5
    return Motion(
        poses=(0.2 * values[:, :165]).reshape(n_frames, 55, 3).astype(np.float32),
        trans=np.cumsum(values[:, [0, 1, 2]] * 0.002, axis=0) * [1, 0.1, 1] + np.array([0.0, 1.3, 0.0]),
        expressions=0.5 * values[:, 165:265],
        betas=np.zeros(300, np.float32),
        fps=30.0,
    )


def with_tokenizers(params: Params, **changes: Any) -> Params:
    """The shipped parameters at a size for tests."""
    small = {
        "width": 16,
        "code_dim": 8,
        "codes": 16,
        "quantizers": 3,
        "quantizer_dropout": 0.2,
        "steps": 30,
        "batch": 8,
        "window_frames": 32,
        "warmup_steps": 2,
        "lr_milestones": [25],
    }
    section = params.tokenizers.model_copy(update={**small, **changes})
    untracked = params.tracking.model_copy(update={"trackers": []})
    return params.model_copy(update={"tokenizers": section, "tracking": untracked})


def write_world(W: Workspace, splits: dict[str, str], n_frames: int = 200) -> None:
    """Ingest table and motion tables of made-up clips; `splits` maps clip ids to splits."""
    rows = [
        {"id": clip, "speaker": 1, "split": split, "n_frames": n_frames, "duration_s": n_frames / 30}
        for clip, split in sorted(splits.items())
    ]
    W.ingest.mkdir(parents=True)
    strings, integers = ("id", "split"), ("speaker", "n_frames")
    columns = [*((name, pa.string()) for name in strings), *((name, pa.int64()) for name in integers)]
    schema = pa.schema([*columns, ("duration_s", pa.float64())])
    pq.write_table(pa.Table.from_pylist(rows, schema), W.ingest / "clips.parquet")
    for seed, clip in enumerate(sorted(splits)):
        motion = moving(n_frames, seed)
        path = W.feature("motion") / f"{clip}.parquet"
        write_motion_table(path, motion, clip=clip)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def as_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
