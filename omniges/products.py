"""Matrix products whose weights don't change any more, and are kept in the order in which they are read.

PyTorch hands a float32 product on a CPU to MKL, which on some makers' processors takes twice as long as
oneDNN does, and has the weights arranged anew for every bfloat16 product, which is a fifth of the time at a
window's 64 rows. oneDNN can be handed weights that are arranged already, by `torch.ops.mkldnn`, as PyTorch's
own compiler does. Where that is missing, and on other devices, the usual products serve; results differ
by rounding.

Shapes: I channels in, O out.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Then = Literal["none", "relu", "gelu", "gelu_tanh"]
"""What is done to a product's result before it is written."""
_ONEDNN: dict[Then, tuple[str, str]] = {
    "none": ("none", ""),
    "relu": ("relu", ""),
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
}
_LARGE = 2**16
"""Weights from which on arranging them pays; smaller products are over before oneDNN has begun."""
_ROWS = 64
"""Rows that the weights' order is chosen for: more and fewer are served as well by it."""


class FixedLinear(nn.Module):
    """then(x W^T + b), without gradient.

    Args:
        weight: [O, I]; is copied.
        bias: [O], or None.
        dtype: of the copies, the computation and the result.
        then: done to the result.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, then: Then = "none") -> None:
        super().__init__()
        self.dtype, self.then, self.width = dtype, then, len(weight)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.weight = weight.detach().to(dtype)
        self.arranged = arranges(self.weight, dtype)
        if self.arranged:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), _ROWS)

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """[..., I] to [..., O]; `plus` [..., O] of this dtype is added at the end."""
        x = x.to(self.dtype)
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.width)
        if self.arranged and plus is not None and self.then == "none":
            # In the same pass over the result.
            total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
                x, plus.contiguous(), self.weight, self.bias, "add"
            )
            return total
        if self.arranged:
            what, how = _ONEDNN[self.then]
            found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, what, [], how)
        else:
            found = _apply(self.then, F.linear(x, self.weight, self.bias))
        return found if plus is None else found + plus


class FixedProducts(nn.Module):
    """A product for each of several parts, x W + b, without gradient.

    Args:
        weights: [P, I, O]; are copied.
        biases: [P, O], or None.
        dtype: of the copies, the computation and the result.
    """

    def __init__(self, weights: Tensor, biases: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weights = weights.detach().to(dtype)
        self.biases = None if biases is None else biases.detach().to(dtype)[:, None]
        self.each = nn.ModuleList()
        if arranges(weights[0], dtype):
            self.each.extend(
                FixedLinear(weight.t(), None if biases is None else biases[part], dtype)
                for part, weight in enumerate(weights)
            )
            del self.weights

    def forward(self, x: Tensor) -> Tensor:
        """[P, M, I] to [P, M, O]."""
        if not self.each:
            found = torch.bmm(x.to(self.dtype), self.weights)
            return found if self.biases is None else found + self.biases
        return torch.stack([product(rows) for product, rows in zip(self.each, x, strict=True)])


class Recalling(nn.Module):
    """A layer that is asked the same few questions over and over, and keeps its latest answers.

    Args:
        layer: without gradient, without chance.
        most: answers that are kept.
    """

    def __init__(self, layer: nn.Module, most: int) -> None:
        super().__init__()
        self.layer, self.most = layer, most
        self._answers: dict[tuple[torch.Size, torch.dtype, bytes], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Answer for x on the CPU; it must not be changed in place."""
        question = (x.shape, x.dtype, x.contiguous().view(torch.uint8).numpy().tobytes())
        answer = self._answers.pop(question, None)
        if answer is None:
            answer = self.layer(x)
            if len(self._answers) == self.most:
                del self._answers[next(iter(self._answers))]
        self._answers[question] = answer
        return answer


def arranges(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether oneDNN takes such weights arranged here, and is faster then."""
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(
        torch.ops.mkldnn, "_reorder_linear_weight"
    )
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available() or not known:
        return False
    if weight.numel() < _LARGE:
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def fixed(module: nn.Module, dtype: torch.dtype) -> None:
    """Put a `FixedLinear` in the place of every linear layer below a module, with an activation that follows
    it in a sequence.
    """
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, FixedLinear(child.weight, child.bias, dtype))
        elif type(child) is nn.Sequential:
            setattr(module, name, _fixed_sequence(child, dtype))
        else:
            fixed(child, dtype)


def _fixed_sequence(sequence: nn.Sequential, dtype: torch.dtype) -> nn.Sequential:
    layers: list[nn.Module] = []
    fixed(sequence, dtype)
    for layer in sequence:
        then, before = _name(layer), layers[-1] if layers else None
        if then is not None and isinstance(before, FixedLinear) and before.then == "none":
            before.then = then
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def _name(layer: nn.Module) -> Then | None:
    if isinstance(layer, nn.GELU):
        return "gelu_tanh" if layer.approximate == "tanh" else "gelu"
    return "relu" if isinstance(layer, nn.ReLU) else None


def _apply(then: Then, x: Tensor) -> Tensor:
    if then == "relu":
        return F.relu(x)
    if then in ("gelu", "gelu_tanh"):
        return F.gelu(x, approximate="tanh" if then == "gelu_tanh" else "none")
    return x
