"""A tokenizer's decoder as products of matrices whose rows are frames.

A convolution over time is one product of all its taps side by side, and a doubling of the frame rate with the
convolution behind it is two, one for even and one for odd frames, with a third fewer multiplications. At the
lengths of a window processors take a little more than half the time for it. Where only some frames are
wanted, each layer computes no more rows than have a say in them.

Shapes: B clips, T frames at a layer's rate, C its channels, N latents, D channels of a latent.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omniges.motion.layout import FRAMES_PER_CODE
from omniges.products import FixedLinear, Then
from omniges.tokenizers.rvqvae import RVQVAE, ResidualBlock


class _Layer(Protocol):
    """[B, T, C] to [B, rate T, C']."""

    rate: int

    def __call__(self, x: Tensor) -> Tensor: ...

    def needs(self, first: int, stop: int) -> tuple[int, int]:
        """Rows of the input that have a say in the output's rows from `first` on, before `stop`."""


class RowsDecoder:
    """Computes what `RVQVAE.decode_latent` does in evaluation mode, up to rounding.

    Args:
        tokenizer: is kept as it is.
        dtype: of the copied weights and the computation.
    """

    def __init__(self, tokenizer: RVQVAE, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._layers = list(_layers(list(_flat(tokenizer.decoder)), dtype))

    def __call__(self, latents: Tensor, wanted: slice | None = None) -> Tensor:
        """Decode.

        Args:
            latents: [B, N, D].
            wanted: n of the latents whose frames are asked for, with start and stop; None for all.
        Returns:
            [B, 4 n, channels of the part], in this decoder's dtype.
        """
        x, first = latents.to(self.dtype), 0
        for layer, (start, stop) in zip(self._layers, self._spans(x.shape[1], wanted), strict=True):
            x = layer(x[:, start - first : stop - first])
            first = start * layer.rate
        if wanted is None:
            return x
        return x[:, FRAMES_PER_CODE * wanted.start - first : FRAMES_PER_CODE * wanted.stop - first]

    def _spans(self, length: int, wanted: slice | None) -> Sequence[tuple[int, int]]:
        """Rows of each layer's input to begin and end with."""
        lengths = [length]
        for layer in self._layers:
            lengths.append(lengths[-1] * layer.rate)
        span = (0, lengths[-1])
        if wanted is not None:
            span = (FRAMES_PER_CODE * wanted.start, FRAMES_PER_CODE * wanted.stop)
        found = []
        for layer, known in zip(self._layers[::-1], lengths[-2::-1], strict=True):
            first, stop = layer.needs(*span)
            span = (max(0, first), min(known, stop))
            found.append(span)
        return found[::-1]


def _flat(module: nn.Module) -> Iterator[nn.Module]:
    """The modules in the order in which they are applied; a residual block is one."""
    for child in module.children():
        if isinstance(child, nn.Conv1d | nn.ReLU | nn.Upsample | ResidualBlock):
            yield child
        else:
            yield from _flat(child)


def _layers(modules: list[nn.Module], dtype: torch.dtype) -> Iterator[_Layer]:
    for before, module, after in zip([None, *modules], modules, [*modules[1:], None], strict=False):
        if isinstance(module, nn.Conv1d):
            kind = _DoublingConvolution if isinstance(before, nn.Upsample) else _Convolution
            yield kind(module, dtype, "relu" if isinstance(after, nn.ReLU) else "none")
        elif isinstance(module, ResidualBlock):
            yield _Residual(module, dtype)
        elif isinstance(module, nn.ReLU):
            assert isinstance(before, nn.Conv1d)  # which does it


class _Convolution:
    """A convolution of the same length."""

    rate = 1

    def __init__(self, conv: nn.Conv1d, dtype: torch.dtype, then: Then) -> None:
        self.dilation = conv.dilation[0] if conv.kernel_size[0] > 1 else 0
        self.product = FixedLinear(_matrix(conv.weight), conv.bias, dtype, then)

    def __call__(self, x: Tensor) -> Tensor:
        if not self.dilation:
            return self.product(x)
        far = 2 * self.dilation
        padded = F.pad(x, (0, 0, self.dilation, self.dilation))
        taps = [padded[:, :-far], padded[:, self.dilation : -self.dilation], padded[:, far:]]
        return self.product(torch.cat(taps, -1))

    def needs(self, first: int, stop: int) -> tuple[int, int]:
        return first - self.dilation, stop + self.dilation


class _DoublingConvolution:
    """Every frame twice, then a convolution of three taps.

    An even frame's own tap and the one after it see the same frame, an odd frame's own and the one before.
    """

    rate = 2

    def __init__(self, conv: nn.Conv1d, dtype: torch.dtype, then: Then) -> None:
        before, own, after = conv.weight.unbind(-1)
        self.even = FixedLinear(_matrix(torch.stack([before, own + after], -1)), conv.bias, dtype, then)
        self.odd = FixedLinear(_matrix(torch.stack([before + own, after], -1)), conv.bias, dtype, then)

    def __call__(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 1, 1))
        pairs = torch.cat([padded[:, :-1], padded[:, 1:]], -1)
        return torch.stack([self.even(pairs[:, :-1]), self.odd(pairs[:, 1:])], 2).flatten(1, 2)

    def needs(self, first: int, stop: int) -> tuple[int, int]:
        return (first - 1) // 2, stop // 2 + 1


class _Residual:
    rate = 1

    def __init__(self, block: ResidualBlock, dtype: torch.dtype) -> None:
        self.first = _Convolution(block.conv1, dtype, "relu")
        self.second = _Convolution(block.conv2, dtype, "none")
        assert not self.second.dilation  # it has one tap

    def __call__(self, x: Tensor) -> Tensor:
        return self.second.product(self.first(torch.relu(x)), plus=x)

    def needs(self, first: int, stop: int) -> tuple[int, int]:
        return self.first.needs(first, stop)


def _matrix(weight: Tensor) -> Tensor:
    """[C', C, taps] to [C', taps * C]."""
    return weight.detach().permute(0, 2, 1).flatten(1)
