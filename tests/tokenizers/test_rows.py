"""The decoder as products of matrices is the decoder."""

import pytest
import torch

from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rows import RowsDecoder
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig


def decoder(depth):
    torch.manual_seed(depth)
    quantizer = QuantizerConfig(codes=8, code_dim=6, quantizers=2)
    return RVQVAE(RVQVAEConfig(channels=5, width=12, depth=depth, dropout=0.3, quantizer=quantizer)).eval()


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("latents", [1, 2, 9])
def test_rows_give_what_convolutions_give(depth, latents):
    model, x = decoder(depth).double(), torch.randn(3, latents, 6, dtype=torch.float64)
    torch.testing.assert_close(RowsDecoder(model, torch.float64)(x), model.decode_latent(x))


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("wanted", [slice(0, 1), slice(7, 9), slice(12, 20), slice(18, 20), slice(5, 5)])
def test_some_latents_frames_are_those_of_all(depth, wanted):
    model, x = decoder(depth).double(), torch.randn(3, 20, 6, dtype=torch.float64)
    frames = slice(4 * wanted.start, 4 * wanted.stop)
    torch.testing.assert_close(
        RowsDecoder(model, torch.float64)(x, wanted), model.decode_latent(x)[:, frames]
    )


def test_in_bfloat16_they_err_no_more_than_its_eight_bits_explain():
    model, x = decoder(2), torch.randn(2, 30, 6)
    exact = model.decode_latent(x)
    with torch.autocast("cpu", torch.bfloat16):
        usual = model.decode_latent(x).float() - exact
    mine = RowsDecoder(model, torch.bfloat16)(x).float() - exact
    assert 0 < mine.square().mean() < 1.5 * usual.square().mean()
