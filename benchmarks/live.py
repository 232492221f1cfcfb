"""Live motion at full size: CPU seconds a second of sound, one thread.

Run: python benchmarks/live.py [--params params.beat2.yaml] [--steps 1 4 10] [--context 10 4] [--seconds 6]

Random weights of the parameters' sizes, WavLM-base among them: the time doesn't depend on what weights are.
Noise is streamed in chunks of 20 ms with the options of `Omniges.live`. The first block is left out, since it
takes a longer window. Arms take turns; below 1, motion keeps up with the voice.
"""

import argparse
import copy
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from generate import DTYPES
from numpy.typing import NDArray
from step import full_size_model
from transformers import WavLMConfig, WavLMModel

from omniges.api import Omniges
from omniges.api.hearing import FeatureSettings
from omniges.config import Params, load_params
from omniges.features.wavlm_encoder import WavlmEncoder
from omniges.features.wavlm_forward import FusedWavLM
from omniges.motion.layout import GESTURE_WIDTH, PART_NAMES
from omniges.sampling.precision import prepared
from omniges.timing import SAMPLE_RATE
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of

CHUNK = 320  # samples, 20 ms
GOAL = 1.0  # CPU seconds a second of sound


@dataclass(frozen=True, kw_only=True)
class RandomEar:
    """What `Omniges.stream` takes of an `Ear`."""

    settings: FeatureSettings
    fps: float
    wavlm: WavlmEncoder


def full_size(params: Params, precision: str) -> Omniges:
    """A model of the parameters' size that has learned nothing."""
    torch.manual_seed(0)
    parts = {part: RVQVAE(config_of(params, part)).eval() for part in PART_NAMES}
    tokenizer = GestureTokenizer(parts, torch.zeros(GESTURE_WIDTH), torch.ones(GESTURE_WIDTH))
    network = FusedWavLM(
        WavLMModel(WavLMConfig()), layer=-1, compute=DTYPES[precision], device=torch.device("cpu")
    )
    ear = RandomEar(
        settings=FeatureSettings(mfcc=params.mfcc, wavlm=params.wavlm, text=params.text),
        fps=float(params.data.fps),
        wavlm=WavlmEncoder(network, receptive_field=400, stride=320, normalise=False),
    )
    sampling = params.sampling.model_copy(update={"precision": precision})
    ready = prepared(copy.deepcopy(full_size_model(params).eval()), tokenizer, precision)
    return Omniges(*ready, ear, sampling)  # type: ignore[arg-type]


def chunks(wave: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    yield from (wave[start : start + CHUNK] for start in range(0, len(wave), CHUNK))


def cost(omniges: Omniges, seconds: float, steps: int, context_s: float) -> tuple[float, float]:
    """CPU seconds a second of sound, once the context is full; and of its longest block, CPU seconds."""
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, round((context_s + seconds) * SAMPLE_RATE)).astype(np.float32)
    stream = omniges.stream(chunks(wave), context_s=context_s, steps=steps, **omniges.live())
    spent: list[tuple[float, float]] = []
    began = time.process_time()
    for block in stream:
        if block.heard_s < (context_s + seconds) - 1e-3:  # the end settles more at once
            spent.append((block.heard_s, time.process_time() - began))
        began = time.process_time()
    late = [cpu_s for heard_s, cpu_s in spent if heard_s > context_s]
    hop_s = (omniges.live()["window_frames"] - omniges.live()["overlap_frames"]) / omniges.fps
    return float(np.median(late)) / hop_s, max(late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.beat2.yaml"))
    parser.add_argument("--steps", type=int, nargs="+", help="flow steps; 1, 4 and the parameters'")
    parser.add_argument("--context", type=float, nargs="+", default=[10.0, 4.0])
    parser.add_argument("--precision", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(options.params)
    steps = options.steps or sorted({1, 4, params.sampling.steps})
    models = {precision: full_size(params, precision) for precision in options.precision}
    print(f"{sum(p.numel() for p in next(iter(models.values())).model.parameters()) / 1e6:.0f} M parameters")
    best = float("inf")
    for context_s, number in product(options.context, steps):
        for precision, omniges in models.items():
            ratio, longest = cost(omniges, options.seconds, number, context_s)
            best = min(best, ratio)
            print(
                f"{precision}, {number} step(s), {context_s:g} s heard: {ratio:.2f} CPU s a second of sound, "
                f"{longest:.2f} the longest block",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"cpu_s_a_second: {best:.2f} (goal {GOAL:g})")


if __name__ == "__main__":
    main()
