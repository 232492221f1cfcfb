"""WavLM's forward pass over the library's weights, with fused attention.

`transformers` computes WavLM's attention by materialising weights [B, H, L, L] in every layer, because they
carry a gated relative position bias. Here that bias goes into `scaled_dot_product_attention` as its mask;
the query, key and value projections are one product; layers above the wanted one are not run. In float32
the result equals `WavLMModel`'s within 1e-5 of its scale (tested).

In bfloat16 the first convolution and its normalisation stay in float32: they see the wave itself.

On CPUs in bfloat16, the fused kernel takes twice as long as the plain products of a chunk (12.3 against
5.7 ms at 499 frames; in float32 it takes half as long), so there the products are written out.

Shapes: B chunks, N samples, L frames, H heads, D hidden width, C convolution channels.
"""

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniges.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import WavLMModel


class FusedWavLM:
    """A loaded `WavLMModel`, prepared for inference at one precision and one layer."""

    def __init__(
        self, model: "WavLMModel", *, layer: int, compute: torch.dtype, device: torch.device
    ) -> None:
        """Prepare; the model passed is moved, cast and put into evaluation mode.

        Args:
            model: from `WavLMModel.from_pretrained`.
            layer: index into the library's `hidden_states`; 0 is the first layer's input, -1 the last output.
            compute: torch.float32 or torch.bfloat16.
            device: where to run.
        """
        config = model.config
        if model.adapter is not None:
            raise CheckpointError(
                "WavLM: this checkpoint has an adapter, which changes the frame rate; wanted one without."
            )
        self.n_layers = _layers_to_run(layer, config.num_hidden_layers)
        self.compute, self.device = compute, device
        self.heads: int = config.num_attention_heads
        self._stable: bool = config.do_stable_layer_norm
        positions = model.encoder.pos_conv_embed
        self._positions = _plain_convolution(positions.conv).to(device=device, dtype=compute)
        self._after_positions = nn.Sequential(positions.padding, positions.activation)
        model.requires_grad_(False).eval().to(device=device, dtype=compute)
        first: Any = model.feature_extractor.conv_layers[0]
        self._first = copy.deepcopy(first).to(torch.float32)
        self._first.conv = _WaveConvolution(self._first.conv)
        # What was normalised in float32 can be rounded before the nonlinearity, which is then cheaper.
        self._first.activation = _Rounded(first.activation, compute)
        self._convolutions = list(model.feature_extractor.conv_layers[1:])
        self._model = model
        layers: Any = model.encoder.layers
        self._layers = list(layers[: self.n_layers])
        self._qkv = [_fused_projection(layer.attention) for layer in self._layers]
        self._bias_for: tuple[int, Tensor] | None = None

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> Tensor:
        """Hidden states of the wanted layer.

        Args:
            wave: [B, N] float32, all of one length and none padded.

        Returns:
            [B, L, D] float32.
        """
        hidden = self._first(wave[:, None])  # [B, C, L']
        for convolution in self._convolutions:
            hidden = convolution(hidden)
        hidden = self._model.feature_projection(hidden.transpose(1, 2))[0]  # [B, L, D]
        encoder: Any = self._model.encoder
        hidden = hidden + self._after_positions(self._positions(hidden.transpose(1, 2))).transpose(1, 2)
        if not self._stable:
            hidden = encoder.layer_norm(hidden)
        bias = self._position_bias(hidden.shape[1]) if self._layers else hidden.new_zeros(0)
        for layer, qkv in zip(self._layers, self._qkv, strict=True):
            hidden = self._layer(layer, qkv, hidden, bias)
        if self._stable and self.n_layers == len(encoder.layers):
            hidden = encoder.layer_norm(hidden)
        return hidden.float()

    def _layer(self, layer: Any, qkv: tuple[Tensor, Tensor], hidden: Tensor, bias: Tensor) -> Tensor:
        """One transformer layer [B, L, D], in either order of normalisation."""
        if self._stable:
            hidden = hidden + self._attention(layer.attention, qkv, layer.layer_norm(hidden), bias)
            return hidden + layer.feed_forward(layer.final_layer_norm(hidden))
        hidden = layer.layer_norm(hidden + self._attention(layer.attention, qkv, hidden, bias))
        return layer.final_layer_norm(hidden + layer.feed_forward(hidden))

    def _attention(self, attention: Any, qkv: tuple[Tensor, Tensor], x: Tensor, bias: Tensor) -> Tensor:
        """softmax(q·k/√d + gate·bias)·v (WavLM, arXiv:2110.13900, eq. 4-6): [B, L, D] to [B, L, D]."""
        B, L, D = x.shape
        heads = x.view(B, L, self.heads, -1).transpose(1, 2)  # [B, H, L, D/H]
        # Eight numbers a head and frame, summed by fours: the gates a and b.
        gates = attention.gru_rel_pos_linear(heads).view(B, self.heads, L, 2, 4).sum(-1).sigmoid()
        gate = gates[..., :1] * (gates[..., 1:] * attention.gru_rel_pos_const - 1.0) + 2.0  # [B, H, L, 1]
        q, k, v = F.linear(x, *qkv).view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.compute == torch.bfloat16 and x.device.type == "cpu":
            # Chunk by chunk, so that the weights stay in the processor's cache.
            each = [_attend(*parts, bias) for parts in zip(q, k, v, gate, strict=True)]
            mixed = torch.stack(each)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=gate * bias)
        return attention.out_proj(mixed.transpose(1, 2).reshape(B, L, D))

    def _position_bias(self, length: int) -> Tensor:
        """[H, L, L] of the first layer's table, which all layers share; kept until the length changes."""
        if self._bias_for is None or self._bias_for[0] != length:
            attention: Any = self._layers[0].attention
            bias = attention.compute_bias(length, length).to(self.compute).contiguous()
            self._bias_for = (length, bias)
        return self._bias_for[1]


