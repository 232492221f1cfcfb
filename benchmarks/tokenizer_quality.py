"""Compare ways to train a tokenizer, at equal steps and size.

    python benchmarks/tokenizer_quality.py --parts upper lower_trans --seeds 13 14 15
    python benchmarks/tokenizer_quality.py --overfit BEAT2_TREE --parts upper hands lower_trans face

Without `--overfit`: the corpus that params.yaml names; needs the motion stage's tables, figures are of
the val split. With it: trained on, and measured on, all clips of a BEAT2 tree.
Writes a Markdown table to standard output: the mean over seeds and, behind ±, half the distance between the
largest and the smallest.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from vector_quantize_pytorch import ResidualFSQ

from omniges.config import Params, load_params
from omniges.data.beat2 import read_motion
from omniges.motion.features import motion_to_features
from omniges.motion.layout import PARTS
from omniges.tokenizers import reconstruction
from omniges.tokenizers import statistics as normalisation
from omniges.tokenizers.distance import MotionEmbedder
from omniges.tokenizers.quantizer import Quantized, VectorQuantizer
from omniges.tokenizers.reconstruction import ClipChannels
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of, read_part_channels
from omniges.tokenizers.training import Trainer
from omniges.tokenizers.windows import TrainFrames
from omniges.workspace import Workspace

RANDOM: dict[str, Any] = {"first_weights": "random"}
JERKY: dict[str, Any] = {"commitment": 0.02, "velocity": 0.5, "acceleration": 0.0, "joints": 5.0}
"""The losses until the network started from principal components."""
NO_LOSSES: dict[str, Any] = {**RANDOM, **JERKY, "geodesic": 0.0, "joints": 0.0, "path": 0.0, "contact": 0.0}
PEER: dict[str, Any] = NO_LOSSES | {
    "compatible": True,
    "temperature": 0.5,
    "dead_below": 1.0,
    "start": "rows",
}
PLAIN: dict[str, Any] = NO_LOSSES | {
    "compatible": False,
    "temperature": 0.0,
    "dead_below": 0.5,
    "start": "rows",
}
OURS: dict[str, Any] = {**PLAIN, "start": "kmeans"}
POSED: dict[str, Any] = {**OURS, "joints": 5.0, "geodesic": 1.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "peer recipe, faults on": PEER,
    "peer recipe, nearest codes": {**PEER, "temperature": 0.0},
    "faults mended": PLAIN,
    "k-means start": OURS,
    "k-means, rotation trick": {**OURS, "gradient": "rotation"},
    "k-means, FSQ 8 x 4 x 4": {**OURS, "fsq": (8, 4, 4)},
    "k-means, chordal 1": {**OURS, "geodesic": 1.0},
    "k-means, joints 5": {**OURS, "joints": 5.0},
    "k-means, joints 5, chordal 1": POSED,
    "joints 5, chordal 1, contact 20": {**POSED, "contact": 20.0},
    "joints 5, chordal 1, path 0.3": {**POSED, "path": 0.3},
    "joints 5, chordal 1, path 1": {**POSED, "path": 1.0},
    "joints 5, chordal 1, path 2": {**POSED, "path": 2.0},
    "joints 5, chordal 1, path 5": {**POSED, "path": 5.0},
    "joints 5, chordal 1, path 1, contact 20": {**POSED, "path": 1.0, "contact": 20.0},
    "random weights, losses of before": {**RANDOM, **JERKY},
    "random weights": RANDOM,
    "losses of before": JERKY,
    "shipped": {},
    "shipped, bf16": {"precision": "bf16"},
}
COLUMNS = (
    *("degrees", "joints_mm", "velocity_mm_per_s", "abs_error", "velocity_error_per_s"),
    *("trans_drift_mm", "trans_velocity_mm_per_s", "foot_slide_mm_per_s", "fgd"),
)


class Fsq(nn.Module):
    """Residual finite scalar quantisation (arXiv:2309.15505) in the place of learned codebooks."""

    def __init__(self, dim: int, levels: Sequence[int], quantizers: int) -> None:
        super().__init__()
        self.fsq = ResidualFSQ(dim=dim, levels=list(levels), num_quantizers=quantizers, quantize_dropout=True)

    def forward(self, latent: Tensor, generator: Generator | None = None) -> Quantized:
        found, codes = self.fsq(latent)
        zero = latent.new_zeros(())
        return Quantized(latent=found, codes=codes, commitment=zero, perplexity=zero)

    def encode(self, latent: Tensor) -> Tensor:
        self.eval()
        return self.fsq(latent)[1]

    def lookup(self, codes: Tensor) -> Tensor:
        return self.fsq.get_output_from_indices(codes)

    def books(self) -> list[VectorQuantizer]:
        return []


def overfit_channels(tree: Path, part: str) -> list[ClipChannels]:
    """Raw channels of all clips of a BEAT2 tree."""
    files = sorted((tree / "smplxflame_30").glob("*.npz"))
    values = ((path.stem, motion_to_features(read_motion(path)).values) for path in files)
    return [ClipChannels(clip, found[:, PARTS[part].channels]) for clip, found in values]


def run(
    params: Params, part: str, changes: dict[str, Any], train: list[ClipChannels], val: list[ClipChannels]
) -> dict[str, Any]:
    """Train one variant; returns the val clips' figures and the CPU seconds of the training."""
    levels = changes.pop("fsq", None)
    section = params.tokenizers.model_copy(update=changes)
    params = params.model_copy(update={"tokenizers": section})
    statistics = normalisation.measure(part, (clip.values for clip in train))
    data = TrainFrames.of(part, [(c.clip, c.values) for c in train], statistics, section.window_frames)
    torch.manual_seed(section.seed)
    model = RVQVAE(config_of(params, part))
    if levels:
        model.quantizer = Fsq(section.code_dim, levels, section.quantizers)  # type: ignore[assignment]
    trainer = Trainer(part, model, data, statistics, section)
    start = time.process_time()
    trainer.run()
    seconds = time.process_time() - start
    embedder = MotionEmbedder.of([clip.values for clip in train])
    found = reconstruction.measure(part, trainer.model, statistics, val, params.data.fps, "val", embedder)
    kept = found["by_quantizers_kept"]["normalised_abs_error"]
    falls = all(b < a for a, b in pairwise(kept))
    return {**found, "kept": kept, "falls": falls, "cpu_s": seconds}


