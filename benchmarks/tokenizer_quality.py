"""Compare ways to train a tokenizer, at equal steps and size, on the corpus that params.yaml names.

    python benchmarks/tokenizer_quality.py --parts upper lower_trans --steps 400 [--only NAME] [--set K=V]

Needs the motion stage's tables. Writes a Markdown table to standard output; figures are of the val split.
"""

import argparse
import time
from typing import Any

import torch

from omniges.config import Params, load_params
from omniges.tokenizers import reconstruction
from omniges.tokenizers import statistics as normalisation
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of, read_part_channels
from omniges.tokenizers.training import Trainer
from omniges.tokenizers.windows import TrainFrames
from omniges.workspace import Workspace

PEER: dict[str, Any] = {"compatible": True, "temperature": 0.5, "dead_below": 1.0, "start": "rows"}
PLAIN: dict[str, Any] = {"compatible": False, "temperature": 0.0, "dead_below": 0.5, "start": "rows"}
OURS: dict[str, Any] = {**PLAIN, "start": "kmeans"}
VARIANTS: dict[str, dict[str, Any]] = {
    "peer recipe, faults on": PEER,
    "peer recipe, nearest codes": {**PEER, "temperature": 0.0},
    "faults mended": PLAIN,
    "+ k-means start": OURS,
    "+ k-means, rotation trick": {**OURS, "gradient": "rotation"},
    "+ k-means, chordal loss 1": {**OURS, "geodesic": 1.0},
    "+ k-means, joint loss 1": {**OURS, "joints": 1.0},
    "+ k-means, joint loss 5": {**OURS, "joints": 5.0},
    "+ k-means, joint loss 5, rotation trick": {**OURS, "joints": 5.0, "gradient": "rotation"},
    "+ k-means, joint loss 5, chordal loss 1": {**OURS, "joints": 5.0, "geodesic": 1.0},
}
COLUMNS = ("degrees", "joints_mm", "velocity_mm_per_s", "abs_error", "velocity_error_per_s", "trans_drift_mm")


def run(params: Params, W: Workspace, part: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Train one variant; returns the val split's figures and the seconds it took."""
    section = params.tokenizers.model_copy(update=changes)
    params = params.model_copy(update={"tokenizers": section})
    clips = read_part_channels(W, part, "train")
    statistics = normalisation.measure(part, (clip.values for clip in clips))
    data = TrainFrames.of(part, [(c.clip, c.values) for c in clips], statistics, section.window_frames)
    torch.manual_seed(section.seed)
    trainer = Trainer(part, RVQVAE(config_of(params, part)), data, statistics, section)
    start = time.process_time()
    trainer.run()
    seconds = time.process_time() - start
    val = read_part_channels(W, part, "val")
    return {
        **reconstruction.measure(part, trainer.model, statistics, val, params.data.fps, "val"),
        "cpu_s": seconds,
    }


def row(part: str, name: str, found: dict[str, Any]) -> str:
    kept = found["normalised_abs_error_by_quantizers_kept"]
    cells = [part, name, f"{kept[0]:.3f} / {kept[2]:.3f} / {kept[-1]:.3f}"]
    cells += [f"{found[column]:.3g}" if column in found else "" for column in COLUMNS]
    cells += [
        f"{found['codes']['used_share'][0]:.0%}",
        f"{found['codes']['perplexity'][0]:.0f}",
        f"{found['cpu_s']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--parts", nargs="+", default=["upper", "lower_trans"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS))
    parser.add_argument("--set", nargs="*", default=[], help="numbers for all variants, such as lr=0.002")
    given = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(given.params)
    common: dict[str, Any] = {"steps": given.steps, "lr_milestones": [max(1, given.steps * 3 // 4)]}
    for text in given.set:
        key, value = text.split("=")
        common[key] = type(getattr(params.tokenizers, key))(value)
    head = [
        "part",
        "variant",
        "error with 1 / 3 / 6 codes",
        *COLUMNS,
        "used 1st book",
        "perplexity 1st",
        "CPU s",
    ]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head), flush=True)
    for part in given.parts:
        for name in given.only:
            changes = {**common, **VARIANTS[name]}
            print(row(part, name, run(params, Workspace.of(params), part, changes)), flush=True)


if __name__ == "__main__":
    main()
