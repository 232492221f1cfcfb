"""One window of gesture: from noise to clean, with the same conditions at every step of the flow.

The clean estimate that a rectified flow needs is an expectation, so the steps on the way decode mean code
vectors; drawing
codes there would add noise that the flow has no time to take back. At the end the coarsest `sampled_levels`
codes are drawn. `first_step: drawn` draws them in the first step too: a proposal whose parts and moments were
chosen apart, which the flow takes back in part and mends.

Shapes: V variants, B clips, N tokens of a window, X channels of a token, P parts, Q quantizers, K
    codes, D code width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.model.a2g import A2G
from omniges.model.head import LatentHead
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.sampling import flow
from omniges.sampling.codes import draw, guide, nucleus
from omniges.sampling.listening import Listened


class Decoder(Protocol):
    """What generation needs of the tokenizers."""

    @property
    def decoder_context(self) -> int:
        """Latents to either side of a frame's own that have a say in it, at most."""

    def decode_latents(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """[B, N, P, D] to raw gesture [B, 4 N, 415], or of some latents alone."""

    def estimate(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """[B, N, P, D] to normalised gesture [B, 4 N, 415], or of some latents alone; for the model."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """Tokens that are settled already."""

    given: Tensor  # [B, N] bool
    clean: Tensor  # [B, N, X] normalised, read where given
    latent: Tensor  # [B, N, P, D], read where given


@dataclass(frozen=True, kw_only=True)
class DrawnWindow:
    """One window of every clip."""

    latent: Tensor  # [B, N, P, D]
    clean: Tensor  # [B, n, X] normalised, of the wanted tokens
    side: Tensor  # [B, 4 N, 9] normalised


class WindowSampler:
    """Draws one window of several clips.

    Args:
        model: in evaluation mode.
        tokenizer: decodes clean estimates.
        listened: to B windows, which may be shorter than the options' windows.
        ends: B tokens at which the clips end here; what follows is padding.
        options: sampling options.
    """

    def __init__(
        self,
        model: A2G,
        tokenizer: Decoder,
        listened: Listened,
        ends: Sequence[int],
        options: SamplingParams,
    ) -> None:
        self.model, self.tokenizer, self.ends, self.options = model, tokenizer, ends, options
        self.conditions, self.projected = listened.conditions, listened.projected
        self.weights, self.n_variants = listened.weights, len(listened.weights)

    def draw(
        self, past: Past, generators: Sequence[torch.Generator], gumbel: Tensor, wanted: slice
    ) -> DrawnWindow:
        """Walk from noise to gesture.

        Args:
            past: what is settled.
            generators: one a clip; each gives the noise of its own clip.
            gumbel: [B, N, P, L, K] what decides the choice of the L coarsest codes, see `ChoiceNoise`.
            wanted: tokens whose clean gesture is wanted at the end, for the next window to continue.
        """
        found: list[tuple[Tensor, Tensor]] = []

        def clean_estimate(x_t: Tensor, t: float, last: bool) -> Tensor:
            drawn = last or (t == 0 and self.options.first_step == "drawn")
            latent, side = self._estimate(x_t, t, past, gumbel if drawn else None)
            found[:] = [(latent, side)]
            # Nobody walks on from the last estimate, so only what is wanted of it is decoded, below.
            return x_t if last else self._clean(latent, past, slice(0, latent.shape[1]))

        # As much noise as of a whole window, so that a clip's company, which may be longer, changes nothing.
        whole, (tokens, width) = self.options.window_frames // FRAMES_PER_CODE, past.clean.shape[1:]
        x_0 = torch.stack([flow.noise((whole, width), g)[:tokens] for g in generators]).to(past.clean)
        x_0 = torch.where(past.given[..., None], past.clean, self.model.start(x_0))
        flow.solve(x_0, clean_estimate, self.options.steps, self.options.solver, self.options.time_shift)
        latent, side = found[0]
        return DrawnWindow(latent=latent, clean=self._clean(latent, past, wanted), side=side)

    def _clean(self, latent: Tensor, past: Past, wanted: slice) -> Tensor:
        """[B, N, P, D] to the gesture of the wanted tokens [B, n, X]; the past stays. A clip's end is decoded
        as its end, whatever the padding behind it holds, which gives 0.
        """
        found = past.clean[:, wanted].clone()
        for end in set(self.ends):
            rows = [row for row, its in enumerate(self.ends) if its == end]
            part = slice(wanted.start, min(wanted.stop, end))
            if part.start < part.stop:
                found[rows, : part.stop - part.start] = self._decoded(latent[rows, :end], part)
        return torch.where(past.given[:, wanted, None], past.clean[:, wanted], found)

    def _decoded(self, latent: Tensor, wanted: slice) -> Tensor:
        """[B, N, P, D] to the gesture of the wanted tokens [B, n, X], n > 0."""
        reach = self.tokenizer.decoder_context
        first = max(0, wanted.start - reach)
        inside = slice(wanted.start - first, wanted.stop - first)
        near = latent[:, first : wanted.stop + reach]
        return self.model.tokens(near[:, inside], lambda: self.tokenizer.estimate(near, inside))

    def _estimate(self, x_t: Tensor, t: float, past: Past, gumbel: Tensor | None) -> tuple[Tensor, Tensor]:
        """Latents [B, N, P, D] and side [B, 4 N, 9] of the clean estimate at flow time t; with `gumbel`
        [B, N, P, L, K], coarse codes are drawn. The past stays.
        """
        variants, batch = self.n_variants, len(x_t)
        states = self.model.states(
            x_t.repeat(variants, 1, 1),
            x_t.new_full((variants * batch,), t),
            past.given.repeat(variants, 1),
            self.conditions,
            self.projected,
        )
        side = guide(self.model.side(states).unflatten(0, (variants, batch)), self.weights)

        def weigh(logits: Tensor, level: int) -> Tensor:
            logits = guide(logits, self.weights)
            if gumbel is None or level >= gumbel.shape[3]:
                return logits.float().softmax(-1)
            kept = nucleus(logits, self.options.temperature, self.options.top_p)
            return draw(kept, gumbel[:, :, :, level].movedim(2, 0), self.options.softness)

        head, states = self.model.code_head, states.unflatten(0, (variants, batch))
        if isinstance(head, LatentHead):
            latent = guide(head.latents(states), self.weights)
        else:
            latent = head.generate(states, weigh)
        return torch.where(past.given[..., None, None], past.latent, latent), side
