"""Frames generated a CPU second, features given: one clip of 64 s, one thread.

    python benchmarks/generate.py [--params params.beat2.yaml] [--steps 1 2 4] [--seconds 64]

Random weights and a tokenizer of the parameters' sizes; the time doesn't depend on what the weights are.
"""

import argparse
import time
from pathlib import Path

import torch
from step import full_size_model

from omniges.config import load_params
from omniges.motion.layout import GESTURE_WIDTH, PART_NAMES
from omniges.sampling.generate import generate_clips
from omniges.sampling.speech import Speech
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.stage import config_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.beat2.yaml"))
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=64.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(options.params)
    model = full_size_model(params).eval()
    parts = {part: RVQVAE(config_of(params, part)).eval() for part in PART_NAMES}
    tokenizer = GestureTokenizer(parts, torch.zeros(GESTURE_WIDTH), torch.ones(GESTURE_WIDTH))
    frames = round(options.seconds * params.data.fps)
    n_words = round(2.5 * options.seconds)
    starts = torch.linspace(0, options.seconds - 0.3, n_words)[:, None]
    speech = Speech(
        clip="bench",
        wavlm=torch.randn(frames, 768),
        mfcc=torch.randn(frames, params.mfcc.n_mfcc),
        text=torch.randn(n_words, 1024),
        text_span_s=torch.cat([starts, starts + 0.2], 1),
        speaker=0,
    )
    for steps in options.steps:
        sampling = params.sampling.model_copy(update={"steps": steps})
        start = time.process_time()
        generate_clips(model, tokenizer, [speech], 0, sampling)
        spent = time.process_time() - start
        print(f"{steps} step(s): {spent:.2f} CPU s, {frames / spent:.0f} frames a CPU second")


if __name__ == "__main__":
    main()
