import math

import a2g_toys as toys
import torch

from omniges.config import LossParams
from omniges.model.a2g import Prediction
from omniges.model.fixed_head import FixedCodeHead
from omniges.model.head import CodeHead, CodePrediction
from omniges.model.losses import Target, losses


def head():
    torch.manual_seed(0)
    codebooks = torch.randn(toys.PARTS, toys.QUANTIZERS, toys.CODES, toys.CODE_DIM)
    return toys.jitter(CodeHead(20, 12, codebooks, torch.full((toys.PARTS,), 1.7)))


def truth(batch=2, tokens=5, seed=3):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, toys.CODES, (batch, tokens, toys.PARTS, toys.QUANTIZERS), generator=g)


def test_vectors_are_the_codebooks_rows():
    net, codes = head(), truth()
    got = net.vectors(codes)
    for place in torch.cartesian_prod(*map(torch.arange, codes.shape)).tolist():
        batch, token, part, level = place
        want = net.codebooks[part, level, codes[batch, token, part, level]]
        assert torch.equal(got[batch, token, part, level], want)


def test_training_logits_are_free_ones_less_half_the_squared_distance_by_precision():
    """Part by part and level by level, in float64, from the module's description."""
    net, codes, states = head(), truth(), torch.randn(2, 5, 20)
    net.latent_std.copy_(torch.linspace(0.5, 2.0, toys.PARTS))
    found = net(states, codes)
    net, states = net.double(), states.double()
    for part in range(toys.PARTS):
        std, before, latent = net.latent_std[part], torch.zeros(2, 5, toys.CODE_DIM).double(), 0.0
        for level in range(toys.QUANTIZERS):
            own = net.codebooks[part, level]
            hidden = net.state(states).unflatten(-1, (toys.PARTS, -1))[:, :, part] + net.level[part, level]
            hidden = hidden + (before / std) @ net.coarser[part, level]
            hidden = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.var(-1, False, True) + 1e-5).sqrt()
            free = (hidden * hidden.sigmoid()) @ net.to_logits[part, level] + net.bias[part, level]
            rest = net.place(states).unflatten(-1, (toys.PARTS, -1))[:, :, part] - before / std
            squared = (rest[:, :, None] - own / std).square().sum(-1)
            sure = net.log_precision(states).unflatten(-1, (toys.PARTS, -1))[:, :, part, level].exp()
            want = (free - sure[..., None] * squared / 2).log_softmax(-1)
            got = found.log_probability[:, :, part, level]
            torch.testing.assert_close(got, want.float(), atol=1e-5, rtol=1e-4)
            latent = latent + want.exp() @ own
            before = before + own[codes[:, :, part, level]]
        torch.testing.assert_close(found.latent[:, :, part], latent.float(), atol=1e-5, rtol=1e-4)


def test_generation_that_picks_the_truth_sees_the_logits_of_training():
    net, codes, states = head(), truth(), torch.randn(2, 5, 20)
    seen = []

    def weigh(logits, level):
        seen.append(logits[0].movedim(0, 2).log_softmax(-1))
        return torch.nn.functional.one_hot(codes[..., level], toys.CODES).float().movedim(2, 0)

    torch.testing.assert_close(net.generate(states[None], weigh), net.vectors(codes).sum(3))
    torch.testing.assert_close(torch.stack(seen, 3), net(states, codes).log_probability, atol=1e-5, rtol=1e-4)


def test_a_fixed_head_says_what_the_head_says():
    net, states = head(), torch.randn(2, 3, 5, 20)
    seen = {}

    def weigh_into(found):
        def weigh(logits, level):
            found.append(logits)
            return (2 * logits[0] - logits[1]).softmax(-1)

        return weigh

    for name, made in (("usual", net), ("fixed", FixedCodeHead(net, torch.float32))):
        seen[name] = []
        seen[name].append(made.generate(states, weigh_into(seen[name])))
    for got, want in zip(seen["fixed"], seen["usual"], strict=True):
        torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)


def test_a_head_that_knows_the_place_finds_the_tokenizers_codes():
    """Free logits silenced and the place certain, what remains is a search for the nearest code."""
    net, codes = head(), truth(tokens=1)
    with torch.no_grad():
        for free in (net.to_logits, net.bias, net.log_precision.weight):
            free.zero_()
        net.log_precision.bias.fill_(10.0)
        net.codebooks *= torch.tensor([1.0, 0.3, 0.1])[: toys.QUANTIZERS, None, None]
    latent = net.vectors(codes).sum(3)
    net._places = lambda states: latent / net.latent_std[:, None]
    want, rest = [], latent
    for level in range(toys.QUANTIZERS):
        distance = (rest[:, :, :, None] - net.codebooks[:, level]).square().sum(-1)
        want.append(distance.argmin(-1))
        rest = rest - net.vectors(torch.stack([want[-1]] * toys.QUANTIZERS, -1))[:, :, :, level]
    want = torch.stack(want, -1)
    found = net(torch.zeros(2, 1, 20), want).log_probability
    assert torch.equal(found.argmax(-1), want)


