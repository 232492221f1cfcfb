import copy

import a2g_toys as toys
import pytest
import torch
from test_generation import speech
from test_streaming import tokenizer  # noqa: F401 - a fixture

from omniges.sampling.generate import generate_clips
from omniges.sampling.precision import prepared


@pytest.fixture(scope="module")
def net():
    return toys.jitter(toys.model(), scale=0.5).eval()


def made(net, tokenizer, precision):  # noqa: F811
    # Means of codes, since a drawn code may tip over at the least difference.
    options = toys.sampling_params(precision=precision, sampled_levels=0)
    return generate_clips(net, tokenizer, [speech(frames=60)], 0, options)[0]


def error(got, want):
    return float((got.latent - want.latent).square().mean().sqrt() / want.latent.std())


def test_prepared_in_bf16_is_as_near_fp32_as_autocast_is(net, tokenizer):  # noqa: F811
    exact, usual = made(net, tokenizer, "fp32"), made(net, tokenizer, "bf16")
    lowered, decoder = prepared(copy.deepcopy(net), tokenizer, "bf16")
    got = made(lowered, decoder, "bf16")
    assert 0 < error(usual, exact) < 0.05
    assert 0 < error(got, exact) < 1.15 * error(usual, exact)
    # What is moved is decoded in float32.
    want = tokenizer.decode_latents(got.latent[None])[0, :60]
    torch.testing.assert_close(got.gesture, want, atol=1e-5, rtol=1e-5)
    assert next(tokenizer.parameters()).dtype == torch.float32


def test_prepared_in_fp32_differs_by_rounding(net, tokenizer):  # noqa: F811
    want = made(net, tokenizer, "fp32")
    got = made(*prepared(copy.deepcopy(net), tokenizer, "fp32")[:1], tokenizer, "fp32")
    torch.testing.assert_close(got.latent, want.latent, atol=2e-5, rtol=1e-4)
    got = made(*prepared(copy.deepcopy(net), tokenizer, "fp32"), "fp32")
    torch.testing.assert_close(got.gesture, want.gesture, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(got.side, want.side, atol=2e-5, rtol=1e-4)
