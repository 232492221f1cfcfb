"""CPU seconds and memory of a training step, against a step that works as the peer's does.

    python benchmarks/step.py [--params params.beat2.yaml] [--repeats 3]

One thread, random features at the parameters' sizes, one set of weights for all arms. Arms take turns after
two warming ones, and medians count; the ratio says more than the seconds. A large matrix product stands
beside it.

* `fp32`, `bf16`: the project's step, with two and a half words a second.
* `fp32, no text`, `bf16, no text`: the same from audio alone (`model.text_width: 0`), which is the peer's
  task; it has no words either, but a stream of zeros in their place.
* `fp32, compiled, no text`, `bf16, compiled, no text`: those with `train.compile`; warming takes minutes.
* `fp32, 1 stream`, `bf16, 1 stream`: the same with an ordinary residual.
* `with both`: the project's step in fp32, with WavLM-base (random weights) over the batch's audio and a text
  stream of one zero vector a frame inside it.
* `peer`: that, and one token a frame in the audio and the gesture stream too, as in the peer's transformer.

Memory is the peak of a process that does nothing but two steps of one arm, less what importing takes.

GestureLSM's step was measured once, on the same kind of core, at 1.66 CPU s for 4 x 128 frames, 129 GFLOP,
when a matrix product ran at 87 GFLOP/s. Its denoiser (8 layers, width 256) holds about 32 M parameters, so a
model of this project with `MATCHED` sizes and as many parameters learns from as many frames here, and its
seconds are scaled by today's matrix product over that day's.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from step_arms import ARMS, Step, with_sizes
from torch import nn

from omniges.config import Params, load_params
from omniges.model.a2g import A2G
from omniges.training.loop import parameter_groups
from omniges.training.memory import keep_freed_memory

SECTIONS = ("gesturelsm", "steps", "memory")
SPEED_GOALS = {"fp32": 6.0, "bf16": 12.0}
MEMORY_GOAL, LSM_GOAL = 2.5, 2.0
WARMING = 2
LSM_STEP_S, LSM_FRAMES, LSM_GFLOP, LSM_MATMUL = 1.66, 4 * 128, 129.0, 87.0
LSM_WINDOW = 128
MATCHED = {
    "fusion_width": 256,
    "text_width": 256,
    "audio_width": 256,
    "gesture_width": 256,
    "condition_width": 256,
    "head_width": 256,
    "fusion_heads": 4,
    "heads": 4,
    "layers": 8,
}


def adamw(models: list[A2G]) -> torch.optim.Optimizer:
    """One optimizer for all arms; it leaves weights alone that an arm has no gradient for."""
    every = nn.ModuleList(models)
    return torch.optim.AdamW(parameter_groups(every, 0.01), lr=1e-4, fused=True)


def matmul_rate(dtype: torch.dtype) -> float:
    """GFLOP/s of a 1024 x 1024 x 1024 product, the median of nine."""
    a, b = torch.randn(2, 1024, 1024).to(dtype)
    times = []
    for _ in range(10):
        start = time.process_time()
        a @ b
        times.append(time.process_time() - start)
    return 2 * 1.024**3 / statistics.median(times[1:])


def peak_gb(params: Path, arm: str) -> float:
    """Peak memory of a process of its own, less what importing everything takes."""
    command = [sys.executable, __file__, "--params", str(params), "--memory", arm]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def rss_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def medians(steps: dict[str, Step], repeats: int) -> dict[str, dict[str, float]]:
    """Median CPU seconds of each arm's parts, and their sum as `step`."""
    optimizer = adamw([step.model for step in steps.values()])
    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in steps}
    for turn in range(repeats + WARMING):
        for arm, step in steps.items():
            spent = step.run(optimizer)
            if turn >= WARMING:
                runs[arm].append(spent | {"step": sum(spent.values())})
    return {
        arm: {name: statistics.median(run[name] for run in found) for name in found[0]}
        for arm, found in runs.items()
    }


