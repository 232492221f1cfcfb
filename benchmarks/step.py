"""CPU seconds and memory of a training step, against a step that works as the peer's does.

    python benchmarks/step.py [--params params.beat2.yaml] [--repeats 3]

One thread, random features at the parameters' sizes, one set of weights for all arms. Arms take turns after
two warming ones, and medians count; the ratio says more than the seconds. A large matrix product stands
beside it.

* `fp32`, `bf16`: the project's step.
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
import contextlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from omniges.config import Params, load_params
from omniges.data.windows import Batch
from omniges.model.a2g import A2G, Conditions
from omniges.model.config import DataSizes, ModelConfig
from omniges.model.hyper_connections import HyperConnection
from omniges.model.mmdit import Stream
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.timing import SAMPLE_RATE
from omniges.training.draws import draw
from omniges.training.loop import parameter_groups
from omniges.training.memory import keep_freed_memory
from omniges.training.step import draws_shape, training_losses

ARMS = ("fp32", "bf16", "fp32, 1 stream", "bf16, 1 stream", "with both", "peer")
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


class PerFrame(A2G):
    """One token a frame in every stream; four of the gesture's make a code."""

    def __init__(self, config: ModelConfig, *rest: object) -> None:
        super().__init__(config, *rest)  # type: ignore[arg-type]
        self.frame_audio_in = nn.Linear(config.sizes.fusion_width, config.sizes.audio_width)
        self.frame_in = nn.Linear(GESTURE_WIDTH, config.sizes.gesture_width)

    def states(self, x_t: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        time_s = self._frame_time_s(conditions.frames.shape[1], x_t.device).expand(len(t), -1)
        each = t.repeat_interleave(FRAMES_PER_CODE, 1)
        shared = self.flow_time(t.amin(1, keepdim=True)) + conditions.speaker[:, None]
        own = self.flow_time(each) + conditions.speaker[:, None]
        gesture = self.frame_in(x_t.unflatten(2, (FRAMES_PER_CODE, -1)).flatten(1, 2))
        audio = self.frame_audio_in(conditions.audio)
        tokens = {"text": (conditions.text, shared), "audio": (audio, shared), "gesture": (gesture, own)}
        streams = {
            name: Stream(tokens=x, time_s=time_s, condition=condition, mask=None)
            for name, (x, condition) in tokens.items()
        }
        return self.transformer(streams).unflatten(1, (-1, FRAMES_PER_CODE)).mean(2)


def full_size_model(params: Params, kind: type[A2G] = A2G) -> A2G:
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
    values = {f"{n}_mean": torch.zeros(w) for n, w in widths.items()}
    values |= {f"{n}_std": torch.ones(w) for n, w in widths.items()}
    codebooks = torch.randn(4, sizes.quantizers, sizes.codes, sizes.code_dim)
    return kind(ModelConfig(sizes=params.model, data=sizes), values, codebooks, torch.ones(4))


def with_sizes(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"model": params.model.model_copy(update=changes)})


