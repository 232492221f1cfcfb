"""Speed of the tokenizers at full size, as ratios to other ways of doing the same.

    python benchmarks/tokenizer.py [--params params.beat2.yaml] [--width 512] [--batch 64] [--rounds 5]

* training step: this project's trainer as the parameters say (all their losses, index_add, fused AdamW),
  in fp32 and in bf16, against the plain published recipe (its losses, one-hot updates, unfused AdamW, noisy
  search, fp32) in a network of the same size; and against vector-quantize-pytorch's ResidualVQ in the same
  encoder and decoder with the same losses, all six quantizers in use on both sides;
* encoding and decoding a 64 s clip, all four parts, against vector-quantize-pytorch's ResidualVQ in the same
  network.

One thread, CPU seconds; rounds of the sides alternate, so that a busy machine slows all. Medians.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor, nn
from vector_quantize_pytorch import ResidualVQ

from omniges.config import Params, load_params
from omniges.motion.layout import PARTS
from omniges.tokenizers import codebook as books
from omniges.tokenizers.quantizer import Quantized, QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig
from omniges.tokenizers.stage import config_of
from omniges.tokenizers.statistics import Statistics
from omniges.tokenizers.training import Trainer
from omniges.tokenizers.windows import TrainFrames

CLIP_FRAMES = 1920  # 64 s at 30 fps
PART = "upper"
STEP_GOAL, CLIP_GOAL, LIBRARY_STEP_GOAL = 1.4, 0.95, 1.05
RECIPE = {"compatible": True, "temperature": 0.5, "dead_below": 1.0, "start": "rows", "precision": "fp32"}
NO_LOSSES = {"geodesic": 0.0, "joints": 0.0, "path": 0.0, "contact": 0.0, "acceleration": 0.0}
PUBLISHED = RECIPE | NO_LOSSES | {"dropout": 0.2}


def network(part: str, width: int) -> RVQVAE:
    torch.manual_seed(0)
    quantizer = QuantizerConfig(codes=1024, code_dim=128, quantizers=6)
    return RVQVAE(
        RVQVAEConfig(channels=PARTS[part].width, width=width, depth=3, dropout=0.2, quantizer=quantizer)
    )


class LibraryQuantizer(nn.Module):
    """ResidualVQ with this project's sizes and rates, in the place of `ResidualQuantizer`."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.layers = ResidualVQ(
            dim=config.code_dim,
            codebook_size=config.codes,
            num_quantizers=config.quantizers,
            decay=config.ema_decay,
            threshold_ema_dead_code=config.dead_below,
            kmeans_init=True,
        )

    def forward(self, latent: Tensor, generator: Generator | None = None) -> Quantized:
        found, codes, losses = self.layers(latent.float())
        return Quantized(latent=found, codes=codes, commitment=losses.mean(), perplexity=losses.new_zeros(()))


def one_hot_sums(rows: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    matrix = torch.zeros(size, len(rows)).scatter_(0, codes.view(1, -1), 1)
    return matrix @ rows, matrix.sum(dim=1)


def one_hot_perplexity(codes: Tensor, size: int) -> Tensor:
    share = torch.zeros(size, len(codes)).scatter_(0, codes.view(1, -1), 1).mean(dim=1)
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())


def trainer(params: Params, **changes: object) -> Trainer:
    """A trainer on random frames."""
    section = params.tokenizers.model_copy(update=changes)
    params = params.model_copy(update={"tokenizers": section})
    width = PARTS[PART].width
    unit = Statistics(np.zeros(width, np.float32), np.ones(width, np.float32))
    frames = np.random.default_rng(0).normal(size=(4000, width)).astype(np.float32)
    data = TrainFrames.of(PART, [("random", frames)], unit, section.window_frames)
    torch.manual_seed(0)
    found = Trainer(PART, RVQVAE(config_of(params, PART)), data, unit, section)
    found.model.train()
    return found


def steps(params: Params) -> dict[str, Callable[[], object]]:
    """One training step of each side."""
    ours = {precision: trainer(params, precision=precision) for precision in ("fp32", "bf16")}
    plain = trainer(params, **PUBLISHED)
    plain.optimizer = torch.optim.AdamW(
        plain.model.parameters(), lr=2e-4, betas=(0.9, 0.99), weight_decay=0.0, foreach=False, fused=False
    )
    calls = {precision: lambda one=one: one.train_step(0) for precision, one in ours.items()}
    for precision in ("fp32", "bf16"):
        for name, one in library_pair(params, precision).items():
            calls[f"{name}, {precision}"] = lambda one=one: one.train_step(0)
    return {
        **calls,
        "plain": with_one_hot(lambda: plain.train_step(0)),
    }