def row(part: str, name: str, runs: list[dict[str, Any]]) -> str:
    """One row of the table, over seeds."""

    def cell(values: list[float], form: str = ".3g") -> str:
        spread = (max(values) - min(values)) / 2
        return f"{np.mean(values):{form}}" + (f" ± {spread:.1g}" if len(values) > 1 else "")

    cells = [part, name, *(cell([found["kept"][i] for found in runs], ".3f") for i in (0, 2, -1))]
    cells.append("yes" if all(found["falls"] for found in runs) else "NO")
    for column in COLUMNS:
        values = [found[column] for found in runs if found.get(column) is not None]
        cells.append(cell(values) if values else "")
    cells.append(cell([found["codes"]["used_share"][0] * 100 for found in runs], ".0f"))
    cells.append(cell([found["codes"]["perplexity"][0] for found in runs], ".0f"))
    cells.append(f"{np.mean([found['cpu_s'] for found in runs]):.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--parts", nargs="+", default=["upper", "lower_trans"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[13])
    parser.add_argument("--overfit", type=Path, metavar="TREE")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS))
    parser.add_argument("--set", nargs="*", default=[], help="numbers for all variants, such as lr=0.002")
    given = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(given.params)
    common: dict[str, Any] = {"steps": given.steps, "lr_milestones": [max(1, given.steps * 3 // 4)]}
    for text in given.set:
        key, value = text.split("=")
        common[key] = type(getattr(params.tokenizers, key))(value)
    head = [*("part", "variant", "error, 1 code", "3 codes", "6 codes", "falls each time"), *COLUMNS]
    head += ["1st book used %", "perplexity", "CPU s"]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head), flush=True)
    W = Workspace.of(params)
    for part in given.parts:
        if given.overfit:
            train = val = overfit_channels(given.overfit, part)
        else:
            train, val = (read_part_channels(W, part, split) for split in ("train", "val"))
        for name in given.only:
            changes = [{**common, **VARIANTS[name], "seed": seed} for seed in given.seeds]
            print(row(part, name, [run(params, part, c, train, val) for c in changes]), flush=True)


if __name__ == "__main__":
    main()
