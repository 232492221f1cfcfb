"""Audio fusion's temporal context."""

import pytest
import torch

from omniges.model.fusion import TemporalContext


@pytest.mark.parametrize("dilation", [1, 4])
def test_in_bfloat16_taps_side_by_side_are_the_convolution(dilation):
    """Output and gradients, against torch's convolution in float32, which evaluation uses."""
    torch.manual_seed(dilation)
    context, x = TemporalContext(16, dilation), torch.randn(2, 12, 16)
    mask = torch.arange(12) < torch.tensor([[12], [7]])
    found = {}
    for low in (True, False):
        own = x.clone().requires_grad_()
        context.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            y = context.train(low)(own, mask)
        y.float().square().sum().backward()
        found[low] = [y.float(), own.grad, *(p.grad.clone() for p in context.parameters())]
    for low, exact in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(low, exact, rtol=0, atol=0.02 * exact.abs().max().item())
