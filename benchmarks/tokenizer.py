"""Speed of the tokenizers at full size, as ratios to other ways of doing the same.

    python benchmarks/tokenizer.py [--width 512] [--batch 64] [--rounds 5]

* training step: this project's (index_add updates, fused AdamW, no noise, chosen precision) against the plain
  published recipe (one-hot updates, unfused AdamW, noisy search) in the same network, fp32;
* encoding and decoding a 64 s clip, all four parts, against vector-quantize-pytorch's ResidualVQ in the same
  network.

Rounds of the two sides alternate, so that a busy machine slows both. Medians.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from vector_quantize_pytorch import ResidualVQ

from omniges.motion.layout import PARTS
from omniges.tokenizers import codebook as books
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig

CLIP_FRAMES = 1920  # 64 s at 30 fps
WINDOW = 64


def network(part: str, width: int, *, compatible: bool = False) -> RVQVAE:
    torch.manual_seed(0)
    quantizer = QuantizerConfig(
        codes=1024, code_dim=128, quantizers=6, compatible=compatible, temperature=0.5 if compatible else 0.0
    )
    return RVQVAE(
        RVQVAEConfig(channels=PARTS[part].width, width=width, depth=3, dropout=0.2, quantizer=quantizer)
    )


def one_hot_sums(rows: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    matrix = torch.zeros(size, len(rows)).scatter_(0, codes.view(1, -1), 1)
    return matrix @ rows, matrix.sum(dim=1)


def one_hot_perplexity(codes: Tensor, size: int) -> Tensor:
    share = torch.zeros(size, len(codes)).scatter_(0, codes.view(1, -1), 1).mean(dim=1)
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())


def training_step(model: RVQVAE, frames: Tensor, *, fused: bool, bf16: bool) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, fused=fused, foreach=None if fused else False)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = model(frames, generator)
        loss = (
            torch.nn.functional.smooth_l1_loss(found.reconstruction.float(), frames) + 0.02 * found.commitment
        )
        loss.backward()
        optimizer.step()

    return step


def with_one_hot(step: Callable[[], None]) -> Callable[[], None]:
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
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
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
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="mixed precision on this project's side")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = torch.randn(given.batch, WINDOW, PARTS["upper"].width)
    ours = training_step(network("upper", given.width), frames, fused=True, bf16=given.bf16)
    plain = training_step(network("upper", given.width, compatible=True), frames, fused=False, bf16=False)
    found = alternate_ms({"step": ours, "plain": with_one_hot(plain)}, given.rounds)
    print("| what | this project ms | other ms | other / this |\n| --- | --- | --- | --- |")
    ours_ms, plain_ms = found["step"], found["plain"]
    print(f"| training step | {ours_ms:.0f} | {plain_ms:.0f} | {plain_ms / ours_ms:.2f} |", flush=True)
    found = alternate_ms(clip_calls(given.width), given.rounds)
    for name in ("clip", "codes"):
        other = found[f"{name}, other library"]
        print(f"| {name}, 64 s, four parts | {found[name]:.0f} | {other:.0f} | {other / found[name]:.2f} |")


if __name__ == "__main__":
    main()
