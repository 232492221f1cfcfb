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


@dataclass(frozen=True, kw_only=True)
class KeyValue:
    """What the tokens of one layer answer, in one order of streams."""

    key: Tensor  # [B, H, S, E] turned
    value: Tensor  # [B, H, S, E]

    @staticmethod
    def cat(parts: "Sequence[KeyValue]") -> "KeyValue":
        if len(parts) == 1:
            return parts[0]
        return KeyValue(
            key=torch.cat([part.key for part in parts], 2), value=torch.cat([part.value for part in parts], 2)
        )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Streams that have been through all layers without the target."""

    layers: Sequence[KeyValue]
    mask: Tensor | None  # [B, S] bool, True for real tokens; None where all are real

    def rows(self, chosen: Tensor) -> "Memory":
        """Some of the B rows."""
        return Memory(
            layers=[KeyValue(key=layer.key[chosen], value=layer.value[chosen]) for layer in self.layers],
            mask=None if self.mask is None else self.mask[chosen],
        )


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
            # Whole rows are copied, which takes a tenth of what gathering them number by number does.
            batch, conditions = found.shape[:2]
            first = conditions * torch.arange(batch, device=found.device)[:, None]
            found = found.flatten(0, 1).index_select(0, (stream.row + first).flatten())
            found = found.unflatten(0, (batch, -1))
        return found.chunk(6 if self.feeds_on else 2, dim=-1)

    def modulate(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Norm whose shift and scale come from the condition: x [B, S, C], shift and scale [B, S or 1, C]."""
        return F.layer_norm(x, (self.width,)) * (1 + scale) + shift

    def keys(self, x: Tensor, rotation: Rotation) -> KeyValue:
        """Normed tokens [B, S, C] to turned keys, and values."""
        key, value = self.key_value(x).chunk(2, dim=-1)
        return KeyValue(
            key=rotate(self._normed_heads(key, self.key_norm), rotation), value=split_heads(value, self.heads)
        )

    def queries(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Normed tokens [B, S, C] to turned queries [B, H, S, E]."""
        return rotate(self._normed_heads(self.query(x), self.query_norm), rotation)

    def _normed_heads(self, x: Tensor, norm: nn.Module) -> Tensor:
        """[B, S, H*E] to [B, H, S, E] float32."""
        return norm(x.unflatten(-1, (self.heads, -1)).float()).transpose(1, 2)


class JointLayer(nn.Module):
    """One layer: every stream asks, all streams answer."""

    def __init__(self, streams: Mapping[str, StreamLayer]) -> None:
        super().__init__()
        self.streams = nn.ModuleDict(streams)

    def forward(
        self,
        states: dict[str, Tensor],
        streams: Mapping[str, Stream],
        rotations: Mapping[str, Rotation],
        mask: Tensor | None,
        memory: KeyValue | None = None,
    ) -> tuple[dict[str, Tensor], KeyValue]:
        """Move some streams on.

        Args:
            states: [B, S, R, C] of each.
            streams: their conditions.
            rotations: their angles.
            mask: [B, tokens of the memory, then of these streams] bool.
            memory: of this layer, from streams that ask nothing here.
        Returns:
            the new states, of those that anything after this layer reads; what these streams answer.
        """
        asked, answers, rest = {}, [], {}
        for name, state in states.items():
            own = self._own(name)
            modulation = own.modulations(streams[name])
            branch, passed, beta = own.attention_residual.read(state)
            normed = own.modulate(branch, modulation[0], modulation[1])
            answers.append(own.keys(normed, rotations[name]))
            if own.feeds_on:
                asked[name] = own.queries(normed, rotations[name])
                rest[name] = (passed, beta, modulation[2:])
        answer = KeyValue.cat(answers)
        if not asked:
            return {}, answer
        known = answer if memory is None else KeyValue.cat([memory, answer])
        found = attend(torch.cat(list(asked.values()), 2), known.key, known.value, mask)
        parts = found.split([query.shape[2] for query in asked.values()], dim=2)
        return {
            name: _finish(self._own(name), part, *rest[name]) for name, part in zip(asked, parts, strict=True)
        }, answer

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
        context_reads_target: False where the other streams see each other alone, so that what they answer
            is the same whatever the target holds.
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
        context_reads_target: bool,
        layers: int,
        residual_streams: int,
        condition_width: int,
        heads: int,
        head_dim: int,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.target, self.context_reads_target = target, context_reads_target
        self.head_dim, self.residual_streams = head_dim, residual_streams

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

    def forward(self, streams: Mapping[str, Stream], memory: Memory | None = None) -> Tensor:
        """Run the streams that are there; one that is left out, or has no tokens, costs nothing.

        Args:
            streams: by name, the target among them.
            memory: from `remember`, of the other ones, which need not run again then; None runs them.
        Returns:
            [B, S, C] of the target stream, normed.
        """
        if not self.context_reads_target:
            memory = self.remember(streams) if memory is None else memory
            streams = {self.target: streams[self.target]}
        present = _present(streams)
        mask = _mask_of(present, memory)
        states, rotations = self._started(present)
        for index, layer in enumerate(self.layers):
            states, _ = layer(
                states, present, rotations, mask, None if memory is None else memory.layers[index]
            )
        return self.norm(collapse(states[self.target]))

    def remember(self, streams: Mapping[str, Stream]) -> Memory | None:
        """Run all streams but the target among themselves; None where none has a token. Only what doesn't
        read the target may be remembered.
        """
        present = _present({name: stream for name, stream in streams.items() if name != self.target})
        if not present:
            return None
        mask = _mask_of(present, None)
        # Where nothing is real, softmax would divide by zero: all see all, and nobody sees them.
        seen = None if mask is None else mask | ~mask.any(1, keepdim=True)
        states, rotations = self._started(present)
        found = []
        for layer in self.layers:
            states, answer = layer(states, present, rotations, seen)
            found.append(answer)
        return Memory(layers=found, mask=mask)

    def _started(self, streams: Mapping[str, Stream]) -> tuple[dict[str, Tensor], dict[str, Rotation]]:
        return (
            # In float32 under autocast too: the residual streams are added to in it. Copied, so that the
            # first layer meets the same strides as the others, and shares what torch.compile made for them.
            {
                name: expand(stream.tokens.float(), self.residual_streams).contiguous()
                for name, stream in streams.items()
            },
            {name: rotation_at(stream.time_s, self.head_dim) for name, stream in streams.items()},
        )


def _present(streams: Mapping[str, Stream]) -> dict[str, Stream]:
    return {name: stream for name, stream in streams.items() if stream.tokens.shape[1]}


def _mask_of(streams: Mapping[str, Stream], memory: Memory | None) -> Tensor | None:
    """[B, tokens of the memory, then of the streams] bool; None where all are real."""
    masks = [stream.mask for stream in streams.values()]
    lengths = [stream.tokens.shape[1] for stream in streams.values()]
    if memory is not None:
        masks, lengths = [memory.mask, *masks], [memory.layers[0].key.shape[2], *lengths]
    tokens = next(iter(streams.values())).tokens
    return joint_mask(masks, lengths, len(tokens), tokens.device)
