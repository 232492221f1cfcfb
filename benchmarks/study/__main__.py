"""What the model is made of, and what each piece is worth, on a corpus of which one knows what can be known.

    python benchmarks/study --folder FOLDER [--only NAME ...] [--train-seeds N] [--seeds 16] [--set K=V ...]

Makes a corpus of two speakers with 12 minutes each to learn from, takes every stage before training once,
trains the variants below with the pipeline's own code, generates the held-out clips under many seeds, and
prints a table; beside them stand the baselines and a listener who knows all that speech decides. What is done
lies in the folder and isn't done again. `--share 0` makes the negative control, on which nobody can hear
anything.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measure import SEEDS, Bench, baseline_figures, measure
from prepare import ROOT, changed, enter, prepare, study_params
from table import print_table
from takes import Withheld, model_takes, perfect_takes

from omniges.api.models import OF_SHAPED_NOISE
from omniges.config import Params
from omniges.files import read_json, write_json
from omniges.model.loading import load_model
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.training import stage as training
from omniges.workspace import Workspace

CORPUS = {"corpus.speakers": 2, "corpus.train_clips": 24, "corpus.val_clips": 2, "corpus.test_clips": 6}
SHAPED = {
    "model.noise": "shaped",
    "train.time_shift": 1.0,
    "train.prefix_noise": 0.3,
    **{f"sampling.{name}": value for name, value in OF_SHAPED_NOISE.items()},
}
"""Noise shaped as motion, and what goes with it: all flow times tell equally much of it."""
BASELINES = ("reconstruction", "mean-pose", "random-clip", "nearest-audio", "regression")


@dataclass(frozen=True, kw_only=True)
class VariantOf:
    """What differs from params.yaml."""

    trained: dict[str, Any] = field(default_factory=dict)  # needs a training of its own
    sampled: dict[str, Any] = field(default_factory=dict)  # needs none
    withheld: Withheld = None


VARIANTS: dict[str, VariantOf] = {
    "full": VariantOf(),
    "audio withheld": VariantOf(withheld="audio"),
    "text withheld": VariantOf(withheld="text"),
    "1 step": VariantOf(sampled={"steps": 1}),
    "8 steps": VariantOf(sampled={"steps": 8}),
    "even steps": VariantOf(sampled={"time_shift": 1.0}),
    "audio guidance 1.5": VariantOf(sampled={"audio_guidance": 1.5}),
    "no code drawn": VariantOf(sampled={"sampled_levels": 0}),
    "each token's code drawn anew": VariantOf(sampled={"coherence_s": 0.0}),
    "temperature 0.8": VariantOf(sampled={"temperature": 0.8}),
    "hard codes": VariantOf(sampled={"softness": 0.0}),
    "1 level drawn": VariantOf(sampled={"sampled_levels": 1}),
    "without gate": VariantOf(trained={"model.fusion_gate": False}),
    "1 residual stream": VariantOf(trained={"model.residual_streams": 1}),
    "context unaware of gesture": VariantOf(trained={"model.context_reads_gesture": False}),
    "latent flow": VariantOf(trained={"model.predicts": "latents"}),
    "latent flow, 16 steps": VariantOf(trained={"model.predicts": "latents"}, sampled={"steps": 16}),
    "shaped noise": VariantOf(trained=SHAPED),
    "shaped noise, 2 steps": VariantOf(trained=SHAPED, sampled={"steps": 2, "time_shift": 0.25}),
    "shaped noise, 1 step": VariantOf(trained=SHAPED, sampled={"steps": 1}),
    "shaped noise, mean first": VariantOf(
        trained=SHAPED, sampled={"steps": 2, "time_shift": 0.25, "first_step": "mean"}
    ),
    "windows twice as long": VariantOf(
        trained={
            "train.window_frames": 256,
            "train.batch_per_process": 4,
            "sampling.window_frames": 256,
        }
    ),
    "cross-entropy only": VariantOf(trained={"train.loss.reconstruction": 0.0, "train.loss.velocity": 0.0}),
}


class VariantWorkspace(Workspace):
    """The corpus's folders, with a checkpoint folder of one's own."""

    def __init__(self, W: Workspace, checkpoint: Path) -> None:
        super().__init__(name=W.name, raw=W.raw)
        object.__setattr__(self, "checkpoint", checkpoint)

    @property
    def a2g(self) -> Path:
        return self.__dict__["checkpoint"]


def run_variant(
    bench: Bench, params: Params, name: str, train_seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Figures of one variant under one training seed, from disk where they are there."""
    variant = VARIANTS[name]
    params = changed(params, {**variant.trained, "train.seed": params.train.seed + train_seed})
    trained = name.split(",")[0] if variant.trained else "full"
    W = VariantWorkspace(
        bench.W, Path("checkpoints") / bench.W.name / f"{trained}-{train_seed}".replace(" ", "-")
    )
    result = Path("results") / bench.W.name / f"{name}-{train_seed}.json".replace(" ", "-")
    if result.is_file():
        return read_json(result)
    start = time.process_time()
    if not (W.a2g / "config.json").is_file():
        training.run(params, W)
        write_json(W.a2g / "cost.json", {"cpu_s": time.process_time() - start})
    sampling = params.sampling.model_copy(update=variant.sampled)
    full = name == "full"
    figures = measure(
        bench,
        model_takes(bench.W, load_model(W.a2g), sampling, variant.withheld),
        seeds=options.seeds if full else min(options.seeds, options.few_seeds),
        swaps=options.seeds // 2 if full else 1,
        scored=3 if full else 1,
    )
    figures["train_cpu_s"] = read_json(W.a2g / "cost.json")["cpu_s"]
    figures["best_step"] = read_json(W.a2g / "provenance.json").get("best_step")
    result.parent.mkdir(parents=True, exist_ok=True)
    write_json(result, figures)
    return figures


