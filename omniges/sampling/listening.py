"""What is heard and said in windows, taken in before any gesture is made: the same at every step of the flow.

Shapes: V variants, B rows, windows or clips side by side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.model.a2g import A2G, Conditions, Heard, Projected
from omniges.sampling.codes import guidance_weights
from omniges.sampling.precision import computing


@dataclass(frozen=True, kw_only=True)
class Listened:
    """Windows that have been listened to."""

    conditions: Conditions  # V B rows: all windows in full, then all deprived of one thing, and so on
    projected: Projected  # of these conditions
    weights: Tensor  # [V] of the variants, see `guidance_weights`

    def rows(self, first: int, count: int) -> "Listened":
        """Windows `first` to `first + count` in every variant."""
        variants, device = len(self.weights), self.weights.device
        total = self.conditions.audio.shape[0] // variants
        if count == total:
            return self
        starts = torch.arange(variants, device=device)[:, None] * total
        chosen = (starts + torch.arange(first, first + count, device=device)).flatten()
        return Listened(
            conditions=self.conditions.rows(chosen),
            projected=self.projected.rows(chosen),
            weights=self.weights,
        )


@torch.inference_mode()
def listen(model: A2G, heard: Heard, options: SamplingParams) -> Listened:
    """Listen to windows, as they are and deprived of what guidance extrapolates from.

    Args:
        model: in evaluation mode, on any device.
        heard: features of B windows.
        options: sampling options.
    """
    device = model.code_head.codebooks.device
    with computing(options.precision, device):
        full = model.listen(heard.to(device))
        scales, variants = [], [full]
        if options.audio_guidance != 1:
            scales.append(options.audio_guidance)
            variants.append(full.without_audio())
        if options.text_guidance != 1 and full.text.shape[1]:
            scales.append(options.text_guidance)
            variants.append(full.without_text())
        conditions = Conditions.cat(variants) if len(variants) > 1 else full
        return Listened(
            conditions=conditions,
            projected=model.project(conditions),
            weights=guidance_weights(scales).to(device),
        )
