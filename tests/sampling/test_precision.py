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


def test_prepared_weights_give_what_autocast_gives(net, tokenizer):  # noqa: F811
    want = made(net, tokenizer, "bf16")
    lowered, hasty = prepared(copy.deepcopy(net), tokenizer, "bf16")
    # The weights alone to the bit's neighbour; estimates are summed in another order, and rounded to 8 bits.
    torch.testing.assert_close(made(lowered, tokenizer, "bf16").gesture, want.gesture, atol=1e-6, rtol=1e-5)
    got = made(lowered, hasty, "bf16")
    assert (got.latent - want.latent).square().mean().sqrt() < 2**-8 * want.latent.std()
    assert got.gesture.dtype == torch.float32
    assert next(tokenizer.parameters()).dtype == torch.float32  # what is moved is decoded as ever


def test_bf16_is_near_fp32_and_fp32_is_untouched(net, tokenizer):  # noqa: F811
    exact, near = made(net, tokenizer, "fp32"), made(net, tokenizer, "bf16")
    error = (exact.latent - near.latent).square().mean().sqrt() / exact.latent.std()
    assert 0 < error < 0.05
    same, kept = prepared(net, tokenizer, "fp32")
    assert same is net
    assert kept is tokenizer
