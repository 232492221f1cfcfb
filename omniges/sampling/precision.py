"""Sampling in bfloat16: half the bytes to read, and several times the speed on processors that multiply it.

Matrix products and convolutions on the way from noise to gesture run in bfloat16, under autocast, as training
with `precision: bf16` does. Norms, softmaxes, sums of code vectors and the decoding of what is finally moved
stay in float32.
"""

import contextlib
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from omniges.model.a2g import A2G
from omniges.model.head import CodeHead
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.rows import RowsDecoder

Precision = Literal["fp32", "bf16"]
_Module = TypeVar("_Module", bound=nn.Module)


def computing(precision: Precision, device: torch.device) -> Any:
    """The context in which a window is generated."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def prepared(
    model: A2G, tokenizer: GestureTokenizer, precision: Precision
) -> tuple[A2G, "GestureTokenizer | HastyDecoder"]:
    """Bring weights to a precision once, so that no window has to; results are those of autocast alone, up to
    bfloat16's rounding of estimates on the way.

    Args:
        model: its matrices are changed in place; with bf16 it can't compute in float32 any more.
        tokenizer: is kept as it is.
        precision: what `sampling.precision` will be.
    """
    if precision == "fp32":
        return model, tokenizer
    _lower(model)
    head = model.code_head
    for matrices in (head.to_logits, head.coarser) if isinstance(head, CodeHead) else ():
        # Level by level in memory, as they are read; a product would copy what lies scattered.
        matrices.data = matrices.data.to(torch.bfloat16).transpose(0, 1).contiguous().transpose(0, 1)
    return model, HastyDecoder(tokenizer)


class HastyDecoder:
    """A tokenizer that decodes estimates in bfloat16, and motion as it always does."""

    def __init__(self, tokenizer: GestureTokenizer) -> None:
        self._exact = tokenizer
        self._hasty = [RowsDecoder(part, torch.bfloat16) for part in tokenizer.each()]

    @property
    def decoder_context(self) -> int:
        return self._exact.decoder_context

    def decode_latents(self, latents: Tensor) -> Tensor:
        return self._exact.decode_latents(latents)

    def estimate(self, latents: Tensor) -> Tensor:
        return torch.cat([decode(latents[:, :, i]) for i, decode in enumerate(self._hasty)], -1).float()


def _lower(module: _Module) -> _Module:
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d):
            part.to(torch.bfloat16)
    return module