def model_of(params: Params, arm: str, like: A2G | None = None) -> A2G:
    """The arm's model; it takes over what it can of another one's weights, which saves memory."""
    if arm.endswith("1 stream"):
        params = with_sizes(params, residual_streams=1)
    kind = PerFrame if arm == "peer" else A2G
    if like is not None and kind is A2G and not arm.endswith("1 stream"):
        return like
    model = full_size_model(params, kind)
    for name, parameter in like.named_parameters() if like is not None else ():
        where, _, leaf = name.rpartition(".")
        with contextlib.suppress(AttributeError):
            owner = model.get_submodule(where)
            if hasattr(owner, leaf):
                setattr(owner, leaf, parameter)
    return model


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
        arm: one of `ARMS`.
        like: a model whose weights this one shares.
    """

    def __init__(self, params: Params, arm: str, like: A2G | None = None) -> None:
        self.params, self.arm = params, arm
        self.model = model_of(params, arm, like).train()
        size, frames = params.train.batch_per_process, params.train.window_frames
        self.draws = draw(params.train, [("bench", i) for i in range(size)], *draws_shape(self.model, frames))
        old_way = arm in ("with both", "peer")
        words = frames if old_way else max(1, round(2.5 * frames / params.data.fps))
        self.batch = random_batch(params, words)
        self.listen: Callable[[], object] = lambda: None
        if old_way:
            self.batch.text.zero_()
            self.draws.keep_text[:] = True
            self.listen = wavlm_over(size, frames / params.data.fps)

    def forward(self) -> Tensor:
        bf16 = self.arm.startswith("bf16")
        with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            found = training_losses(self.model, self.model, self.batch, self.draws)
        return found.total(self.params.train.loss)

    def run(self, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """CPU seconds of each part."""
        spent, self._start = {}, time.process_time()

        def note(name: str) -> None:
            now = time.process_time()
            spent[name], self._start = now - self._start, now

        self.listen()
        note("WavLM")
        optimizer.zero_grad()
        loss = self.forward()
        note("forward")
        loss.backward()
        note("backward")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.params.train.clip_norm)
        optimizer.step()
        note("clip and AdamW")
        return spent

    def blocks(self) -> dict[str, float]:
        """CPU seconds of the forward pass by block."""
        self.forward()
        timer, start = BlockTimer(), time.process_time()
        model = self.model
        for name in ("fusion", "code_head"):
            timer.watch(name, model.get_submodule(name))
        timer.watch("transformer", model.transformer)
        for module in model.transformer.modules():
            if isinstance(module, nn.Linear):
                timer.watch("projections and feed-forward", module)
            elif isinstance(module, HyperConnection):
                timer.watch_method("residual streams", module, "read")
                timer.watch_method("residual streams", module, "write")
        self.forward()
        whole = time.process_time() - start
        timer.remove()
        spent = timer.spent
        inside = spent["projections and feed-forward"] + spent.get("residual streams", 0.0)
        return {
            "fusion": spent["fusion"],
            "projections and feed-forward": spent["projections and feed-forward"],
            "residual streams": spent.get("residual streams", 0.0),
            "attention, norms, modulation": spent["transformer"] - inside,
            "code head": spent["code_head"],
            "inputs, losses": whole - spent["fusion"] - spent["transformer"] - spent["code_head"],
        }

    def gflop(self) -> float:
        """GFLOP of forward and backward."""
        with FlopCounterMode(display=False) as counter:
            self.forward().backward()
        return counter.get_total_flops() / 1e9


class BlockTimer:
    """CPU seconds that modules and methods take."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._undo: list[Callable[[], object]] = []

    def watch(self, name: str, module: nn.Module) -> None:
        def before(*_: object) -> None:
            self._add(name, -time.process_time())

        def after(*_: object) -> None:
            self._add(name, time.process_time())

        self._undo.append(module.register_forward_pre_hook(before).remove)
        self._undo.append(module.register_forward_hook(after).remove)

    def watch_method(self, name: str, owner: nn.Module, method: str) -> None:
        plain = getattr(owner, method)

        def timed(*given: object) -> object:
            self._add(name, -time.process_time())
            found = plain(*given)
            self._add(name, time.process_time())
            return found

        setattr(owner, method, timed)
        self._undo.append(lambda: delattr(owner, method))

    def remove(self) -> None:
        for undo in self._undo:
            undo()

    def _add(self, name: str, seconds: float) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + seconds


def adamw(models: list[A2G]) -> torch.optim.Optimizer:
    """One optimizer for all arms; it leaves weights alone that an arm has no gradient for."""
    every = nn.ModuleList(models)
    return torch.optim.AdamW(parameter_groups(every, 0.01), lr=1e-4, fused=True)


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
        for arm in [arm for arm in SPEED_GOALS if arm in steps]:
            ratio = found[other]["step"] / found[arm]["step"]
            print(f"{other} over the project's step, {arm}: {ratio:.1f} (goal {SPEED_GOALS[arm]:.0f})")


def compare_memory(path: Path) -> None:
    memory = {arm: peak_gb(path, arm) for arm in ("fp32", "bf16", "with both", "peer")}
    print("peak memory, GB: " + ", ".join(f"{arm} {value:.2f}" for arm, value in memory.items()))
    for other in ("with both", "peer"):
        print(
            f"memory of {other} over the project's: {memory[other] / memory['fp32']:.2f} (goal {MEMORY_GOAL})"
        )


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
