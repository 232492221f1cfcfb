"""First weights with which a tokenizer's network carries motion through before it has learned anything.

Random first weights leave hardly a trace of the input in the output, and most of a training goes into finding
a way through. A linear way has a closed form: the strongest principal components of the train split's frames,
their mean over a code's frames, and a line from one code's mean to the next.

Shapes: F frames, C channels of the part, H components, W width of the network, D channels of a latent.
"""

import torch
from torch import Tensor, nn

from omniges.errors import ConfigError
from omniges.tokenizers.codebook import from_rank_zero
from omniges.tokenizers.rvqvae import RVQVAE, ResidualBlock

ROWS_AT_ONCE = 65536
"""Bounds the float64 copy of a large train split."""
_MEAN = {1: 0.5, 2: 0.5}
"""Taps of a halving convolution: the mean of its two frames."""
_LINE = {0: 0.25, 1: 0.5, 2: 0.25}
"""Taps of a doubling convolution, after each frame was repeated: halfway and a quarter of the way to the
neighbours."""
_SAME = {1: 1.0}


@torch.no_grad()
def carry_components(model: RVQVAE, frames: Tensor) -> None:
    """Set a fresh network's weights so that it encodes linearly and decodes the same.

    Latent channel h is the mean over a code's four frames of principal component h, in deviations of the
    strongest one; further channels are 0. A ReLU would cut a component's negative half, so that a component
    passes it beside its own negative, which takes two of the network's channels. Residual blocks start as the
    identity (zero last layers: Goyal et al., arXiv:1706.02677, sec. 5.1). What isn't on the way keeps its
    random weights on one side and 0 on the other, so that it disturbs nothing and still learns.

    Args:
        model: as constructed; changed in place. H = min(C, D, W // 2).
        frames: [F, C] normalised.
    Raises:
        ConfigError: the network is one channel wide.
    """
    config = model.config
    n = min(config.channels, config.quantizer.code_dim, config.width // 2)
    if n == 0:
        raise ConfigError(
            "tokenizers.width: got 1, wanted 2 or more where tokenizers.first_weights is components."
        )
    device = next(model.parameters()).device
    components, deviation = (from_rank_zero(x.to(device)) for x in principal_components(frames, n))
    same = _pair(torch.eye(n, device=device))
    encoder, decoder = _convolutions(model.encoder), _convolutions(model.decoder)
    for block in model.modules():
        if isinstance(block, ResidualBlock):
            _clear(block.conv2)
    first, *halvings, last = encoder
    _set(first, _pair(components / deviation), slice(None, 2 * n), slice(None))
    for layer in halvings:
        _keep(layer, _MEAN)
    _clear(last)
    _set(last, same.T, slice(None, n), slice(None, 2 * n))
    first, *doublings, before_last, last = decoder
    _set(first, same, slice(None, 2 * n), slice(None, n))
    for layer in doublings:
        _keep(layer, _LINE)
    _keep(before_last, _SAME)
    _clear(last)
    _set(last, _pair(components * deviation).T, slice(None), slice(None, 2 * n))


def principal_components(frames: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The strongest directions in which frames differ from 0.

    Args:
        frames: [F, C] float32 on the CPU, of zero mean.
        n: H, at most C.
    Returns:
        [H, C] orthonormal rows, strongest first, each with its largest entry positive; [] the first one's
        deviation, 1 where nothing moves. Both float32.
    """
    moments = torch.zeros(frames.shape[1], frames.shape[1], dtype=torch.float64)
    for rows in frames.split(ROWS_AT_ONCE):
        moments += rows.double().T @ rows.double()
    values, vectors = torch.linalg.eigh(moments / len(frames))
    found = vectors.flip(1).T[:n]
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    strongest = values[-1].clamp(min=0).sqrt()
    deviation = torch.where(strongest > 0, strongest, 1.0)
    return (found * largest.sign()).float(), deviation.float()


def _convolutions(side: nn.Module) -> list[nn.Conv1d]:
    """Convolutions of an encoder or a decoder in order, those of residual blocks left out."""
    inside = {id(m) for block in side.modules() if isinstance(block, ResidualBlock) for m in block.modules()}
    return [m for m in side.modules() if isinstance(m, nn.Conv1d) and id(m) not in inside]


def _pair(rows: Tensor) -> Tensor:
    """Each row and its negative: [H, C] to [2 H, C]."""
    return torch.cat([rows, -rows])


def _clear(layer: nn.Conv1d) -> None:
    layer.weight.zero_()
    _no_bias(layer)


def _keep(layer: nn.Conv1d, taps: dict[int, float]) -> None:
    """Each channel by itself, weighted along time."""
    _clear(layer)
    for tap, share in taps.items():
        layer.weight[:, :, tap] = share * torch.eye(len(layer.weight), device=layer.weight.device)


def _set(layer: nn.Conv1d, matrix: Tensor, rows: slice, columns: slice) -> None:
    """A matrix on a layer's middle tap, nothing on the others; without bias."""
    layer.weight[rows, columns] = 0
    layer.weight[rows, columns, layer.kernel_size[0] // 2] = matrix
    _no_bias(layer)


def _no_bias(layer: nn.Conv1d) -> None:
    if layer.bias is not None:
        layer.bias.zero_()
