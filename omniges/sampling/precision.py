"""Sampling in bfloat16: half the bytes to read, and several times the speed on processors that multiply it.

Matrix products and convolutions on the way from noise to gesture run in bfloat16, under autocast, as training
with `precision: bf16` does. Norms, softmaxes, sums of code vectors and the decoding of what is finally moved
stay in float32.
"""

import contextlib
from typing import Any, Literal

import torch
from torch import Tensor, nn

from omniges.model.a2g import A2G
from omniges.model.fixed_head import FixedCodeHead
from omniges.model.head import CodeHead
from omniges.model.mmdit import StreamLayer
from omniges.products import Recalling, fixed
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.rows import RowsDecoder

_MOMENTS = 16
"""Flow times, with their speakers, whose modulations each layer keeps; up to that many steps share them."""
Precision = Literal["fp32", "bf16"]


def computing(precision: Precision, device: torch.device) -> Any:
    """The context in which a window is generated."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def prepared(model: A2G, tokenizer: GestureTokenizer, precision: Precision) -> "tuple[A2G, PreparedDecoder]":
    """Bring weights to a precision, and into the order in which products read them, once, so that no window
    has to; results are those of autocast alone, up to the precision's rounding of estimates on the way.

    Args:
        model: is changed in place; afterwards it serves this precision alone, and can't be trained, copied or
            moved to another device.
        tokenizer: is kept as it is.
        precision: what `sampling.precision` will be.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if isinstance(model.code_head, CodeHead):
        model.code_head = FixedCodeHead(model.code_head, dtype)  # type: ignore[assignment]
    for part in model.modules():
        if isinstance(part, nn.Conv1d):
            part.to(dtype)
    fixed(model, dtype)
    for part in model.modules():
        if isinstance(part, StreamLayer) and model.code_head.codebooks.device.type == "cpu":
            # A speaker's flow times are the same in every window.
            part.modulation = Recalling(part.modulation, _MOMENTS)  # type: ignore[assignment]
    return model, PreparedDecoder(tokenizer, dtype)


class PreparedDecoder:
    """The decoders as products of matrices, for estimates in one precision, for motion in float32.

    Args:
        tokenizer: is kept as it is.
        dtype: of the estimates' computation.
    """

    def __init__(self, tokenizer: GestureTokenizer, dtype: torch.dtype) -> None:
        self.decoder_context = tokenizer.decoder_context
        self._denormalise = tokenizer.denormalise
        self._exact = [RowsDecoder(part, torch.float32) for part in tokenizer.each()]
        self._hasty = (
            self._exact if dtype == torch.float32 else [RowsDecoder(part, dtype) for part in tokenizer.each()]
        )

    def decode_latents(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """[B, N, 4, D] to raw gesture [B, 4 N, 415], or of some latents alone."""
        with torch.autocast(latents.device.type, enabled=False):
            return self._denormalise(_decoded(self._exact, latents, wanted))

    def estimate(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """[B, N, 4, D] to normalised gesture [B, 4 N, 415], or of some latents alone."""
        return _decoded(self._hasty, latents, wanted).float()


def _decoded(decoders: list[RowsDecoder], latents: Tensor, wanted: slice | None) -> Tensor:
    return torch.cat([decode(latents[:, :, i], wanted) for i, decode in enumerate(decoders)], -1)
