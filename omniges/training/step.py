"""One training step's mathematics: a batch and its draws to losses. No network here is frozen, and none is
loaded.

Shapes: B batch, T frames, N tokens, X channels of a token.
"""

import torch
from torch import Tensor, nn

from omniges.data.windows import Batch
from omniges.model.a2g import A2G, UNKNOWN_SPEAKER, Heard
from omniges.model.losses import Losses, Target, losses
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.sampling.flow import interpolate
from omniges.training.draws import Draws


def training_losses(wrapped: nn.Module, model: A2G, batch: Batch, draws: Draws) -> Losses:
    """Losses of one batch.

    Args:
        wrapped: the model as accelerate wraps it (its forward synchronises gradients).
        model: the model itself.
        batch: a window of every sample.
        draws: noise, flow times, what is withheld.
    """
    clean = model.tokens(model.code_head.vectors(batch.codes).sum(3), lambda: batch.gesture)
    noise = model.start(draws.noise)
    x_t = interpolate(noise, clean, torch.where(draws.given, 1.0, draws.t[:, None])[..., None])
    # In generation the past is the model's own; one that trusts it blindly drifts away from what it hears.
    x_t = x_t + _blur(model, draws) * (draws.given * draws.past_noise[:, None])[..., None]
    prediction = wrapped(x_t, draws.t, draws.given, heard_in(batch, draws), batch.codes, draws.keep_audio)
    target = Target(
        codes=batch.codes,
        side=model.statistics.normalise("side", batch.side),
        tokens=~draws.given,
        frames=torch.ones(batch.side.shape[:2], dtype=torch.bool, device=batch.side.device),
    )
    return losses(prediction, target, model.code_head)


def _blur(model: A2G, draws: Draws) -> Tensor:
    """[B, N, X] for the past. White noise there tells nothing of what follows; a stretch of shaped noise
    would, so it is drawn apart.
    """
    if model.prior is None or draws.blur is None:
        return draws.noise
    return model.prior.shaped(draws.blur)


def heard_in(batch: Batch, draws: Draws) -> Heard:
    """The batch as the model hears it, with text and speaker withheld where the draws say so."""
    return Heard(
        wavlm=batch.wavlm,
        mfcc=batch.mfcc,
        frames=torch.ones(batch.mfcc.shape[:2], dtype=torch.bool, device=batch.mfcc.device),
        text=batch.text,
        text_mask=batch.text_mask & draws.keep_text[:, None],
        text_span_s=batch.text_span_s,
        speaker=torch.where(draws.keep_speaker, batch.speaker, UNKNOWN_SPEAKER),
    )


def draws_shape(model: A2G, window_frames: int) -> tuple[int, int, bool]:
    """(N, X) of a window, and whether its noise will be shaped."""
    return window_frames // FRAMES_PER_CODE, model.config.token_width, model.prior is not None
