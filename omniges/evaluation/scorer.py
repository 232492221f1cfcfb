"""A small contrastive audio-motion scorer, trained on real train data: does this motion belong to this sound?

Two temporal convolution nets embed MFCC and motion at a quarter of the motion rate; the score of a window is
the mean cosine of the embeddings over time, so timing counts. Trained with InfoNCE (van den Oord et al. 2018,
arXiv:1807.03748) on batches of ONE speaker, so that nobody can win by recognising who speaks.

Shapes: B windows, T frames, D channels, N embedding steps (T / 4).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from omniges import checkpoint
from omniges.config import Params, ScorerParams
from omniges.data.clips import read_clips
from omniges.errors import EvaluationError, TrainingError
from omniges.evaluation.listening import window_scores
from omniges.evaluation.sources import clips_of, mfcc_of, motion_of
from omniges.files import sha256_file
from omniges.log import progress
from omniges.motion.layout import EXPRESSION_SLICE, JAW, PARTS, rot6d_channels
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)
STRIDE = 4
CHANNELS = np.concatenate(
    [
        PARTS["upper"].channels,
        rot6d_channels((JAW,)),
        np.arange(EXPRESSION_SLICE.start, EXPRESSION_SLICE.stop),
    ]
)
"""What of the 433 features the scorer sees: upper body, jaw and expressions; no fingers, legs or place in the
room.
"""
CHECKS = 5
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


class Tower(nn.Module):
    """[B, T, D] → [B, T / 4, width], unit length."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(width_in, width, 5, padding=2), nn.GELU(), nn.Dropout(0.1)),
            *(nn.Conv1d(width, width, 4, stride=2, padding=1), nn.GELU(), nn.Dropout(0.1)),
            *(
                nn.Conv1d(width, width, 4, stride=2, padding=1),
                nn.GELU(),
                nn.Conv1d(width, width, 5, padding=2),
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.layers(x.transpose(1, 2)).transpose(1, 2), dim=-1)


class ScorerNetwork(nn.Module):
    """Both towers and the log of InfoNCE's inverse temperature."""

    def __init__(self, audio_width: int, width: int) -> None:
        super().__init__()
        self.audio = Tower(audio_width, width)
        self.motion = Tower(len(CHANNELS), width)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def loss(self, audio: Tensor, motion: Tensor) -> Tensor:
        """Symmetric InfoNCE of normalised windows [B, T, ...]; the diagonal is matched."""
        a, m = self.audio(audio), self.motion(motion)
        scores = torch.einsum("itd,jtd->ij", a, m) / a.shape[1] * self.log_scale.clamp(max=5.0).exp()
        matched = torch.arange(len(scores))
        return (F.cross_entropy(scores, matched) + F.cross_entropy(scores.T, matched)) / 2