def library_pair(params: Params, precision: str) -> dict[str, Trainer]:
    """Trainers that differ in the quantizer alone."""
    ours, other = (trainer(params, precision=precision, quantizer_dropout=0.0) for _ in range(2))
    other.model.quantizer = LibraryQuantizer(other.model.config.quantizer).train()
    other.optimizer = torch.optim.AdamW(
        other.model.parameters(), lr=2e-4, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    return {"ours": ours, "library": other}


def with_one_hot(step: Callable[[], object]) -> Callable[[], None]:
    """Run a step with the published update in place of this project's."""
    fast = books.summed_by_code, books.perplexity

    def slow_step() -> None:
        books.summed_by_code, books.perplexity = one_hot_sums, one_hot_perplexity
        try:
            step()
        finally:
            books.summed_by_code, books.perplexity = fast

    return slow_step


def alternate_ms(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: sorted(values)[rounds // 2] * 1000 for name, values in times.items()}


def clip_calls(width: int) -> dict[str, Callable[[], object]]:
    models = {part: network(part, width).eval() for part in PARTS}
    frames = {part: torch.randn(1, CLIP_FRAMES, PARTS[part].width) for part in PARTS}
    others = {part: ResidualVQ(dim=128, codebook_size=1024, num_quantizers=6).eval() for part in PARTS}
    for part, model in models.items():
        model.quantizer.train()(model.encode_latent(frames[part]).detach())
        model.eval()

    @torch.no_grad()
    def ours() -> None:
        for part, model in models.items():
            model.decode_codes(model.encode(frames[part]))

    @torch.no_grad()
    def theirs() -> None:
        for part, model in models.items():
            _, codes, _ = others[part](model.encode_latent(frames[part]))
            model.decode_latent(others[part].get_output_from_indices(codes))

    @torch.no_grad()
    def ours_codes() -> None:
        for model in models.values():
            latent = torch.zeros(1, CLIP_FRAMES // 4, 128)
            model.quantizer.lookup(model.quantizer.encode(latent))

    @torch.no_grad()
    def theirs_codes() -> None:
        for part in models:
            latent = torch.zeros(1, CLIP_FRAMES // 4, 128)
            _, codes, _ = others[part](latent)
            others[part].get_output_from_indices(codes)

    return {
        "clip": ours,
        "clip, other library": theirs,
        "codes": ours_codes,
        "codes, other library": theirs_codes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", default="params.beat2.yaml")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(given.params)
    sizes = {"width": given.width, "batch": given.batch}
    params = params.model_copy(update={"tokenizers": params.tokenizers.model_copy(update=sizes)})
    found = alternate_ms(steps(params), given.rounds) | alternate_ms(clip_calls(given.width), given.rounds)
    print("| what | this project CPU ms | other CPU ms | other / this |\n| --- | --- | --- | --- |")
    pairs = {
        "training step, fp32": ("fp32", "plain"),
        "training step, bf16": ("bf16", "plain"),
        "training step, fp32, ResidualVQ": ("ours, fp32", "library, fp32"),
        "training step, bf16, ResidualVQ": ("ours, bf16", "library, bf16"),
        "clip, 64 s, four parts": ("clip", "clip, other library"),
        "codes alone": ("codes", "codes, other library"),
    }
    ratios = {}
    for name, (ours, other) in pairs.items():
        ratios[name] = found[other] / found[ours]
        print(f"| {name} | {found[ours]:.0f} | {found[other]:.0f} | {ratios[name]:.2f} |")
    print(f"training step, bf16: {ratios['training step, bf16']:.2f} (goal {STEP_GOAL})")
    print(f"training step, fp32: {ratios['training step, fp32']:.2f} (goal {STEP_GOAL})")
    for precision in ("fp32", "bf16"):
        ratio = 1 / ratios[f"training step, {precision}, ResidualVQ"]
        print(
            f"tokenizer step against ResidualVQ, {precision}: {ratio:.2f} (goal {LIBRARY_STEP_GOAL}, at most)"
        )
    print(f"clip against ResidualVQ: {ratios['clip, 64 s, four parts']:.2f} (goal {CLIP_GOAL})")


if __name__ == "__main__":
    main()
