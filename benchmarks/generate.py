"""Frames generated a CPU second, features given: one clip, one thread.

    python benchmarks/generate.py [--params params.beat2.yaml] [--steps 1 2 4 10] [--seconds 64] [--wavlm]
    python benchmarks/generate.py --no-text [--context-apart] --precision bf16 --steps 1 4 [--window 256]

Random weights and a tokenizer of the parameters' sizes; the time doesn't depend on what the weights are.
Each job is warmed by three windows of speech, and their floating-point operations are counted; then all take
turns, each is printed as it's done, and the median counts. A large matrix product stands beside them: at its
rate, those operations would give the ceiling. `--wavlm` adds WavLM-base over the whole sound, as the stage
does.
"""

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from step_arms import full_size_model, with_sizes
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from omniges.config import Params, SamplingParams, load_params
from omniges.features.wavlm import chunks_of, wavlm_frames
from omniges.features.wavlm_encoder import WavlmEncoder
from omniges.features.wavlm_forward import FusedWavLM
from omniges.motion.layout import GESTURE_WIDTH, PART_NAMES
from omniges.sampling.generate import generate_clips
from omniges.sampling.precision import prepared
from omniges.sampling.speech import Speech
from omniges.timing import SAMPLE_RATE
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of

Job = Callable[[], object]
WARMING = 3  # windows
FRAMES_GOAL = 1000.0  # a CPU second
PEER_S, PEER_RATIO = 25.6, 4.0  # CPU seconds that the peer takes for 64 s, WavLM included
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def speech_of(params: Params, seconds: float) -> Speech:
    """Random features of true widths, two and a half words a second."""
    frames, n_words = round(seconds * params.data.fps), round(2.5 * seconds)
    starts = torch.linspace(0, seconds - 0.3, n_words)[:, None]
    return Speech(
        clip="bench",
        wavlm=torch.randn(frames, 768),
        mfcc=torch.randn(frames, params.mfcc.n_mfcc),
        text=torch.randn(n_words, 1024),
        text_span_s=torch.cat([starts, starts + 0.2], 1),
        speaker=0,
    )


def generators(params: Params, options: argparse.Namespace) -> tuple[dict[str, Job], dict[int, float]]:
    """One job for each precision and number of steps, and the GFLOP a frame that a number of steps takes."""
    model = full_size_model(params).eval()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters, {options.seconds:.0f} s")
    parts = {part: RVQVAE(config_of(params, part)).eval() for part in PART_NAMES}
    tokenizer = GestureTokenizer(parts, torch.zeros(GESTURE_WIDTH), torch.ones(GESTURE_WIDTH))
    speech = speech_of(params, options.seconds)
    jobs: dict[str, Job] = {}
    gflop: dict[int, float] = {}
    for precision in options.precision:
        ready = prepared(copy.deepcopy(model), tokenizer, precision)
        for steps in options.steps:
            changes = {"steps": steps, "precision": precision}
            if options.window:
                changes["window_frames"] = options.window
            sampling = params.sampling.model_copy(update=changes)
            short = speech_of(params, warming_frames(sampling) / params.data.fps)
            job = partial(generate_clips, *ready, seed=0, options=sampling)
            job([short])
            jobs[f"{precision}, {steps} step(s)"] = partial(job, [speech])
            if steps not in gflop:
                exact = sampling.model_copy(update={"precision": "fp32"})
                with FlopCounterMode(display=False) as counter:
                    generate_clips(model, tokenizer, [short], 0, exact)
                gflop[steps] = counter.get_total_flops() / 1e9 / short.n_frames
    return jobs, gflop


def warming_frames(options: SamplingParams) -> int:
    """As long as `WARMING` windows without any padding, whose operations no frame would account for."""
    shared = options.overlap_frames + options.lookahead_frames
    return WARMING * options.window_frames - (WARMING - 1) * shared


def wavlm_job(params: Params, seconds: float, precision: str) -> Job:
    """WavLM-base over the sound, chunk by chunk."""
    from transformers import WavLMConfig, WavLMModel

    network = FusedWavLM(
        WavLMModel(WavLMConfig()), layer=-1, compute=DTYPES[precision], device=torch.device("cpu")
    )
    encoder = WavlmEncoder(network, receptive_field=400, stride=320, normalise=False)
    wave = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    settings, fps = params.wavlm, float(params.data.fps)

    def run() -> object:
        chunks = chunks_of([wave], settings.chunk_s, settings.overlap_s)
        return list(wavlm_frames(chunks, encoder, batch=1, fps=fps))

    return run


def matmul_job(precision: str) -> Job:
    """2.15 GFLOP."""
    a, b = torch.randn(2, 1024, 1024, dtype=DTYPES[precision])

    def product() -> Tensor:
        return a @ b

    product()
    return product


def medians(jobs: dict[str, Job], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each job; turns alternate."""
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            spent[name].append(time.process_time() - start)
            print(f"  {name}: {spent[name][-1]:.2f} CPU s", flush=True)
    return {name: float(np.median(times)) for name, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.beat2.yaml"))
    parser.add_argument("--steps", type=int, nargs="+", help="flow steps; 1, 2, 4 and the parameters'")
    parser.add_argument("--precision", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--seconds", type=float, default=64.0)
    parser.add_argument("--no-text", action="store_true", help="model.text_width 0")
    parser.add_argument("--context-apart", action="store_true", help="model.context_reads_gesture false")
    parser.add_argument("--window", type=int, help="frames of a window, other than the parameters'")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--wavlm", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    params = load_params(options.params)
    if options.no_text:
        params = with_sizes(params, text_width=0)
    if options.context_apart:
        params = with_sizes(params, context_reads_gesture=False)
    options.steps = options.steps or sorted({1, 2, 4, params.sampling.steps})
    jobs, gflop = generators(params, options)
    for precision in options.precision:
        jobs[f"matmul, {precision}"] = matmul_job(precision)
        if options.wavlm:
            jobs[f"WavLM, {precision}"] = wavlm_job(params, options.seconds, precision)
    found = medians(jobs, options.repeats)
    for name, seconds in found.items():
        rate = (
            f"{2 * 1.024**3 / seconds:.0f} GFLOP/s" if name.startswith("matmul") else f"{seconds:.2f} CPU s"
        )
        print(f"{name}: {rate}")
    frames = options.seconds * params.data.fps
    for precision in options.precision:
        for steps, cost in gflop.items():
            ceiling = 2 * 1.024**3 / found[f"matmul, {precision}"] / cost
            name = f"{precision}, {steps} step(s)"
            print(f"{name}: {1000 * cost:.0f} MFLOP a frame; at the product's rate {ceiling:.0f} frames/s")
            print(f"frames a CPU second, {name}: {frames / found[name]:.0f} (goal {FRAMES_GOAL:.0f})")
    if options.wavlm:
        for name, seconds in found.items():
            if "step" in name:
                whole = seconds + found[f"WavLM, {name.split(',')[0]}"]
                ratio = PEER_S * options.seconds / 64 / whole
                print(f"with WavLM over the peer, {name}: {ratio:.1f} (goal {PEER_RATIO:.0f})")


if __name__ == "__main__":
    main()
