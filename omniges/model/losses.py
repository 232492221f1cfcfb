"""The training losses. Each is a mean over a sample's own tokens, then over samples, so that ranks of equal
batch size agree with one big batch.

Shapes: B batch, N tokens, T frames, P parts, Q quantizers, K codes, D code width.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from omniges.config import LossParams
from omniges.model.a2g import Prediction
from omniges.model.head import Head


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Unweighted losses, each a scalar."""

    codes: Tensor  # cross-entropy, nats a code; 0 from a latent flow, which has none
    reconstruction: Tensor  # squared error of the expected latent, in train-split variances
    velocity: Tensor  # the same for differences of neighbouring tokens
    side: Tensor  # squared error of jaw and eyes, in train-split variances

    def total(self, weights: LossParams) -> Tensor:
        return sum(
            (getattr(weights, f.name) * getattr(self, f.name) for f in fields(self)), start=torch.zeros(())
        )

    def items(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the model should have said."""

    codes: Tensor  # [B, N, P, Q] int64
    side: Tensor  # [B, T, 9] normalised
    tokens: Tensor  # [B, N] bool: exists and is not given as the clean past
    frames: Tensor  # [B, T] bool: exists


def losses(prediction: Prediction, target: Target, head: Head) -> Losses:
    """All losses of one batch."""
    truth = head.vectors(target.codes).sum(3)
    scale = head.latent_std[:, None]
    error = (prediction.codes.latent - truth) / scale
    pairs = target.tokens[:, 1:] & target.tokens[:, :-1]
    log_probability = prediction.codes.log_probability
    return Losses(
        codes=error.new_zeros(())
        if log_probability is None
        else code_loss(log_probability, target.codes, target.tokens),
        reconstruction=masked_mean(error.square().mean((-1, -2)), target.tokens),
        velocity=masked_mean((error[:, 1:] - error[:, :-1]).square().mean((-1, -2)), pairs),
        side=masked_mean((prediction.side.float() - target.side).square().mean(-1), target.frames),
    )


def code_loss(log_probability: Tensor, codes: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy a code, in nats: [B, N, P, Q, K], codes [B, N, P, Q], tokens [B, N] bool to a scalar."""
    entropy = -log_probability.gather(-1, codes[..., None])[..., 0]
    return masked_mean(entropy.mean((-1, -2)), tokens)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row's True entries, then over rows; a row without any counts as 0.

    Args:
        values: [B, S].
        mask: [B, S] bool.
    """
    count = mask.sum(1).clamp(min=1)
    return ((values * mask).sum(1) / count).mean()
