"""Tiny models, batches and tokenizers for tests of model, sampling and training; no file is read."""

from dataclasses import dataclass

import torch

from omniges.config import LossParams, ModelParams, SamplingParams, TrainParams
from omniges.model.a2g import A2G, Heard
from omniges.model.config import DataSizes, ModelConfig

WAVLM, MFCC, TEXT = 12, 10, 14
PARTS, QUANTIZERS, CODES, CODE_DIM = 4, 3, 8, 6


def sizes(**changes):
    values = {
        "predicts": "codes",
        "noise": "white",
        "fusion_width": 16,
        "fusion_layers": 1,
        "fusion_heads": 2,
        "fusion_gate": True,
        "context_layers": 1,
        "audio_frames_per_token": 2,
        "text_width": 8,
        "audio_width": 12,
        "gesture_width": 20,
        "context_reads_gesture": True,
        "layers": 2,
        "heads": 2,
        "head_dim": 8,
        "mlp_ratio": 2.0,
        "residual_streams": 2,
        "condition_width": 16,
        "head_width": 12,
        "dropout": 0.0,
    }
    return ModelParams.model_validate({**values, **changes})


def train_params(**changes):
    values = {
        "seed": 3,
        "shards": "all",
        "window_frames": 32,
        "stride_frames": 8,
        "prefix_frames": 8,
        "prefix_share": 0.5,
        "prefix_noise": 0.5,
        "noise_share": 0.3,
        "time_shift": 2.0,
        "batch_per_process": 4,
        "accumulate": 1,
        "epochs": 100,
        "max_steps": 8,
        "lr": 2e-3,
        "weight_decay": 0.01,
        "warmup_steps": 2,
        "clip_norm": 1.0,
        "ema_decay": 0.9,
        "precision": "no",
        "compile": False,
        "drop_audio": 0.2,
        "drop_text": 0.2,
        "drop_speaker": 0.1,
        "workers": 0,
        "validate_every": 4,
        "validate_windows": 4,
        "checkpoint_every": 1,
        "log_every": 1,
        "loss": LossParams(codes=1.0, reconstruction=1.0, velocity=0.5, side=1.0),
    }
    return TrainParams.model_validate({**values, **changes})


def sampling_params(**changes):
    values = {
        "seeds": [0],
        "steps": 3,
        "time_shift": 2.0,
        "solver": "euler",
        "first_step": "mean",
        "audio_guidance": 1.0,
        "text_guidance": 1.0,
        "sampled_levels": 3,
        "temperature": 1.0,
        "coherence_s": 0.2,
        "softness": 0.0,
        "top_p": 0.9,
        "window_frames": 32,
        "overlap_frames": 8,
        "lookahead_frames": 4,
        "batch_clips": 4,
        "precision": "fp32",
    }
    return SamplingParams.model_validate({**values, **changes})


def model(seed=0, **changes):
    torch.manual_seed(seed)
    data = DataSizes(
        wavlm_width=WAVLM,
        mfcc_width=MFCC,
        text_width=TEXT,
        parts=PARTS,
        quantizers=QUANTIZERS,
        codes=CODES,
        code_dim=CODE_DIM,
        fps=30.0,
        speakers=(1, 2),
    )
    widths = {"mfcc": MFCC, "wavlm": WAVLM, "side": 9}
    statistics = {f"{n}_mean": torch.zeros(w) for n, w in widths.items()}
    statistics |= {f"{n}_std": torch.ones(w) for n, w in widths.items()}
    codebooks = torch.randn(PARTS, QUANTIZERS, CODES, CODE_DIM)
    config = ModelConfig(sizes=sizes(**changes), data=data)
    if config.sizes.noise == "shaped":
        statistics |= prior_statistics(config.token_width)
    return A2G(config, statistics, codebooks, torch.ones(PARTS))


