"""Audio fusion: WavLM and MFCC look at each other, then a gate decides channel by channel which one speaks.

Shapes: B batch, T frames, F fusion width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omniges.model.attention import attend, merge_heads, split_heads
from omniges.model.rotary import Rotation, rotate, rotation_at


class CrossAttention(nn.Module):
    """One signal asks, the other answers; positions are seconds."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_query, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, rotation: Rotation, mask: Tensor | None) -> Tensor:
        """x, context: [B, T, F]; mask: [B, T] bool, True where a frame may be seen. Returns the update of
        x, [B, T, F].
        """
        query = split_heads(self.query(self.norm_query(x)), self.heads)
        key, value = self.key_value(self.norm_context(context)).chunk(2, dim=-1)
        key, value = split_heads(key, self.heads), split_heads(value, self.heads)
        return self.out(merge_heads(attend(rotate(query, rotation), rotate(key, rotation), value, mask)))


class FusionLayer(nn.Module):
    """Both directions of attention at once, then a feed-forward for each signal."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.wavlm_from_mfcc = CrossAttention(width, heads)
        self.mfcc_from_wavlm = CrossAttention(width, heads)
        self.wavlm_feed, self.mfcc_feed = _feed_forward(width), _feed_forward(width)

    def forward(
        self, wavlm: Tensor, mfcc: Tensor, rotation: Rotation, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """wavlm, mfcc: [B, T, F]. Returns both, updated."""
        new_wavlm = wavlm + self.wavlm_from_mfcc(wavlm, mfcc, rotation, mask)
        new_mfcc = mfcc + self.mfcc_from_wavlm(mfcc, wavlm, rotation, mask)
        return new_wavlm + self.wavlm_feed(new_wavlm), new_mfcc + self.mfcc_feed(new_mfcc)


class AudioFusion(nn.Module):
    """Two views of the same sound made one.

    Args:
        wavlm_width: channels of WavLM's hidden states.
        mfcc_width: number of MFCC.
        width: F.
        layers: bidirectional cross-attention layers.
        heads: attention heads; F must be a multiple of twice their number.
        gate: learn g = sigmoid(W[a; m]); without, both count one half.
        context_layers: temporal convolutions after the gate (each sees twice as far as the one before); 0
            for none.
    """

    def __init__(
        self,
        *,
        wavlm_width: int,
        mfcc_width: int,
        width: int,
        layers: int,
        heads: int,
        gate: bool,
        context_layers: int,
    ) -> None:
        super().__init__()
        self.head_dim = width // heads
        self.wavlm_in, self.mfcc_in = nn.Linear(wavlm_width, width), nn.Linear(mfcc_width, width)
        self.layers = nn.ModuleList(FusionLayer(width, heads) for _ in range(layers))
        self.gate = nn.Linear(2 * width, width) if gate else None
        self.residual = nn.Linear(2 * width, width)
        self.context = nn.ModuleList(TemporalContext(width, 2**i) for i in range(context_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, wavlm: Tensor, mfcc: Tensor, time_s: Tensor, mask: Tensor | None) -> Tensor:
        """Fuse normalised features.

        Args:
            wavlm: [B, T, 768].
            mfcc: [B, T, 128].
            time_s: [B, T] seconds.
            mask: [B, T] bool, True for real frames; None where all are real.
        Returns:
            [B, T, F].
        """
        a = a_in = self.wavlm_in(wavlm)
        m = m_in = self.mfcc_in(mfcc)
        rotation = rotation_at(time_s, self.head_dim)
        for layer in self.layers:
            a, m = layer(a, m, rotation, mask)
        g = 0.5 if self.gate is None else torch.sigmoid(self.gate(torch.cat([a, m], dim=-1)))
        fused = g * a + (1 - g) * m + self.residual(torch.cat([a_in, m_in], dim=-1))
        for context in self.context:
            fused = context(fused, mask)
        return self.norm(fused)


class TemporalContext(nn.Module):
    """A residual convolution over neighbouring frames: what came just before and what comes next, cheaply.

    Args:
        width: F.
        dilation: frames between the five taps.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, kernel_size=5, dilation=dilation, padding=2 * dilation)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: [B, T, F]; mask: [B, T] bool. Padding counts as silence, whatever it holds. Returns [B, T,
        F].
        """
        hidden = self.norm(x)
        if mask is not None:
            hidden = hidden * mask[..., None]
        return x + self.out(F.gelu(self._convolved(hidden)))

    def _convolved(self, x: Tensor) -> Tensor:
        """The convolution of [B, T, F] along T, as [B, T, F]."""
        if not (self.training and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return self.conv(x.transpose(1, 2)).transpose(1, 2)
        # As one product of all taps, forward and backward take three quarters of the time in bfloat16 there.
        weight, step = self.conv.weight, self.conv.dilation[0]
        span = weight.shape[2] * step
        padded = F.pad(x.to(torch.get_autocast_dtype("cpu")), (0, 0, *2 * self.conv.padding))
        taps = torch.stack([padded[:, i : i + x.shape[1]] for i in range(0, span, step)], -1)
        return F.linear(taps.flatten(2), weight.flatten(1), self.conv.bias)


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
    )