def test_a_level_depends_on_coarser_codes_only():
    net, codes, states = head(), truth(), torch.randn(2, 5, 20)
    changed = codes.clone()
    changed[..., 1] = (changed[..., 1] + 1) % toys.CODES
    before, after = (net(states, c).log_probability for c in (codes, changed))
    torch.testing.assert_close(before[..., :2, :], after[..., :2, :], atol=1e-6, rtol=0)
    assert not torch.allclose(before[..., 2, :], after[..., 2, :], atol=1e-3)


def test_the_expected_latent_is_the_mean_over_all_codes():
    net, codes, states = head(), truth(), torch.randn(2, 5, 20)
    got = net(states, codes)
    want = torch.zeros(2, 5, toys.PARTS, toys.CODE_DIM)
    for part in range(toys.PARTS):
        for level in range(toys.QUANTIZERS):
            probability = got.log_probability[:, :, part, level].exp()
            for code in range(toys.CODES):
                want[:, :, part] += probability[..., code, None] * net.codebooks[part, level, code]
    torch.testing.assert_close(got.latent, want, atol=1e-5, rtol=1e-4)


def target(codes, given=0):
    tokens = torch.ones(codes.shape[:2], dtype=torch.bool)
    tokens[:, :given] = False
    frames = torch.ones(codes.shape[0], 4 * codes.shape[1], dtype=torch.bool)
    return Target(codes=codes, side=torch.zeros(*frames.shape, 9), tokens=tokens, frames=frames)


def test_losses_have_their_closed_forms():
    net, codes = head(), truth()
    latent = net.vectors(codes).sum(3)
    certain = torch.nn.functional.one_hot(codes, toys.CODES) * 100.0
    side = torch.zeros(2, 20, 9)
    made = Prediction(codes=CodePrediction(log_probability=certain.log_softmax(-1), latent=latent), side=side)
    perfect = losses(made, target(codes), net)
    assert all(value.item() < 1e-6 for value in perfect.items().values())

    # No idea about codes; latents off by a constant, (0.34 / 1.7)^2 = 0.04, at no velocity; side off by 2.
    wrong = Prediction(
        codes=CodePrediction(log_probability=(certain * 0).log_softmax(-1), latent=latent + 0.34),
        side=side + 2,
    )
    found = losses(wrong, target(codes), net)
    assert math.isclose(found.codes.item(), math.log(toys.CODES), rel_tol=1e-6)
    assert math.isclose(found.reconstruction.item(), 0.04, rel_tol=1e-4)
    assert found.velocity.item() < 1e-9
    assert math.isclose(found.side.item(), 4.0, rel_tol=1e-6)
    weights = LossParams(codes=1.0, reconstruction=10.0, velocity=5.0, side=0.5)
    assert math.isclose(found.total(weights).item(), math.log(toys.CODES) + 0.4 + 2.0, rel_tol=1e-4)


def test_the_given_past_is_not_marked():
    net, codes = head(), truth()
    latent = net.vectors(codes).sum(3)
    certain = torch.nn.functional.one_hot(codes, toys.CODES) * 100.0
    latent[:, :2] += 9.0
    certain[:, :2] = 0.0
    made = Prediction(
        codes=CodePrediction(log_probability=certain.log_softmax(-1), latent=latent),
        side=torch.zeros(2, 20, 9),
    )
    found = losses(made, target(codes, given=2), net)
    assert found.codes.item() < 1e-6
    assert found.reconstruction.item() < 1e-9
    assert found.velocity.item() < 1e-9


def test_a_batch_of_two_is_the_mean_of_its_samples_even_with_unequal_pasts():
    net, codes = head(), truth()
    made = net(torch.randn(2, 5, 20), codes)
    goal = target(codes)
    goal.tokens[0, :3] = False
    both = losses(Prediction(codes=made, side=torch.randn(2, 20, 9)), goal, net)
    halves = []
    for row in range(2):
        one = slice(row, row + 1)
        halves.append(
            losses(
                Prediction(
                    codes=CodePrediction(log_probability=made.log_probability[one], latent=made.latent[one]),
                    side=torch.zeros(1, 20, 9),
                ),
                Target(
                    codes=codes[one], side=goal.side[one], tokens=goal.tokens[one], frames=goal.frames[one]
                ),
                net,
            )
        )
    for name in ("codes", "reconstruction", "velocity"):
        mean = (getattr(halves[0], name) + getattr(halves[1], name)) / 2
        torch.testing.assert_close(getattr(both, name), mean)
