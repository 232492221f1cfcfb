"""A plain regression of motion on sound: what a small convolution net knows of a gesture, which is its mean.

Dilated residual convolutions over MFCC, squared error, nothing drawn. Its motion is too still to be taken for
real, but it listens; a model that explains less than this is not listening.

Shapes: B windows, T frames, D channels of motion (features and side, joined).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from omniges.config import RegressionParams
from omniges.errors import EvaluationError, TrainingError
from omniges.log import progress
from omniges.motion.features import Features

KERNEL = 5
DILATIONS = (1, 2, 4, 8, 16)
"""Five taps each: the net hears two seconds to both sides at 30 fps."""


@dataclass(frozen=True, kw_only=True)
class Take:
    """A train clip; nothing of it is copied, since a whole corpus may be in memory."""

    mfcc: NDArray[np.float32]  # [T or more, audio]
    features: Features

    def __len__(self) -> int:
        return min(len(self.mfcc), len(self.features.values))

    def motion(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """[frames, D] of a stretch."""
        span = slice(start, len(self) if stop is None else stop)
        return np.concatenate([self.features.values[span], self.features.side[span]], axis=1)


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.conv = nn.Conv1d(width, width, KERNEL, dilation=dilation, padding=dilation * (KERNEL // 2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(F.gelu(self.conv(self.norm(x))))


class RegressionNetwork(nn.Module):
    """Normalised MFCC and a speaker's row to normalised motion."""

    def __init__(self, audio: int, motion: int, speakers: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv1d(audio, width, KERNEL, padding=KERNEL // 2)
        self.speaker = nn.Embedding(speakers, width)
        self.blocks = nn.Sequential(*(_Block(width, dilation, dropout) for dilation in DILATIONS))
        self.last = nn.Conv1d(width, motion, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, audio: Tensor, speaker: Tensor) -> Tensor:
        """Audio [B, T, audio], speaker [B] int64 to [B, T, D]."""
        hidden = self.first(audio.transpose(1, 2)) + self.speaker(speaker)[..., None]
        return self.last(self.blocks(hidden)).transpose(1, 2)


@dataclass(frozen=True)
class Regressor:
    """A trained network with its normalisation."""

    network: RegressionNetwork
    rows: Mapping[int, int]  # speaker → row
    audio: tuple[Tensor, Tensor]  # mean and deviation, [audio]
    motion: Mapping[int, tuple[Tensor, Tensor]]  # by speaker, [D]

    @torch.inference_mode()
    def predict(self, mfcc: NDArray[np.floating], speaker: int) -> NDArray[np.float32]:
        """[T, audio] of a clip, whole, to raw motion [T, D]."""
        x = (torch.from_numpy(np.asarray(mfcc, np.float32)) - self.audio[0]) / self.audio[1]
        mean, std = self.motion[speaker]
        y = self.network(x[None], torch.tensor([self.rows[speaker]]))[0]
        return (y * std + mean).numpy()


def train(takes: Mapping[int, Sequence[Take]], section: RegressionParams) -> Regressor:
    """Train on every train clip, by speaker.

    Raises:
        EvaluationError: no clip is as long as a window.
        TrainingError: the loss became NaN or infinite.
    """
    rows = {speaker: row for row, speaker in enumerate(sorted(takes))}
    audio = _moments([take.mfcc for clips in takes.values() for take in clips])
    motion = {speaker: _moments([take.motion() for take in clips]) for speaker, clips in takes.items()}
    pool = [
        (speaker, take)
        for speaker, clips in takes.items()
        for take in clips
        if len(take) >= section.window_frames
    ]
    if not pool:
        raise EvaluationError(
            f"regression: no train clip has {section.window_frames} frames; "
            "lower baselines.regression.window_frames."
        )
    rng = np.random.default_rng(section.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        network = RegressionNetwork(
            len(audio[0]), len(motion[pool[0][0]][0]), len(rows), section.width, section.dropout
        ).train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=section.lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, section.lr, total_steps=section.steps)
        for step in progress(range(section.steps), "training the regression"):
            speakers, x, y = _batch(pool, section, rng)
            x = (x - audio[0]) / audio[1]
            mean, std = (torch.stack([motion[s][i] for s in speakers])[:, None] for i in (0, 1))
            loss = F.mse_loss(network(x, torch.tensor([rows[s] for s in speakers])), (y - mean) / std)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"regression: loss {loss.item()} at step {step}; lower baselines.regression.lr "
                    f"(now {section.lr})."
                )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return Regressor(network.eval(), rows, audio, motion)


def _moments(clips: Sequence[NDArray[np.floating]]) -> tuple[Tensor, Tensor]:
    """Mean and deviation over all frames; channels that never move count as moving by 1."""
    count = sum(len(clip) for clip in clips)
    mean = sum(clip.sum(0, dtype=np.float64) for clip in clips) / count
    std = np.sqrt(sum(((clip - mean) ** 2).sum(0, dtype=np.float64) for clip in clips) / count)
    std = np.where(std < 1e-6, 1.0, std)
    return torch.as_tensor(mean).float(), torch.as_tensor(std).float()


def _batch(
    pool: Sequence[tuple[int, Take]], section: RegressionParams, rng: np.random.Generator
) -> tuple[list[int], Tensor, Tensor]:
    """Raw windows, longer clips more often: their speakers, [B, T, audio] and [B, T, D]."""
    weights = np.array([len(take) for _, take in pool], dtype=np.float64)
    chosen = [pool[i] for i in rng.choice(len(pool), section.batch, p=weights / weights.sum())]
    length = section.window_frames
    starts = [int(rng.integers(0, len(take) - length + 1)) for _, take in chosen]
    cuts = [(take, s, s + length) for (_, take), s in zip(chosen, starts, strict=True)]
    x = torch.from_numpy(np.stack([take.mfcc[a:b] for take, a, b in cuts]))
    y = torch.from_numpy(np.stack([take.motion(a, b) for take, a, b in cuts]))
    return [speaker for speaker, _ in chosen], x, y
