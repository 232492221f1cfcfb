"""CPU seconds and memory of a training step, against the same step with WavLM and a full-length empty text
stream inside it.

    python benchmarks/step.py [--params params.beat2.yaml] [--repeats 3]

One thread, random features at the parameters' sizes. The peer's step runs WavLM-base (random weights) over
the batch's audio and a text stream of one zero vector a frame, in float32. Arms take turns and medians count;
the ratio says more than the seconds. A large matrix product stands beside it. Memory is the peak of a process
that does nothing but two steps of one arm.
"""

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from omniges.config import Params, load_params
from omniges.data.windows import Batch
from omniges.model.a2g import A2G
from omniges.model.config import DataSizes, ModelConfig
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.timing import SAMPLE_RATE
from omniges.training.draws import draw
from omniges.training.loop import parameter_groups
from omniges.training.step import draws_shape, training_losses

ARMS = ("fp32", "bf16", "peer")
SPEED_GOALS = {"fp32": 6.0, "bf16": 12.0}
MEMORY_GOAL = 2.5


def full_size_model(params: Params) -> A2G:
    sizes = DataSizes(
        wavlm_width=768,
        mfcc_width=params.mfcc.n_mfcc,
        text_width=1024,
        parts=4,
        quantizers=params.tokenizers.quantizers,
        codes=params.tokenizers.codes,
        code_dim=params.tokenizers.code_dim,
        fps=float(params.data.fps),
        speakers=(1, 2),
    )
    widths = {"mfcc": sizes.mfcc_width, "wavlm": 768, "side": SIDE_WIDTH}
    statistics = {f"{n}_mean": torch.zeros(w) for n, w in widths.items()}
    statistics |= {f"{n}_std": torch.ones(w) for n, w in widths.items()}
    codebooks = torch.randn(4, sizes.quantizers, sizes.codes, sizes.code_dim)
    return A2G(ModelConfig(sizes=params.model, data=sizes), statistics, codebooks, torch.ones(4))


def random_batch(params: Params, words: int) -> Batch:
    size, frames = params.train.batch_per_process, params.train.window_frames
    tokenizers, n_tokens = params.tokenizers, frames // FRAMES_PER_CODE
    starts = torch.rand(size, words, 1) * frames / params.data.fps
    return Batch(
        gesture=torch.randn(size, frames, GESTURE_WIDTH),
        side=torch.randn(size, frames, SIDE_WIDTH),
        codes=torch.randint(0, tokenizers.codes, (size, n_tokens, 4, tokenizers.quantizers)),
        wavlm=torch.randn(size, frames, 768),
        mfcc=torch.randn(size, frames, params.mfcc.n_mfcc),
        text=torch.randn(size, words, 1024),
        text_mask=torch.ones(size, words, dtype=torch.bool),
        text_span_s=torch.cat([starts, starts + 0.2], -1),
        speaker=torch.zeros(size, dtype=torch.int64),
        clip=["x"] * size,
        start_frame=torch.zeros(size, dtype=torch.int64),
    )


