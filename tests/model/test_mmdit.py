"""Masks, streams that aren't there, and the block as plain attention."""

import math
from dataclasses import replace

import a2g_toys as toys
import pytest
import torch
from torch.nn import functional as F

from omniges.model import mmdit
from omniges.model.attention import attend
from omniges.model.hyper_connections import HyperConnection
from omniges.model.mmdit import MMDiT, Stream

WIDTHS = {"text": 10, "audio": 14, "gesture": 18}


def network(**changes):
    torch.manual_seed(0)
    options = {
        "target": "gesture",
        "context_reads_target": True,
        "layers": 2,
        "residual_streams": 2,
        "condition_width": 6,
        "heads": 2,
        "head_dim": 8,
        "mlp_ratio": 2.0,
        "dropout": 0.0,
    }
    return toys.jitter(MMDiT(WIDTHS, **{**options, **changes}))


def stream(name, length, seed=0, mask=None):
    g = torch.Generator().manual_seed(seed + len(name))
    return Stream(
        tokens=torch.randn(2, length, WIDTHS[name], generator=g),
        time_s=torch.rand(2, length, generator=g) * 3,
        condition=torch.randn(2, length, 6, generator=g),
        mask=mask,
    )


def test_with_all_streams_masked_but_one_it_is_plain_attention():
    net = network(layers=1, residual_streams=1)
    gesture = stream("gesture", 5)
    hidden = torch.zeros(2, 4, dtype=torch.bool)
    got = net(
        {"text": stream("text", 4, mask=hidden), "audio": stream("audio", 4, mask=hidden), "gesture": gesture}
    )

    own = net.layers[0].streams["gesture"]
    shift, scale, gate, feed_shift, feed_scale, feed_gate = own.modulation(gesture.condition).chunk(6, -1)
    x = gesture.tokens
    normed = F.layer_norm(x, (18,)) * (1 + scale) + shift
    heads = []
    key, value = own.key_value(normed).chunk(2, -1)
    query = own.query(normed)
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        q = turned(rms(query[..., part], own.query_norm.weight), gesture.time_s)
        k = turned(rms(key[..., part], own.key_norm.weight), gesture.time_s)
        weights = (q @ k.transpose(1, 2) / math.sqrt(8)).softmax(-1)
        heads.append(weights @ value[..., part])
    x = x + own.out(torch.cat(heads, -1)) * (1 + gate)
    x = x + own.feed(F.layer_norm(x, (18,)) * (1 + feed_scale) + feed_shift) * (1 + feed_gate)
    torch.testing.assert_close(got, net.norm(x), atol=1e-5, rtol=1e-4)


