"""CPU seconds of a training step, against the same step with WavLM and a full-length empty text stream
inside it.

    python benchmarks/step.py [--params params.beat2.yaml] [--repeats 3] [--precision bf16] [--peer]

One thread, random features at the parameters' sizes. `--peer` also times WavLM-base (random weights) on the
batch's audio and a
text stream of one zero vector a frame, which is what the peer's step does; the ratio is what counts.
"""

import argparse
import contextlib
import time
from pathlib import Path

import torch

from omniges.config import Params, load_params
from omniges.data.windows import Batch
from omniges.model.a2g import A2G
from omniges.model.config import DataSizes, ModelConfig
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.timing import SAMPLE_RATE
from omniges.training.draws import draw
from omniges.training.loop import parameter_groups
from omniges.training.step import draws_shape, training_losses


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


def cpu_seconds(work, repeats: int) -> float:
    """Median CPU seconds after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return sorted(times)[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.beat2.yaml"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(options.params)
    model = full_size_model(params)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), lr=1e-4, fused=True)
    size, frames = params.train.batch_per_process, params.train.window_frames
    draws = draw(params.train, [("bench", i) for i in range(size)], *draws_shape(frames))
    bf16 = torch.autocast("cpu", torch.bfloat16) if options.precision == "bf16" else contextlib.nullcontext()

    def step(batch: Batch, before=lambda: None) -> None:
        before()
        optimizer.zero_grad()
        with bf16:
            found = training_losses(model, model, batch, draws)
        found.total(params.train.loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), params.train.clip_norm)
        optimizer.step()

    words = max(1, round(2.5 * frames / params.data.fps))
    batch = random_batch(params, words)
    own = cpu_seconds(lambda: step(batch), options.repeats)
    n_parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{n_parameters:.1f} M parameters, batch {size} x {frames} frames, {options.precision}")
    print(f"step: {own:.3f} CPU s ({size * frames / own:.0f} frames a CPU second)")
    if options.peer:
        from transformers import WavLMConfig, WavLMModel

        wavlm = WavLMModel(WavLMConfig()).eval()
        wave = torch.randn(size, round(frames / params.data.fps * SAMPLE_RATE))
        empty = random_batch(params, frames)

        def listen() -> None:
            with torch.no_grad():
                wavlm(wave)

        peer = cpu_seconds(lambda: step(empty, listen), options.repeats)
        print(f"with WavLM and {frames} empty words inside: {peer:.3f} CPU s, {peer / own:.2f} times as much")


if __name__ == "__main__":
    main()