def matched(params: Params) -> Params:
    """GestureLSM's batch and about its parameters."""
    params = with_sizes(params, **MATCHED)
    train = params.train.model_copy(update={"batch_per_process": 4, "window_frames": LSM_WINDOW})
    return params.model_copy(update={"train": train})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.beat2.yaml"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fps", type=int, help="another frame rate: 64 frames at 15 fps last twice as long")
    parser.add_argument("--memory", choices=ARMS, help="print the peak memory of one arm, in GB, and stop")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS, help="which steps to compare")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="what to compare")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    params = load_params(options.params)
    if options.fps:
        params = params.model_copy(update={"data": params.data.model_copy(update={"fps": options.fps})})
    if options.memory:
        idle = rss_gb()
        step = Step(params, options.memory)
        optimizer = adamw([step.model])
        step.run(optimizer)
        step.run(optimizer)
        print(rss_gb() - idle)
        return
    if "gesturelsm" in options.only:
        compare_lsm(matched(params), options.repeats)
    if "steps" in options.only:
        compare_steps(params, options.arms, options.repeats)
    if "memory" in options.only:
        compare_memory(options.params)


def compare_steps(params: Params, arms: Sequence[str], repeats: int) -> None:
    first = Step(params, "fp32")
    steps = {"fp32": first} | {arm: Step(params, arm, first.model) for arm in arms if arm != "fp32"}
    print(f"{millions(first.model):.0f} M parameters, {sizes_of(params)}")
    found = medians(steps, repeats)
    for arm, parts in found.items():
        report(arm, parts, steps[arm].gflop())
    for arm in [arm for arm in ("fp32", "bf16") if arm in steps]:
        blocks = steps[arm].blocks()
        whole = sum(blocks.values())
        print(f"forward, {arm}: " + ", ".join(f"{k} {100 * v / whole:.0f} %" for k, v in blocks.items()))
        if one := found.get(f"{arm}, 1 stream"):
            share = 1 - one["step"] / found[arm]["step"]
            print(f"four residual streams instead of one, {arm}: {100 * share:.0f} % of the step")
    for other in [arm for arm in ("with both", "peer") if arm in steps]:
        for arm in [
            arm for arm in steps if not arm.endswith("1 stream") and arm not in ("with both", "peer")
        ]:
            ratio, goal = found[other]["step"] / found[arm]["step"], SPEED_GOALS[arm.split(",")[0]]
            print(f"{other} over the project's step, {arm}: {ratio:.1f} (goal {goal:.0f})")


def compare_memory(path: Path) -> None:
    ours = ("fp32", "fp32, no text", "bf16", "bf16, no text")
    memory = {arm: peak_gb(path, arm) for arm in (*ours, "with both", "peer")}
    print("peak memory, GB: " + ", ".join(f"{arm} {value:.2f}" for arm, value in memory.items()))
    for other in ("with both", "peer"):
        for arm in ours:
            ratio = memory[other] / memory[arm]
            print(f"memory of {other} over the project's, {arm}: {ratio:.2f} (goal {MEMORY_GOAL})")


def compare_lsm(params: Params, repeats: int) -> None:
    first = Step(params, "fp32")
    steps = {"fp32": first, "bf16": Step(params, "bf16", first.model)}
    print(f"GestureLSM's size: {millions(first.model):.0f} M parameters, {sizes_of(params)}")
    for arm, parts in medians(steps, repeats).items():
        gflop = steps[arm].gflop()
        report(arm, parts, gflop)
        scale = LSM_MATMUL / matmul_rate(torch.float32)
        frames = params.train.batch_per_process * params.train.window_frames
        theirs, ours = LSM_STEP_S * scale / LSM_FRAMES, parts["step"] / frames
        print(f"MFLOP a frame: {1000 * gflop / frames:.0f}, GestureLSM {1000 * LSM_GFLOP / LSM_FRAMES:.0f}")
        print(f"GestureLSM's frame over ours, {arm}: {theirs / ours:.1f} (goal {LSM_GOAL:.0f})", flush=True)


def report(arm: str, parts: dict[str, float], gflop: float) -> None:
    whole = parts["step"]
    shares = ", ".join(
        f"{name} {100 * value / whole:.0f} %" for name, value in parts.items() if name != "step"
    )
    rate = gflop / (parts["forward"] + parts["backward"])
    matmul = matmul_rate(torch.bfloat16 if arm.startswith("bf16") else torch.float32)
    print(
        f"{arm}: {whole:.2f} CPU s ({shares}); {gflop:.0f} GFLOP without WavLM at {rate:.0f} GFLOP/s, "
        f"a matrix product {matmul:.0f}",
        flush=True,
    )


def millions(model: A2G) -> float:
    return sum(p.numel() for p in model.parameters()) / 1e6


def sizes_of(params: Params) -> str:
    return f"batch {params.train.batch_per_process} x {params.train.window_frames} frames"


if __name__ == "__main__":
    main()