class _WaveConvolution(nn.Module):
    """A convolution over one channel as a product of its windows: [B, 1, N] to [B, C, L']."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.size, self.stride = conv.kernel_size[0], conv.stride[0]
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, wave: Tensor) -> Tensor:
        windows = wave[:, 0].unfold(1, self.size, self.stride)
        found = self.weight[:, 0] @ windows.transpose(1, 2)
        return found if self.bias is None else found + self.bias[:, None]


class _Rounded(nn.Module):
    """A nonlinearity of what is rounded to `dtype`."""

    def __init__(self, activation: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.activation, self.dtype = activation, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x.to(self.dtype))


def _attend(q: Tensor, k: Tensor, v: Tensor, gate: Tensor, bias: Tensor) -> Tensor:
    """One chunk: q, k, v [H, L, E], gate [H, L, 1], bias [H, L, L] to [H, L, E]."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(1, 2)
    return torch.addcmul(scores, gate, bias).softmax(-1) @ v


def _layers_to_run(layer: int, n_layers: int) -> int:
    if not -(n_layers + 1) <= layer <= n_layers:
        raise CheckpointError(
            f"wavlm.layer: got {layer}, but the model has {n_layers} layers; "
            f"wanted 0 (the first layer's input) to {n_layers}, or -1 for the last."
        )
    return layer if layer >= 0 else n_layers + 1 + layer


def _plain_convolution(normed: Any) -> nn.Conv1d:
    """The position convolution with its weight normalisation worked out once, not in every pass."""
    plain = nn.Conv1d(
        normed.in_channels,
        normed.out_channels,
        normed.kernel_size,
        padding=normed.padding,
        groups=normed.groups,
    )
    with torch.no_grad():
        plain.weight.copy_(normed.weight)
        plain.bias.copy_(normed.bias)  # type: ignore[union-attr]
    return plain


def _fused_projection(attention: Any) -> tuple[Tensor, Tensor]:
    """Weight [3D, D] and bias [3D] of query, key and value."""
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    return torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts])