class Step:
    """One arm: a model, its optimizer and a batch.

    Args:
        params: sizes.
        arm: `fp32`, `bf16`, or `peer`.
        model: of these sizes; arms may share it, which saves memory.
        optimizer: of the model.
    """

    def __init__(self, params: Params, arm: str, model: A2G, optimizer: torch.optim.Optimizer) -> None:
        self.params, self.arm, self.model, self.optimizer = params, arm, model, optimizer
        size, frames = params.train.batch_per_process, params.train.window_frames
        self.draws = draw(params.train, [("bench", i) for i in range(size)], *draws_shape(self.model, frames))
        words = frames if arm == "peer" else max(1, round(2.5 * frames / params.data.fps))
        self.batch = random_batch(params, words)
        self.listen: Callable[[], object] = lambda: None
        if arm == "peer":
            self.batch.text.zero_()
            self.listen = wavlm_over(size, frames / params.data.fps)

    def forward(self) -> torch.Tensor:
        bf16 = torch.autocast("cpu", torch.bfloat16) if self.arm == "bf16" else contextlib.nullcontext()
        with bf16:
            found = training_losses(self.model, self.model, self.batch, self.draws)
        return found.total(self.params.train.loss)

    def run(self) -> dict[str, float]:
        """CPU seconds of each part."""
        spent, self._start = {}, time.process_time()

        def note(name: str) -> None:
            now = time.process_time()
            spent[name], self._start = now - self._start, now

        self.listen()
        note("WavLM")
        self.optimizer.zero_grad()
        loss = self.forward()
        note("forward")
        loss.backward()
        note("backward")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.params.train.clip_norm)
        self.optimizer.step()
        note("clip and AdamW")
        return spent

    def blocks(self) -> dict[str, float]:
        """CPU seconds of the forward pass by block."""
        spent: dict[str, float] = {}
        hooks = []
        for name in ("fusion", "transformer", "code_head"):
            block = self.model.get_submodule(name)

            def before(*_: object, name: str = name) -> None:
                spent[name] = -time.process_time()

            def after(*_: object, name: str = name) -> None:
                spent[name] += time.process_time()

            hooks += [block.register_forward_pre_hook(before), block.register_forward_hook(after)]
        start = time.process_time()
        self.forward()
        spent["rest of forward"] = time.process_time() - start - sum(spent.values())
        for hook in hooks:
            hook.remove()
        return spent

    def gflop(self) -> float:
        """GFLOP of forward and backward."""
        with FlopCounterMode(display=False) as counter:
            self.forward().backward()
        return counter.get_total_flops() / 1e9


def learner(params: Params) -> tuple[A2G, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = full_size_model(params)
    return model, torch.optim.AdamW(parameter_groups(model, 0.01), lr=1e-4, fused=True)


def wavlm_over(size: int, seconds: float) -> Callable[[], object]:
    from transformers import WavLMConfig, WavLMModel

    wavlm, wave = WavLMModel(WavLMConfig()).eval(), torch.randn(size, round(seconds * SAMPLE_RATE))

    def listen() -> None:
        with torch.no_grad():
            wavlm(wave)

    return listen


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
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def rss_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.beat2.yaml"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", choices=ARMS, help="print the peak memory of one arm, in GB, and stop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(options.params)
    if options.memory:
        idle = rss_gb()
        step = Step(params, options.memory, *learner(params))
        step.run()
        step.run()
        print(rss_gb() - idle)
        return
    shared = learner(params)
    steps = {arm: Step(params, arm, *shared) for arm in ARMS}
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for turn in range(options.repeats + 1):
        for arm, step in steps.items():
            spent = step.run()
            if turn:
                found[arm].append(spent)
    report(params, options.params, steps, found)


def report(
    params: Params, path: Path, steps: dict[str, Step], found: dict[str, list[dict[str, float]]]
) -> None:
    size, frames = params.train.batch_per_process, params.train.window_frames
    millions = sum(p.numel() for p in steps["fp32"].model.parameters()) / 1e6
    print(f"{millions:.0f} M parameters, batch {size} x {frames} frames")
    whole = {arm: statistics.median(sum(spent.values()) for spent in runs) for arm, runs in found.items()}
    for arm, runs in found.items():
        parts = {name: statistics.median(spent[name] for spent in runs) for name in runs[0]}
        shares = ", ".join(f"{name} {100 * value / whole[arm]:.0f} %" for name, value in parts.items())
        rate = steps[arm].gflop() / (parts["forward"] + parts["backward"])
        matmul = matmul_rate(torch.bfloat16 if arm == "bf16" else torch.float32)
        print(f"{arm}: {whole[arm]:.2f} CPU s ({shares}); {rate:.0f} GFLOP/s, a matrix product {matmul:.0f}")
    blocks = steps["fp32"].blocks()
    print("forward: " + ", ".join(f"{k} {100 * v / sum(blocks.values()):.0f} %" for k, v in blocks.items()))
    memory = {arm: peak_gb(path, arm) for arm in ("fp32", "peer")}
    print(f"peak memory: {memory['fp32']:.2f} GB, peer {memory['peer']:.2f} GB")
    for arm, goal in SPEED_GOALS.items():
        print(f"peer's step over ours, {arm}: {whole['peer'] / whole[arm]:.1f} (goal {goal:.0f})")
    print(f"peer's memory over ours: {memory['peer'] / memory['fp32']:.2f} (goal {MEMORY_GOAL})")


if __name__ == "__main__":
    main()
