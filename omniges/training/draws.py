"""All randomness of a training step. Each sample draws from a source of its own, seeded by (seed, step,
place in the global batch),

so that a resumed run, and a run on another number of processes, see the very same noise.

Shapes: B batch, N tokens, X channels of a token, P parts, Q quantizers.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.config import TrainParams
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.sampling.flow import shifted


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What chance decided for a batch."""

    noise: Tensor  # [B, N, X]
    t: Tensor  # [B] flow time of what isn't given
    given: Tensor  # [B, N] bool, the clean past
    past_noise: Tensor  # [B] deviation of the noise that the past is blurred with
    keep_audio: Tensor  # [B] bool
    keep_text: Tensor  # [B] bool
    keep_speaker: Tensor  # [B] bool
    blur: Tensor | None = None  # [B, N, X] for the past, where the noise is to be correlated along time

    def to(self, device: torch.device) -> "Draws":
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return Draws(**moved)


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from anything that names a place in a run."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw(
    train: TrainParams,
    where: Sequence[tuple[int | str, ...]],
    n_tokens: int,
    width: int,
    shaped: bool = False,
) -> Draws:
    """Draw for a batch.

    Args:
        train: shares and the longest past.
        where: a name for each sample, unique within the run.
        n_tokens: N.
        width: X.
        shaped: the noise will be correlated along time, so that what blurs the past is to be drawn apart.
    """
    rows = [_draw_one(train, seed_of(train.seed, *name), n_tokens, width, shaped) for name in where]
    noise, blur, t, past, blurred, kept = zip(*rows, strict=True)
    given = torch.arange(n_tokens)[None] < torch.tensor(past)[:, None]
    keep = torch.tensor(kept)
    return Draws(
        noise=torch.stack(noise),
        t=torch.tensor(t),
        given=given,
        past_noise=torch.tensor(blurred),
        keep_audio=keep[:, 0],
        keep_text=keep[:, 1],
        keep_speaker=keep[:, 2],
        blur=torch.stack(blur) if shaped else None,
    )


def _draw_one(
    train: TrainParams, seed: int, n_tokens: int, width: int, shaped: bool
) -> tuple[Tensor, Tensor | None, float, int, float, list[bool]]:
    generator = torch.Generator().manual_seed(seed)
    at_zero, t, has_past, length, blurred, audio, text, speaker = torch.rand(8, generator=generator).tolist()
    longest = min(train.prefix_frames // FRAMES_PER_CODE, n_tokens - 1)
    past = 1 + int(length * longest) if longest and has_past < train.prefix_share else 0
    kept = [audio >= train.drop_audio, text >= train.drop_text, speaker >= train.drop_speaker]
    noise = torch.randn(n_tokens, width, generator=generator)
    blur = torch.randn(n_tokens, width, generator=generator) if shaped else None
    t = 0.0 if at_zero < train.noise_share else shifted(t, train.time_shift)
    return noise, blur, t, min(past, longest), blurred * train.prefix_noise, kept
