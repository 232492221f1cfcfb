"""Arranged weights give the usual products, in float64's judgement."""

import pytest
import torch
from torch import nn

from omniges import products
from omniges.products import FixedLinear, FixedProducts, Recalling, fixed


def sequence(activation):
    torch.manual_seed(1)
    return nn.Sequential(nn.LayerNorm(7), nn.Linear(7, 11), activation, nn.Linear(11, 3), nn.SiLU())


@pytest.mark.parametrize("usual", [False, True])
@pytest.mark.parametrize("activation", [nn.GELU(), nn.GELU(approximate="tanh"), nn.ReLU(), nn.Tanh()])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_a_fixed_sequence_computes_what_it_did(activation, dtype, error, usual, monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 10**9 if usual else 0)
    net = nn.ModuleDict({"a": sequence(activation), "b": nn.Linear(7, 2, bias=False)})
    x = torch.randn(4, 5, 7)
    want = [net[name].double()(x.double()) for name in net]
    net.float()
    fixed(net, dtype)
    assert not any(isinstance(part, nn.Linear) for part in net.modules())
    for name, wanted in zip(net, want, strict=True):
        got = net[name](x)
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), wanted, atol=error, rtol=error)


@pytest.mark.parametrize("large", [0, 10**9])
@pytest.mark.parametrize("biased", [False, True])
def test_products_of_parts_are_each_parts_own(large, biased, monkeypatch):
    monkeypatch.setattr(products, "_LARGE", large)
    x, weights, biases = torch.randn(3, 4, 7), torch.randn(3, 7, 5), torch.randn(3, 5)
    want = torch.stack([x[i] @ weights[i] + (biases[i] if biased else 0) for i in range(3)])
    got = FixedProducts(weights, biases if biased else None, torch.float32)(x)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("then", ["none", "relu"])
def test_something_is_added_at_the_end_and_stays_as_it_is(then, monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 0)
    layer, x, plus = nn.Linear(7, 5), torch.randn(2, 3, 7), torch.randn(2, 6, 5)[:, ::2]
    kept = plus.clone()
    got = FixedLinear(layer.weight, layer.bias, torch.float32, then)(x, plus)
    torch.testing.assert_close(got, (layer(x).relu() if then == "relu" else layer(x)) + plus)
    assert torch.equal(plus, kept)


def test_a_product_of_no_rows_has_no_rows():
    assert FixedLinear(torch.randn(5, 3), None, torch.float32)(torch.zeros(2, 0, 3)).shape == (2, 0, 5)


def test_a_recalling_layer_answers_each_of_its_latest_questions_once():
    layer, asked = nn.Linear(3, 2), []
    layer.register_forward_hook(lambda _, x, y: asked.append(x[0]))
    recalling = Recalling(layer, 2)
    a, b, c = torch.randn(3, 4, 3)
    with torch.no_grad():
        for x in (a, b, a.clone(), b.bfloat16().float(), a[:2], c, c, a):
            torch.testing.assert_close(recalling(x), layer(x))
            asked.pop()  # of the line above
    assert [len(x) for x in asked] == [4, 4, 4, 2, 4, 4]
    assert torch.equal(asked[-1], a)