def rms(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt() * weight


def turned(x, time_s):
    turns = time_s[..., None] / torch.logspace(-2, 6, 4, base=2.0)
    z = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
    return torch.cat([z.real, z.imag], -1)


def test_masked_tokens_hold_no_power_whatever_they_hold():
    net = network()
    mask = torch.tensor([[True, True, False], [True, False, False]])
    text = stream("text", 3, mask=mask)
    others = {"audio": stream("audio", 6), "gesture": stream("gesture", 5)}
    garbage = torch.where(mask[..., None], text.tokens, 1e3)
    got = net({"text": replace(text, tokens=garbage, time_s=torch.where(mask, text.time_s, 99.0)), **others})
    torch.testing.assert_close(got, net({"text": text, **others}), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["text", "audio"])
def test_a_stream_that_is_not_there_is_a_stream_fully_masked(name):
    net = network()
    streams = {n: stream(n, 4) for n in WIDTHS}
    masked = {**streams, name: replace(streams[name], mask=torch.zeros(2, 4, dtype=torch.bool))}
    absent = {n: s for n, s in streams.items() if n != name}
    torch.testing.assert_close(net(masked), net(absent), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(net(streams), net(absent), atol=1e-3)


def test_the_order_of_tokens_within_a_stream_means_nothing_their_time_everything():
    net = network()
    streams = {n: stream(n, 6) for n in WIDTHS}
    order = torch.randperm(6, generator=torch.Generator().manual_seed(4))
    audio = streams["audio"]
    shuffled = Stream(
        tokens=audio.tokens[:, order],
        time_s=audio.time_s[:, order],
        condition=audio.condition[:, order],
        mask=None,
    )
    torch.testing.assert_close(net({**streams, "audio": shuffled}), net(streams), atol=1e-5, rtol=1e-4)
    moved = replace(audio, time_s=audio.time_s[:, order])
    assert not torch.allclose(net({**streams, "audio": moved}), net(streams), atol=1e-3)


def test_tokens_that_share_a_condition_may_share_its_row():
    net = network()
    streams = {n: stream(n, 6) for n in WIDTHS}
    gesture = streams["gesture"]
    row = torch.tensor([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0]])
    shared = replace(gesture, condition=gesture.condition[:, :2], row=row)
    each = gesture.condition[torch.arange(2)[:, None], row]
    torch.testing.assert_close(
        net({**streams, "gesture": shared}),
        net({**streams, "gesture": replace(gesture, condition=each)}),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("present", [("text", "audio", "gesture"), ("audio", "gesture"), ("gesture",)])
def test_context_that_does_not_read_the_target_is_one_attention_with_a_mask(present, monkeypatch):
    blind, joint = network(layers=3, context_reads_target=False), network(layers=3)
    padding = torch.tensor([[True, True, True, False], [True, False, False, False]])
    streams = {n: stream(n, 4, mask=padding if n == "text" else None) for n in present}
    tokens = {n: s.tokens.clone().requires_grad_() for n, s in streams.items()}
    streams = {n: replace(s, tokens=tokens[n]) for n, s in streams.items()}
    got = blind(streams)
    gradients = torch.autograd.grad(got.square().sum(), list(tokens.values()))

    def attend_with_whole_mask(query, key, value, mask):
        last = key.shape[2]
        whole = (torch.ones(2, last, dtype=torch.bool) if mask is None else mask)[:, None].repeat(1, last, 1)
        whole[:, : last - 4, last - 4 :] = False  # rows of the context, columns of the target
        scores = query @ key.mT / math.sqrt(8)
        return scores.masked_fill(~whole[:, None, -query.shape[2] :], -math.inf).softmax(-1) @ value

    monkeypatch.setattr(mmdit, "attend", attend_with_whole_mask)
    # All queries ask in every layer but the last, where the target asks alone, as it does in the network.
    want = joint(streams)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    for one, other in zip(
        gradients, torch.autograd.grad(want.square().sum(), list(tokens.values())), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_what_is_remembered_is_not_run_again():
    net = network(context_reads_target=False)
    streams = {n: stream(n, 4) for n in WIDTHS}
    want, memory = net(streams), net.remember(streams)
    ran = []
    for layer in net.layers:
        for name in ("text", "audio"):
            layer.streams[name].key_value.register_forward_hook(lambda *_: ran.append(1))
    assert torch.equal(net(streams, memory), want)
    assert not ran
    other = {**streams, "gesture": stream("gesture", 4, seed=9)}
    assert torch.equal(net(other, memory), net(other))


def test_context_with_nothing_real_in_it_is_finite_and_unseen():
    net = network(context_reads_target=False)
    hidden = torch.tensor([[False] * 4, [True] * 4])
    streams = {n: stream(n, 4, mask=None if n == "gesture" else hidden) for n in WIDTHS}
    got = net(streams)
    got.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    torch.testing.assert_close(got[0], net({"gesture": streams["gesture"]})[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        got[1], net({n: replace(s, mask=None) for n, s in streams.items()})[1], atol=1e-5, rtol=1e-5
    )


def test_under_autocast_residual_streams_stay_in_float32(monkeypatch):
    kinds, read = set(), HyperConnection.read

    def watched(self, x):
        kinds.add(x.dtype)
        return read(self, x)

    monkeypatch.setattr(HyperConnection, "read", watched)
    tokens = {name: stream(name, 4) for name in WIDTHS}
    tokens = {name: replace(s, tokens=s.tokens.bfloat16()) for name, s in tokens.items()}
    with torch.autocast("cpu", torch.bfloat16):
        network()(tokens)
    assert kinds == {torch.float32}


def test_under_autocast_a_cpu_attends_in_float32():
    """What bfloat16 inputs give is the softmax of their products without any further rounding."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 5, 8).bfloat16() for _ in range(3))
    seen = torch.tensor([[True] * 5, [True, True, False, True, False]])
    with torch.autocast("cpu", torch.bfloat16):
        got = attend(query, key, value, seen)
    scores = (query.double() @ key.double().mT / math.sqrt(8)).masked_fill(~seen[:, None, None], -math.inf)
    torch.testing.assert_close(got.double(), scores.softmax(-1) @ value.double(), atol=1e-6, rtol=1e-5)
