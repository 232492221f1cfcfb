"""The encoder behind every FGD of a report: a published file, or the same architecture trained on the train
split.

Figures from different encoders are never comparable, so an `Embedder` carries its label and hash, and every
figure shows them.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from omniges import checkpoint
from omniges.config import EmbedderParams, Params
from omniges.errors import CheckpointError, EvaluationError, TrainingError
from omniges.evaluation.fgd_network import FEATURE_WIDTH, FRAMES_PER_FEATURE, FgdNetwork, load_published
from omniges.evaluation.sources import split_motion
from omniges.files import sha256_file
from omniges.log import progress
from omniges.motion.layout import POSE_WIDTH
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)
OWN_LABEL = "own embedder, trained on the train split"
PUBLISHED_LABEL = "published AESKConv_240_100"


@dataclass(frozen=True)
class Embedder:
    """An encoder with its name."""

    network: FgdNetwork
    label: str
    hash: str  # SHA-256 of the weights
    context_frames: int | None = None  # how much is fed at once; None: whole clips, as the field does

    @property
    def context(self) -> str:
        """What is fed at once, in words: without it a figure means nothing."""
        return "whole clips" if self.context_frames is None else f"windows of {self.context_frames} frames"

    def named(self) -> dict[str, str]:
        """Label, hash and context, which stand beside every figure."""
        return {"label": self.label, "sha256": self.hash, "context": self.context}

    @torch.inference_mode()
    def features(self, rot6d: NDArray[np.floating]) -> NDArray[np.float32]:
        """Encode a clip, whole or in windows of `context_frames` whose rest is dropped.

        The network averages over the time it is fed, so a whole clip's features depend on its length; those
        of windows do not.

        Args:
            rot6d: [T, 330], unnormalised.
        Returns:
            [N, 240], N = T // 16 for whole clips; empty for less than one window or 16 frames.
        """
        x = torch.from_numpy(np.asarray(rot6d, np.float32))
        if self.context_frames is not None:
            n = len(x) // self.context_frames
            x = x[: n * self.context_frames].reshape(n, self.context_frames, -1)
        elif len(x) >= FRAMES_PER_FEATURE:
            x = x[None]
        else:
            x = x[:0]
        if not len(x):
            return np.empty((0, FEATURE_WIDTH), np.float32)
        return self.network.encode(x).flatten(0, 1).numpy()


def run(params: Params, W: Workspace) -> None:
    """Stage `embedder`: train on the train split, or copy the published file into a checkpoint folder."""
    section = params.embedder
    if section.weights is not None:
        network, digest = load_published(Path(section.weights))
        config: dict[str, Any] = {"label": PUBLISHED_LABEL, "file_sha256": digest, "fps": params.data.fps}
    else:
        clips = [values[:, :POSE_WIDTH] for _, values in split_motion(W, "train")]
        network, final = train(clips, section)
        config = {
            "label": OWN_LABEL,
            "clips": len(clips),
            "reconstruction": final,
            "fps": params.data.fps,
            "steps": section.steps,
        }
    checkpoint.save(
        W.embedder,
        tensors=network.state_dict(),
        config=config,
        statistics={},
        provenance={"stage": "embedder"},
    )


def load(path: Path, context_frames: int | None = None) -> Embedder:
    """Read a checkpoint folder of this stage, or a published `.bin` file.

    Args:
        path: see above.
        context_frames: how much to feed at once; None feeds whole clips.
    """
    if path.is_file():
        network, digest = load_published(path)
        return Embedder(network, PUBLISHED_LABEL, digest, context_frames)
    stored = checkpoint.load(path)
    if "label" not in stored.config:
        raise CheckpointError(
            f"{path}: not an embedder's folder (config.json has no `label`). Run the stage `embedder`."
        )
    network = FgdNetwork()
    checkpoint.load_state(network, stored.tensors, path)
    digest = stored.config.get("file_sha256") or sha256_file(path / "model.safetensors")
    return Embedder(network.eval(), stored.config["label"], digest, context_frames)


def train(clips: Sequence[NDArray[np.floating]], section: EmbedderParams) -> tuple[FgdNetwork, float]:
    """Train the autoencoder to reconstruct windows and their velocity.

    Args:
        clips: rot6d [T_i, 330] of the train split.
        section: steps, batch, window, seed, rate.
    Returns:
        The network in evaluation mode, and the mean loss of the last tenth of the steps.
    Raises:
        EvaluationError: no clip is as long as a window.
        TrainingError: the loss became NaN or infinite.
    """
    usable = [
        torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
        for x in clips
        if len(x) >= section.window_frames
    ]
    if not usable:
        raise EvaluationError(
            f"embedder: none of {len(clips)} train clips has {section.window_frames} frames; "
            "lower embedder.window_frames."
        )
    rng = np.random.default_rng(section.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        network = FgdNetwork().train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=section.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, section.lr, total_steps=section.steps)
    losses: list[float] = []
    for _ in progress(range(section.steps), "training the embedder"):
        loss = reconstruction_loss(network, _windows(usable, section, rng))
        if not torch.isfinite(loss):
            raise TrainingError(f"embedder: loss {loss.item()} at step {len(losses)}; lower embedder.lr.")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    final = float(np.mean(losses[-max(1, len(losses) // 10) :]))
    logger.info("embedder: reconstruction loss %.4f → %.4f", losses[0], final)
    return network.eval(), final


def state_hash(network: nn.Module) -> str:
    """SHA-256 of a network's weights that lie in no file."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def reconstruction_loss(network: FgdNetwork, x: Tensor) -> Tensor:
    """Mean absolute error of the pose and of its frame difference; x: [B, T, 330]."""
    y = network(x)
    return F.l1_loss(y, x) + F.l1_loss(y.diff(dim=1), x.diff(dim=1))


def _windows(clips: Sequence[Tensor], section: EmbedderParams, rng: np.random.Generator) -> Tensor:
    lengths = np.array([len(x) for x in clips], dtype=np.float64)
    picked = rng.choice(len(clips), section.batch, p=lengths / lengths.sum())
    starts = [int(rng.integers(0, len(clips[i]) - section.window_frames + 1)) for i in picked]
    return torch.stack([clips[i][s : s + section.window_frames] for i, s in zip(picked, starts, strict=True)])
