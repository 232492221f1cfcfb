"""Residual streams that a block reads from and writes to with learned weights (Hyper-Connections,
arXiv:2409.19606).

Shapes: B batch, S tokens, R residual streams, C width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def expand(x: Tensor, streams: int) -> Tensor:
    """[B, S, C] -> [B, S, R, C]: every stream starts as the same copy (section 2.1)."""
    return x[:, :, None].expand(-1, -1, streams, -1)


def collapse(streams: Tensor) -> Tensor:
    """[B, S, R, C] -> [B, S, C]: the sum of all streams (algorithm 2)."""
    return streams.sum(dim=2)


class HyperConnection(nn.Module):
    """Width and depth connections around one branch, input-dependent (equations 10 to 13, dynamic variant).

    With one stream it is the ordinary residual x + branch(x), without parameters.

    Args:
        width: C.
        streams: R.
        index: which branch of the network this is; stream `index % R` feeds it at first (equation 14).
        writes: False where the branch is only fed and the streams end there.
    """

    def __init__(self, width: int, streams: int, index: int, *, writes: bool = True) -> None:
        super().__init__()
        self.streams, self.writes = streams, writes
        if streams == 1:
            return
        read = F.one_hot(torch.tensor(index % streams), streams).float()
        self.static_alpha = nn.Parameter(
            torch.cat([read[:, None], torch.eye(streams)], dim=1) if writes else read[:, None]
        )
        self.norm = nn.LayerNorm(width, bias=False)
        self.dynamic = nn.Linear(width, streams + 2 if writes else 1, bias=False)
        nn.init.zeros_(self.dynamic.weight)
        self.alpha_scale = nn.Parameter(torch.tensor(0.01))
        if writes:
            self.static_beta = nn.Parameter(torch.ones(streams))
            self.beta_scale = nn.Parameter(torch.tensor(0.01))

    def read(self, x: Tensor) -> "tuple[Tensor, Tensor, Tensor | None]":
        """Mix the streams for the branch and for passing on.

        Args:
            x: [B, S, R, C].
        Returns:
            the branch's input [B, S, C]; the streams to pass on [B, S, R, C]; write weights [B, S, R], None
            for one stream.
        """
        if self.streams == 1:
            return x[:, :, 0], x, None
        # One product gives R+1 columns of alpha and one of beta for each stream.
        weights = torch.tanh(self.dynamic(self.norm(x)))
        if not self.writes:
            return _mixed(self.static_alpha + self.alpha_scale * weights, x)[:, :, 0], x, None
        # Splits, since the backward pass of slices fills each one's surroundings with zeros and adds them up.
        columns, last = weights.split([self.streams + 1, 1], -1)
        alpha = self.static_alpha + self.alpha_scale * columns
        beta = self.static_beta + self.beta_scale * last[..., 0]
        branch, passed = _mixed(alpha, x).split([1, self.streams], 2)
        return branch[:, :, 0], passed, beta.to(x.dtype)

    def write(self, passed: Tensor, beta: Tensor | None, branch: Tensor) -> Tensor:
        """Add the branch's output to every stream.

        Args:
            passed: [B, S, R, C] from `read`.
            beta: [B, S, R] from `read`.
            branch: [B, S, C].
        Returns:
            [B, S, R, C].
        """
        if beta is None:
            return passed + branch[:, :, None]
        return torch.addcmul(passed, beta[..., None], branch[:, :, None].to(passed.dtype))


def _mixed(alpha: Tensor, x: Tensor) -> Tensor:
    """alpha^T x of every token: alpha [B, S, R, columns], x [B, S, R, C] to [B, S, columns, C].

    In float32 under autocast too: matrices so small take longer to convert than to multiply.
    """
    with torch.autocast(x.device.type, enabled=False):
        return (alpha.float().transpose(2, 3) @ x.float()).to(x.dtype)
