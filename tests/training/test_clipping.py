"""Clipping within the optimizer's step, against torch's clipping before it."""

import copy

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from omniges.training.clipping import clip_and_step, clipped_step


def net_with_gradient(scale: float) -> nn.Module:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2), nn.Linear(2, 2))
    (scale * net[:3](torch.randn(4, 5)).square().sum()).backward()  # the last layer has no gradient
    return net


def adamw(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1, fused=True)


@pytest.mark.parametrize("scale", [1e-4, 100.0])
def test_equals_clipping_and_then_a_step(scale):
    ours, theirs = net_with_gradient(scale), net_with_gradient(scale)
    optimizer, plain = adamw(ours), adamw(theirs)
    for _ in range(2):
        norm = clipped_step(optimizer, ours.parameters(), 0.5)
        want = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        plain.step()
        torch.testing.assert_close(norm, want)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other)
        torch.testing.assert_close(own.grad, other.grad)
        for name in ("exp_avg", "exp_avg_sq"):
            if other in plain.state:
                torch.testing.assert_close(optimizer.state[own][name], plain.state[other][name])


def test_a_step_after_it_is_not_scaled():
    net = net_with_gradient(100.0)
    optimizer = adamw(net)
    clipped_step(optimizer, net.parameters(), 0.5)
    alike = copy.deepcopy(net)
    for own, other in zip(net.parameters(), alike.parameters(), strict=True):
        other.grad = None if own.grad is None else own.grad.clone()
    plain = adamw(alike)
    plain.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.step()
    plain.step()
    for own, other in zip(net.parameters(), alike.parameters(), strict=True):
        assert torch.equal(own, other)


def test_accelerates_optimizer_steps_once():
    net, alike = net_with_gradient(100.0), net_with_gradient(100.0)
    accelerator = Accelerator(cpu=True)
    optimizer = accelerator.prepare_optimizer(adamw(net))
    norm = clip_and_step(accelerator, optimizer, net.parameters(), 0.5)
    torch.testing.assert_close(norm, clipped_step(adamw(alike), alike.parameters(), 0.5))
    for own, other in zip(net.parameters(), alike.parameters(), strict=True):
        assert torch.equal(own, other)
