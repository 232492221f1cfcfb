"""How well a trained model tells motion from noise, beside a linear filter, which hears nothing.

    python benchmarks/denoising.py --folder FOLDER --model CHECKPOINT [--name study]

Held-out clips as their codes decode, in windows of 32 tokens, are put into the flow at several times; the
clean estimate's squared error a channel, in variances of the train split. The filter knows the second moments
of the train clips and no speech: with white noise it is a Wiener filter of each principal component along
time, with shaped noise a number times x_t. A model that hears and is worse than it hasn't learnt to see.

FOLDER is one that the study or the pipeline has worked in, CHECKPOINT a folder in it.
"""

import argparse
import os
from pathlib import Path

import torch
from torch import Tensor

from omniges.data.packed import Pack
from omniges.model.a2g import A2G
from omniges.model.loading import load_model
from omniges.model.prior import Prior, moments
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.sampling.flow import interpolate
from omniges.sampling.speech import window_of
from omniges.sampling.stage import read_speeches
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.workspace import Workspace

TIMES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0)
TOKENS = 32
WINDOWS = 96


def tokens_of(pack: Pack, tokenizer: GestureTokenizer, clip: str) -> Tensor:
    """A clip as its codes decode, in the model's tokens [N, X]."""
    codes = torch.from_numpy(pack.clip(clip).codes)
    frames = tokenizer.normalise(tokenizer.decode_codes(codes[None]))[0]
    return frames.unflatten(0, (-1, FRAMES_PER_CODE)).flatten(1)


def network(model: A2G, tokenizer: GestureTokenizer, x_t: Tensor, t: float, windows: list) -> Tensor:
    """Clean estimates [B, N, X] of mean codes."""
    speeches, starts = zip(*windows, strict=True)
    heard = window_of(speeches, starts, TOKENS * FRAMES_PER_CODE, model.config.data.fps)
    conditions = model.listen(heard)
    given = torch.zeros(x_t.shape[:2], dtype=torch.bool)
    states = model.states(x_t, torch.full((len(x_t),), t), given, conditions)
    latent = model.code_head.generate(states[None], lambda logits, level: logits[0].softmax(-1))
    return model.tokens(latent, lambda: tokenizer.estimate(latent))


def wiener(prior: Prior, x_t: Tensor, t: float) -> Tensor:
    """E[x_1 | x_t] of Gaussian motion in white noise: [B, N, X]."""
    lag = (torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)).abs()
    motion = prior.correlation[:, lag].double() * prior.scale.double().square()[:, None, None]
    noise = (1 - t) ** 2 * torch.eye(TOKENS).double()
    gain = t * motion @ torch.linalg.inv(t**2 * motion + noise + 1e-9 * torch.eye(TOKENS).double())
    inside = x_t @ prior.basis
    rest = t * prior.rest**2 / (t**2 * prior.rest**2 + (1 - t) ** 2) * (x_t - inside @ prior.basis.mT)
    return torch.einsum("knm,bmk->bnk", gain.float(), inside) @ prior.basis.mT + rest


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", default="study", help="of the corpus")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.chdir(options.folder)
    W = Workspace(name=options.name, raw=Path("data/raw") / options.name)
    model, tokenizer = load_model(options.model), GestureTokenizer.load(W)
    if model.config.sizes.predicts != "codes":
        parser.error(f"{options.model}: gives latents; wanted a model that predicts codes")
    pack = Pack(W.pack, "all")
    prior = Prior(moments([tokens_of(pack, tokenizer, clip) for clip in pack.index.clips_of("train")]))
    windows, clean = [], []
    for speech in read_speeches(W, model, "test"):
        tokens = tokens_of(pack, tokenizer, speech.clip)
        for first in range(0, len(tokens) - TOKENS + 1, TOKENS):
            windows.append((speech, first * FRAMES_PER_CODE))
            clean.append(tokens[first : first + TOKENS])
    windows, truth = windows[:WINDOWS], torch.stack(clean[:WINDOWS])
    white = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    noise = model.start(white)
    print(
        f"{len(windows)} windows, {model.config.sizes.noise} noise\n\n| t | model | filter |\n|---|---|---|"
    )
    for t in TIMES:
        x_t = interpolate(noise, truth, torch.tensor(t))
        linear = wiener(prior, x_t, t) if model.prior is None else x_t * (t / (t**2 + (1 - t) ** 2))
        found = [
            (guess - truth).square().mean() for guess in (network(model, tokenizer, x_t, t, windows), linear)
        ]
        print(f"| {t:.1f} | {found[0]:.3f} | {found[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
