"""The multimodal diffusion transformer: text, audio and gesture keep their own widths and meet in one
attention.

Shapes: B batch, S tokens of one stream, R residual streams, C a stream's width, D condition width, E head
    width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omniges.model.attention import attend, joint_mask, merge_heads, split_heads
from omniges.model.hyper_connections import HyperConnection, collapse, expand
from omniges.model.rotary import Rotation, rotate, rotation_at


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One modality on its way into the transformer."""

    tokens: Tensor  # [B, S, C]
    time_s: Tensor  # [B, S] seconds
    condition: Tensor  # [B, K, D] flow time and speaker; K is S, or 1 for all tokens, or see `row`
    mask: Tensor | None  # [B, S] bool, True for real tokens; None where all are real
    row: Tensor | None = None  # [B, S] int64, which of the K conditions a token takes


class StreamLayer(nn.Module):
    """What one modality owns of one layer: projections, norms, feed-forward, residual streams.

    Args:
        width: C.
        condition_width: D.
        heads: attention heads, common to all modalities.
        head_dim: E.
        mlp_ratio: feed-forward width over C.
        residual_streams: R.
        index: the layer's number.
        feeds_on: False where nothing after this layer reads the stream, so that only its keys and values
            are needed.
        dropout: share of the branch outputs that training drops.
    """

    def __init__(
        self,
        *,
        width: int,
        condition_width: int,
        heads: int,
        head_dim: int,
        mlp_ratio: float,
        residual_streams: int,
        index: int,
        feeds_on: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heads, self.width, self.feeds_on = heads, width, feeds_on
        inner = heads * head_dim
        self.attention_residual = HyperConnection(width, residual_streams, 2 * index, writes=feeds_on)
        # Shift, scale and gate of each branch; zero weights make the first step an unmodulated transformer.
        self.modulation = nn.Linear(condition_width, (6 if feeds_on else 2) * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.key_value = nn.Linear(width, 2 * inner)
        self.key_norm = nn.RMSNorm(head_dim)
        if not feeds_on:
            return
        self.query = nn.Linear(width, inner)
        self.query_norm = nn.RMSNorm(head_dim)
        self.out = nn.Linear(inner, width)
        self.feed_residual = HyperConnection(width, residual_streams, 2 * index + 1)
        hidden = round(mlp_ratio * width)
        self.feed = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def modulations(self, stream: Stream) -> tuple[Tensor, ...]:
        """Shifts, scales and gates for the stream's tokens, each [B, S or 1, C]. Tokens that share a
        condition share one product.
        """
        found = self.modulation(stream.condition)
        if stream.row is not None:
            found = found.gather(1, stream.row[..., None].expand(-1, -1, found.shape[-1]))
        return found.chunk(6 if self.feeds_on else 2, dim=-1)

    def modulate(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Norm whose shift and scale come from the condition: x [B, S, C], shift and scale [B, S or 1, C]."""
        return F.layer_norm(x, (self.width,)) * (1 + scale) + shift

    def keys(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Normed tokens [B, S, C] to turned keys and values, each [B, H, S, E]."""
        key, value = self.key_value(x).chunk(2, dim=-1)
        key, value = split_heads(key, self.heads), split_heads(value, self.heads)
        return rotate(self.key_norm(key.float()), rotation), value

    def queries(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Normed tokens [B, S, C] to turned queries [B, H, S, E]."""
        return rotate(self.query_norm(split_heads(self.query(x), self.heads).float()), rotation)


class JointLayer(nn.Module):
    """One layer: every stream asks, all streams answer."""

    def __init__(self, streams: Mapping[str, StreamLayer]) -> None:
        super().__init__()
        self.streams = nn.ModuleDict(streams)

    def forward(
        self,
        states: dict[str, Tensor],
        streams: Mapping[str, Stream],
        rotations: dict[str, Rotation],
        mask: Tensor | None,
    ) -> dict[str, Tensor]:
        """states: [B, S, R, C] a stream; streams: their conditions; mask: [B, sum of S]. Returns the new
        states.
        """
        asked, keys, values, rest = {}, [], [], {}
        for name, state in states.items():
            own = self._own(name)
            modulation = own.modulations(streams[name])
            branch, passed, beta = own.attention_residual.read(state)
            normed = own.modulate(branch, modulation[0], modulation[1])
            key, value = own.keys(normed, rotations[name])
            keys.append(key)
            values.append(value)
            if own.feeds_on:
                asked[name] = own.queries(normed, rotations[name])
                rest[name] = (passed, beta, modulation[2:])
        answers = attend(torch.cat(list(asked.values()), 2), torch.cat(keys, 2), torch.cat(values, 2), mask)
        answers = answers.split([query.shape[2] for query in asked.values()], dim=2)
        return {
            name: _finish(self._own(name), answer, *rest[name])
            for name, answer in zip(asked, answers, strict=True)
        }

    def _own(self, name: str) -> StreamLayer:
        return cast(StreamLayer, self.streams[name])


def _finish(
    own: StreamLayer, answer: Tensor, passed: Tensor, beta: Tensor | None, modulation: Sequence[Tensor]
) -> Tensor:
    gate, feed_shift, feed_scale, feed_gate = modulation
    state = own.attention_residual.write(passed, beta, own.dropout(own.out(merge_heads(answer))) * (1 + gate))
    branch, passed, beta = own.feed_residual.read(state)
    fed = own.dropout(own.feed(own.modulate(branch, feed_shift, feed_scale)))
    return own.feed_residual.write(passed, beta, fed * (1 + feed_gate))


class MMDiT(nn.Module):
    """Layers over named streams, of which one comes out.

    Args:
        widths: C of every stream by name.
        target: the stream that is read at the end; the others end with the last layer's keys.
        layers: number of joint layers.
        residual_streams: R; 1 is the ordinary residual.
        condition_width: D.
        heads: attention heads.
        head_dim: E.
        mlp_ratio: feed-forward width over C.
        dropout: share of branch outputs dropped in training.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        target: str,
        layers: int,
        residual_streams: int,
        condition_width: int,
        heads: int,
        head_dim: int,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.target, self.head_dim, self.residual_streams = target, head_dim, residual_streams

        def layer(index: int) -> JointLayer:
            return JointLayer(
                {
                    name: StreamLayer(
                        width=width,
                        condition_width=condition_width,
                        heads=heads,
                        head_dim=head_dim,
                        mlp_ratio=mlp_ratio,
                        residual_streams=residual_streams,
                        index=index,
                        feeds_on=name == target or index < layers - 1,
                        dropout=dropout,
                    )
                    for name, width in widths.items()
                }
            )

        self.layers = nn.ModuleList(layer(index) for index in range(layers))
        self.norm = nn.LayerNorm(widths[target])

    def forward(self, streams: Mapping[str, Stream]) -> Tensor:
        """Run the streams that are there; one that is left out, or has no tokens, costs nothing.

        Args:
            streams: by name, the target among them.
        Returns:
            [B, S, C] of the target stream, normed.
        """
        present = {name: stream for name, stream in streams.items() if stream.tokens.shape[1]}
        target = present[self.target].tokens
        mask = joint_mask(
            [stream.mask for stream in present.values()],
            [stream.tokens.shape[1] for stream in present.values()],
            len(target),
            target.device,
        )
        rotations = {name: rotation_at(stream.time_s, self.head_dim) for name, stream in present.items()}
        states = {name: expand(stream.tokens, self.residual_streams) for name, stream in present.items()}
        for layer in self.layers:
            states = layer(states, present, rotations, mask)
        return self.norm(collapse(states[self.target]))
