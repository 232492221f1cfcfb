"""Attention over several token streams at once, through torch's scaled_dot_product_attention.

Shapes: B batch, S tokens of all streams together, H heads, E head width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from omniges.errors import ShapeError


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, S, H*E] -> [B, H, S, E]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, H, S, E] -> [B, S, H*E]."""
    return x.transpose(1, 2).flatten(-2)


def attend(query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> Tensor:
    """Softmax attention; masked keys have no influence at all.

    Args:
        query: [B, H, S, E].
        key: [B, H, S', E].
        value: [B, H, S', E].
        key_mask: [B, S'] bool, True where a key may be seen; None where all may. Every row needs at least
            one True.
    Returns:
        [B, H, S, E].
    """
    mask = None if key_mask is None else key_mask[:, None, None, :]
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # On the CPU the backward pass of bfloat16 attention takes four times as long as float32's, at the
        # few tokens of a window.
        with torch.autocast("cpu", enabled=False):
            query, key, value = query.float(), key.float(), value.float()
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def joint_mask(
    masks: list[Tensor | None], lengths: list[int], batch: int, device: torch.device
) -> Tensor | None:
    """Concatenate the streams' masks; None where every token of every stream may be seen.

    Args:
        masks: one [B, length] bool a stream, or None for a stream without padding.
        lengths: tokens of each stream.
        batch: B.
        device: where missing masks are made.
    Returns:
        [B, sum of lengths] bool, or None.
    """
    if all(mask is None for mask in masks):
        return None
    for mask, length in zip(masks, lengths, strict=True):
        if mask is not None and mask.shape != (batch, length):
            raise ShapeError(
                f"attention mask: got {tuple(mask.shape)}, wanted {(batch, length)}, one value a token."
            )
    parts = [
        torch.ones(batch, length, dtype=torch.bool, device=device) if mask is None else mask
        for mask, length in zip(masks, lengths, strict=True)
    ]
    return torch.cat(parts, dim=1)
