"""CPU seconds that a minute of audio costs in WavLM-base (random weights), on one thread.

Arms, run in turn in every round so that a busy machine slows all alike: the library on 15 s chunks, this
package on the same chunks (float32, bfloat16), the library on the whole minute. bfloat16 is timed only where
the CPU multiplies it in hardware, or with --bfloat16 (emulated: minutes a second of sound); so is its error.

    python benchmarks/wavlm.py [--rounds 3] [--bfloat16] [--device cuda]
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import WavLMConfig, WavLMModel

from omniges.features.wavlm_encoder import has_fast_bfloat16
from omniges.features.wavlm_forward import FusedWavLM

RATE, CHUNK_S, MINUTE_S = 16_000, 15, 60
GFLOP_PER_CHUNK = 229.0  # multiplications and additions of WavLM-base for 15 s


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device(options.device)
    model = WavLMModel(WavLMConfig()).eval().to(device)
    minute = 0.1 * torch.randn(1, MINUTE_S * RATE)
    chunks = minute.reshape(-1, CHUNK_S * RATE)
    # WavLMModel is not touched by a FusedWavLM of another copy of its weights.
    fused = FusedWavLM(copy_of(model), layer=-1, compute=torch.float32, device=device)
    rounded = FusedWavLM(copy_of(model), layer=-1, compute=torch.bfloat16, device=device)
    arms: dict[str, Callable[[], object]] = {
        "library, 15 s chunks, float32": lambda: [library(model, c[None].to(device)) for c in chunks],
        "fused, 15 s chunks, float32": lambda: [fused(c[None].to(device)) for c in chunks],
        "library, whole minute, float32": lambda: library(model, minute.to(device)),
    }
    with_bfloat16 = has_fast_bfloat16() or options.bfloat16 or device.type == "cuda"
    if with_bfloat16:
        arms["fused, 15 s chunks, bfloat16"] = lambda: [rounded(c[None].to(device)) for c in chunks]
    some = chunks[:1, : options.error_s * RATE].to(device)
    errors = {
        "float32, largest difference": float((fused(some) - library(model, some)).abs().max())
    }  # warms up
    if with_bfloat16:
        errors |= error_of(fused(some), rounded(some))
    seconds = interleaved(arms, options.rounds, device)
    print(json.dumps(report(seconds, errors, device), indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true", help="time bfloat16 without hardware for it, too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--error-s", type=int, default=3, help="seconds of sound for the error of bfloat16")
    return parser.parse_args()


def copy_of(model: WavLMModel) -> WavLMModel:
    other = WavLMModel(model.config)
    other.load_state_dict(model.state_dict())
    return other


@torch.inference_mode()
def library(model: WavLMModel, wave: torch.Tensor) -> torch.Tensor:
    return model(wave).last_hidden_state


def interleaved(
    arms: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of every arm in every round: of the CPU, or of the clock on a GPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            start = clock()
            arm()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    return seconds


def error_of(want: torch.Tensor, near: torch.Tensor) -> dict[str, float]:
    cosine = torch.nn.functional.cosine_similarity(near, want, dim=-1)
    return {
        "bfloat16, rms relative to rms": float(
            (near - want).square().mean().sqrt() / want.square().mean().sqrt()
        ),
        "bfloat16, smallest cosine of a frame": float(cosine.min()),
        "bfloat16, mean cosine": float(cosine.mean()),
    }


def matmul_gflops(dtype: torch.dtype, device: torch.device) -> float:
    """Best rate of a product of a feed-forward layer's shape: what the hardware gives at most."""
    a = torch.randn(768, 768, device=device).to(dtype)
    b = torch.randn(768, 3072, device=device).to(dtype)
    best = 0.0
    for _ in range(30 if dtype == torch.float32 or has_fast_bfloat16() else 2):
        start = time.process_time()
        _ = a @ b
        best = max(best, 2 * 768 * 768 * 3072 / max(time.process_time() - start, 1e-6) / 1e9)
    return best


def report(
    seconds: dict[str, list[float]], errors: dict[str, float], device: torch.device
) -> dict[str, object]:
    def ratio(slow: str, fast: str) -> str | None:
        if slow not in seconds or fast not in seconds:
            return None
        ratios = [s / f for s, f in zip(seconds[slow], seconds[fast], strict=True)]
        return f"{statistics.median(ratios):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f})"

    chunked, whole = "library, 15 s chunks, float32", "library, whole minute, float32"
    fp32, bf16 = "fused, 15 s chunks, float32", "fused, 15 s chunks, bfloat16"
    gflops = matmul_gflops(torch.float32, device) if device.type == "cpu" else None
    floor_s = None if gflops is None else GFLOP_PER_CHUNK * MINUTE_S / CHUNK_S / gflops
    medians = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    return {
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {device}",
        "torch": torch.__version__,
        "bfloat16 in hardware": has_fast_bfloat16(),
        "seconds a minute of audio, median": medians,
        "float32 against the library, same chunks": ratio(chunked, fp32),
        "bfloat16 against the library, same chunks": ratio(chunked, bf16),
        "float32 against the library, whole minute": ratio(whole, fp32),
        "bfloat16 against the library, whole minute": ratio(whole, bf16),
        "matrix product, GFLOP/s": gflops and round(gflops, 1),
        "floor in seconds a minute": floor_s and round(floor_s, 2),
        "float32 over its floor": floor_s and round(medians[fp32] / floor_s, 2),
        "errors": {name: float(f"{value:.3g}") for name, value in errors.items()},
    }


if __name__ == "__main__":
    main()