def prior_statistics(width, components=5, lags=7):
    """Some components that last for some tokens."""
    basis, _ = torch.linalg.qr(torch.randn(width, components))
    times = torch.linspace(1.0, lags, components)[:, None]
    return {
        "prior_mean": torch.linspace(-1.0, 1.0, width),
        "prior_basis": basis,
        "prior_scale": torch.linspace(3.0, 0.7, components),
        "prior_rest": torch.tensor([0.2]),
        "prior_correlation": (1 - torch.arange(lags) / times).clamp(min=0),
    }


def jitter(module, seed=1, scale=0.3):
    """Move every parameter, so that zero initialisations hide nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += (
                scale
                * torch.randn(parameter.shape, generator=generator)
                / (parameter.shape[-1] if parameter.ndim else 1) ** 0.5
            )
    return module


def heard(batch=2, frames=32, words=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    starts = torch.rand(batch, words, 1, generator=g)
    return Heard(
        wavlm=torch.randn(batch, frames, WAVLM, generator=g),
        mfcc=torch.randn(batch, frames, MFCC, generator=g),
        frames=torch.ones(batch, frames, dtype=torch.bool),
        text=torch.randn(batch, words, TEXT, generator=g),
        text_mask=torch.ones(batch, words, dtype=torch.bool),
        text_span_s=torch.cat([starts, starts + 0.2], -1),
        speaker=torch.arange(batch) % 2,
    )


@dataclass
class ToyBatch:
    """Has what omniges.data.windows.Batch has."""

    gesture: torch.Tensor
    side: torch.Tensor
    codes: torch.Tensor
    wavlm: torch.Tensor
    mfcc: torch.Tensor
    text: torch.Tensor
    text_mask: torch.Tensor
    text_span_s: torch.Tensor
    speaker: torch.Tensor
    clip: list
    start_frame: torch.Tensor

    def to(self, device):
        return self


class ToyWindows(torch.utils.data.Dataset):
    """Random windows, each a function of its index."""

    def __init__(self, n=24, frames=32, words=2, poison=None):
        self.n, self.frames, self.words, self.poison = n, frames, words, poison

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        h = heard(1, self.frames, self.words, seed=1000 + index)
        g = torch.Generator().manual_seed(index)
        gesture = torch.randn(1, self.frames, 415, generator=g)
        if index == self.poison:
            gesture = gesture * float("nan")
        return ToyBatch(
            gesture=gesture,
            side=torch.randn(1, self.frames, 9, generator=g),
            codes=torch.randint(0, CODES, (1, self.frames // 4, PARTS, QUANTIZERS), generator=g),
            wavlm=h.wavlm,
            mfcc=h.mfcc,
            text=h.text,
            text_mask=h.text_mask,
            text_span_s=h.text_span_s,
            speaker=torch.tensor([index % 2]),
            clip=[f"clip_{index}"],
            start_frame=torch.zeros(1, dtype=torch.int64),
        )


def collate(items):
    def joined(name):
        values = [vars(item)[name] for item in items]
        return [clip for value in values for clip in value] if name == "clip" else torch.cat(values)

    return ToyBatch(**{name: joined(name) for name in vars(items[0])})


class ToyTokenizer:
    """Codes to gesture by a fixed random table, smoothed over neighbouring frames like a decoder's."""

    def __init__(self, smooth=5):
        g = torch.Generator().manual_seed(5)
        self.table = torch.randn(PARTS, CODE_DIM, 415, generator=g) / 2
        self.smooth = smooth
        self.decoder_context = -(-(smooth // 2) // 4)

    def decode_latents(self, latents, wanted=None):
        frames = torch.einsum("bnpd,pdc->bnc", latents, self.table).repeat_interleave(4, dim=1)
        padded = torch.nn.functional.pad(
            frames.transpose(1, 2), (self.smooth // 2, self.smooth // 2), mode="replicate"
        )
        frames = torch.nn.functional.avg_pool1d(padded, self.smooth, stride=1).transpose(1, 2)
        return frames if wanted is None else frames[:, 4 * wanted.start : 4 * wanted.stop]

    def estimate(self, latents, wanted=None):
        return (self.decode_latents(latents, wanted) - 0.5) / 2.0