def perfect_listener(bench: Bench, coded: bool) -> dict[str, Any]:
    """Figures of the listener whom nobody can beat, from disk where they are there.

    Args:
        bench: corpus and judges.
        coded: whether its motion goes through the tokenizers' codes, as the model's does.
    """
    name = "perfect-listener" + ("-coded" if coded else "")
    result = Path("results") / bench.W.name / f"{name}.json"
    if result.is_file():
        return read_json(result)
    clips, params = [r.clip for r in bench.references], bench.params
    speakers = {r.clip: r.speaker for r in bench.references}

    def wrong(clip: str) -> str:
        """The next clip of the same speaker, in a circle."""
        same = [c for c in clips if speakers[c] == speakers[clip]]
        return same[(same.index(clip) + 1) % len(same)]

    tokenizer = GestureTokenizer.load(bench.W) if coded else None
    take = perfect_takes(params.corpus, params.data.fps, sorted(set(speakers.values())), wrong, tokenizer)
    figures = measure(bench, take, seeds=SEEDS, swaps=SEEDS // 2, scored=3)
    result.parent.mkdir(parents=True, exist_ok=True)
    write_json(result, figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="outside the repository")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--train-seeds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=16, help="sampled seeds of the full model")
    parser.add_argument("--few-seeds", type=int, default=4, help="sampled seeds of the others, 2 at least")
    parser.add_argument("--share", type=float, default=None, help="of the corpus; 0 is the negative control")
    parser.add_argument("--set", nargs="*", default=[], help="for all variants, such as train.max_steps=500")
    options = parser.parse_args()
    torch.set_num_threads(1)
    changes = {key: json.loads(value) for key, value in (text.split("=", 1) for text in options.set)}
    name = "study" if options.share is None else f"study-share-{options.share:g}"
    share = {} if options.share is None else {"corpus.share": options.share}
    params = study_params(options.params.resolve(), name, {**CORPUS, **share, **changes})
    enter(options.folder)
    prepare(params)
    bench = Bench.of(params, Workspace.of(params))
    rows = [(f"baseline: {b}", [baseline_figures(bench, b)]) for b in BASELINES]
    rows.append(("perfect listener", [perfect_listener(bench, coded=False)]))
    rows.append(("perfect listener, in codes", [perfect_listener(bench, coded=True)]))
    for variant in options.only:
        seeds = range(options.train_seeds)
        rows.append((variant, [run_variant(bench, params, variant, seed, options) for seed in seeds]))
        print(f"{variant}: done", flush=True)
    print_table(bench.ceiling, rows)


if __name__ == "__main__":
    main()