@dataclass(frozen=True)
class Scorer:
    """A trained scorer with its normalisation and hash."""

    network: ScorerNetwork
    statistics: Mapping[str, Tensor]
    fps: float
    window_s: float
    hash: str

    @property
    def window_steps(self) -> int:
        """Embedding steps of one scored window."""
        return max(1, round(self.window_s * self.fps / STRIDE))

    @torch.inference_mode()
    def embed_audio(self, mfcc: NDArray[np.floating]) -> NDArray[np.float32]:
        """[T, 128] → [T / 4, width]."""
        x = torch.from_numpy(np.asarray(mfcc, np.float32))
        return self.network.audio(normalised(x, self.statistics, "mfcc")[None])[0].numpy()

    @torch.inference_mode()
    def embed_motion(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Features [T, 433] → [T / 4, width]."""
        x = torch.from_numpy(np.asarray(values[:, CHANNELS], np.float32))
        return self.network.motion(normalised(x, self.statistics, "motion")[None])[0].numpy()


def normalised(x: Tensor, statistics: Mapping[str, Tensor], name: str) -> Tensor:
    """Z-scores by the train split; channels that hardly move there are kept from exploding."""
    return ((x - statistics[f"{name}_mean"]) / statistics[f"{name}_std"]).clamp(-8, 8)


def run(params: Params, W: Workspace) -> None:
    """Stage `scorer`: train on the train split, keep the step that ranks the val split best."""
    section, fps = params.scorer, float(params.data.fps)
    train_pairs = read_pairs(W, "train")
    val_pairs = read_pairs(W, "val") if read_clips(W, "val") else {}
    scorer, history = train(train_pairs, val_pairs, section, fps)
    config = {
        "audio_width": int(next(iter(train_pairs.values()))[0][0].shape[1]),
        "width": section.width,
        "fps": fps,
        "window_s": section.window_s,
        "val_auc": history,
    }
    checkpoint.save(
        W.scorer,
        tensors=scorer.network.state_dict(),
        config=config,
        statistics=dict(scorer.statistics),
        provenance={"stage": "scorer", "clips": sum(len(x) for x in train_pairs.values())},
    )


def load(folder: Path) -> Scorer:
    """Read the stage's checkpoint folder."""
    stored = checkpoint.load(folder)
    network = ScorerNetwork(stored.config["audio_width"], stored.config["width"])
    checkpoint.load_state(network, stored.tensors, folder)
    config = stored.config
    digest = sha256_file(folder / "model.safetensors")
    return Scorer(network.eval(), stored.statistics, config["fps"], config["window_s"], digest)


def read_pairs(W: Workspace, split: str) -> dict[int, list[Pair]]:
    """Speaker → (MFCC [T, 128], motion channels [T, D]) of every clip of a split, cut to one length."""
    pairs: dict[int, list[Pair]] = {}
    for clip in clips_of(W, split):  # type: ignore[arg-type]
        mfcc, values = mfcc_of(W, clip.id), motion_of(W, clip.id).values
        n = min(len(mfcc), len(values))
        pairs.setdefault(clip.speaker, []).append(
            (mfcc[:n], np.ascontiguousarray(values[:n, CHANNELS], np.float32))
        )
    return pairs


def statistics_of(pairs: Mapping[int, Sequence[Pair]]) -> dict[str, Tensor]:
    """Mean and standard deviation of both sides over all frames; still channels get the median's tenth."""
    result = {}
    for index, name in enumerate(("mfcc", "motion")):
        frames = np.concatenate([pair[index] for clips in pairs.values() for pair in clips]).astype(
            np.float64
        )
        std = frames.std(0)
        floor = 0.1 * float(np.median(std)) + 1e-6
        result[f"{name}_mean"] = torch.from_numpy(frames.mean(0)).float()
        result[f"{name}_std"] = torch.from_numpy(np.maximum(std, floor)).float()
    return result


def train(
    pairs: Mapping[int, Sequence[Pair]], val: Mapping[int, Sequence[Pair]], section: ScorerParams, fps: float
) -> tuple[Scorer, list[float]]:
    """Train; returns the best scorer by val AUC and the AUC at each check. Where val has no two clips of one
    speaker to tell apart, the newest weights are kept and no AUC is returned.

    Raises:
        EvaluationError: no train clip is as long as a window.
        TrainingError: the loss became NaN or infinite.
    """
    frames = round(section.window_s * fps / STRIDE) * STRIDE
    usable = {s: [p for p in clips if len(p[0]) >= frames] for s, clips in pairs.items()}
    usable = {s: clips for s, clips in usable.items() if clips}
    if not usable:
        raise EvaluationError(
            f"scorer: no train clip has {frames} frames ({section.window_s} s, scorer.window_s)."
        )
    statistics = statistics_of(pairs)
    rng = np.random.default_rng(section.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        network = ScorerNetwork(next(iter(usable.values()))[0][0].shape[1], section.width)
        optimiser = torch.optim.AdamW(network.parameters(), lr=section.lr, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, section.lr, total_steps=section.steps)
        history: list[float] = []
        best = {key: value.clone() for key, value in network.state_dict().items()}
        for step in progress(range(1, section.steps + 1), "training the scorer"):
            audio, motion = _batch(usable, frames, section.batch, rng)
            loss = network.train().loss(
                normalised(audio, statistics, "mfcc"), normalised(motion, statistics, "motion")
            )
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"scorer: loss {loss.item()} at step {step}; lower scorer.lr (now {section.lr})."
                )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if step % max(1, section.steps // CHECKS) == 0:
                auc = _val_auc(Scorer(network.eval(), statistics, fps, section.window_s, ""), val)
                history += [] if auc is None else [auc]
                if auc is None or auc >= max(history):
                    best = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(best)
    logger.info("scorer: AUC on val at each check: %s", ", ".join(f"{x:.3f}" for x in history) or "none")
    return Scorer(network.eval(), statistics, fps, section.window_s, ""), history


def _batch(
    pairs: Mapping[int, Sequence[Pair]], frames: int, batch: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    clips = pairs[int(rng.choice(list(pairs)))]
    lengths = np.array([len(audio) for audio, _ in clips], dtype=np.float64)
    audio, motion = [], []
    for i in rng.choice(len(clips), batch, p=lengths / lengths.sum()):
        start = int(rng.integers(0, len(clips[i][0]) - frames + 1))
        audio.append(clips[i][0][start : start + frames])
        motion.append(clips[i][1][start : start + frames])
    return torch.from_numpy(np.stack(audio)), torch.from_numpy(np.stack(motion))


@torch.inference_mode()
def _val_auc(scorer: Scorer, val: Mapping[int, Sequence[Pair]]) -> float | None:
    scores = []
    for clips in val.values():
        audio = [scorer.embed_audio(a) for a, _ in clips]
        for i, (_, channels) in enumerate(clips):
            motion = scorer.network.motion(
                normalised(torch.from_numpy(channels), scorer.statistics, "motion")[None]
            )[0].numpy()
            scores.append(window_scores(motion, audio, i, scorer.window_steps).auc())
    found = [x for x in scores if x is not None]
    return float(np.mean(found)) if found else None
