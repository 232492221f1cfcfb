"""The flow among latents: the same network with another state and another head."""

import a2g_toys as toys
import torch
from test_generation import speech

from omniges.model.a2g import Prediction
from omniges.model.head import CodePrediction, LatentHead
from omniges.model.losses import Target, losses
from omniges.sampling.generate import generate_clips


def latent_model(**changes):
    return toys.jitter(toys.model(predicts="latents", **changes), scale=0.5).eval()


def test_its_state_is_as_wide_as_the_latents_and_seeds_give_other_motion():
    net = latent_model()
    assert net.config.token_width == net.gesture_in.in_features == toys.PARTS * toys.CODE_DIM
    one, same, other = (
        generate_clips(net, toys.ToyTokenizer(), [speech()], seed, toys.sampling_params())[0]
        for seed in (3, 3, 4)
    )
    assert torch.equal(one.latent, same.latent)
    assert not torch.allclose(one.latent, other.latent, atol=1e-2)


def test_what_the_head_says_is_decoded_in_the_tokenizers_units():
    net = latent_model()
    assert isinstance(net.code_head, LatentHead)
    net.code_head.latent_std.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    place = torch.randn(toys.PARTS, toys.CODE_DIM)
    net.code_head.place.weight.data.zero_()
    net.code_head.place.bias.data.copy_(place.flatten())
    options = toys.sampling_params(audio_guidance=2.0, text_guidance=1.5)
    found = generate_clips(net, toys.ToyTokenizer(), [speech()], 0, options)[0].latent
    expected = place * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]
    torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-5, atol=1e-5)


def test_tokens_are_latents_of_unit_deviation():
    net = latent_model()
    net.code_head.latent_std.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    latent = torch.randn(2, 5, toys.PARTS, toys.CODE_DIM) * net.code_head.latent_std[:, None]
    tokens = net.tokens(latent, lambda: 1 / 0)  # nobody asks for frames
    assert tokens.shape == (2, 5, net.config.token_width)
    back = tokens.unflatten(2, (toys.PARTS, toys.CODE_DIM)) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]
    torch.testing.assert_close(back, latent)


def test_it_has_no_code_loss_and_the_same_reconstruction_loss():
    head = latent_model().code_head
    codes = torch.randint(0, toys.CODES, (2, 5, toys.PARTS, toys.QUANTIZERS))
    latent = head.vectors(codes).sum(3) + 0.3
    side, frames = torch.zeros(2, 20, 9), torch.ones(2, 20, dtype=torch.bool)
    target = Target(codes=codes, side=side, tokens=torch.ones(2, 5, dtype=torch.bool), frames=frames)
    made = Prediction(codes=CodePrediction(log_probability=None, latent=latent), side=side)
    found = losses(made, target, head)
    assert found.codes.item() == 0
    assert abs(found.reconstruction.item() - 0.09) < 1e-5
