"""A flow from shaped noise: all that holds of white noise, and what its start and its first step change."""

import a2g_toys as toys
import pytest
import torch
from accelerate import Accelerator
from test_generation import speech

from omniges import checkpoint
from omniges.model.loading import load_model
from omniges.sampling.generate import generate_clips
from omniges.training.draws import draw
from omniges.training.loop import Data, Trainer
from omniges.training.step import draws_shape, training_losses


@pytest.fixture(scope="module", params=["codes", "latents"])
def net(request):
    return toys.jitter(toys.model(noise="shaped", predicts=request.param), scale=0.5).eval()


def make(net, clips, seed=0, **changes):
    return generate_clips(net, toys.ToyTokenizer(), clips, seed, toys.sampling_params(**changes))


@pytest.mark.parametrize("first_step", ["mean", "drawn"])
def test_neither_company_nor_padding_changes_a_clip(net, first_step):
    clips = [speech("a", 101, 0), speech("b", 40, 1)]
    together = make(net, clips, first_step=first_step)
    for one, clip in zip(together, clips, strict=True):
        torch.testing.assert_close(
            one.latent, make(net, [clip], first_step=first_step)[0].latent, atol=1e-4, rtol=1e-4
        )


def test_a_seed_gives_the_same_bits_and_another_seed_other_motion(net):
    first, second, other = (make(net, [speech()], seed)[0].latent for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_start_has_the_prior_s_spread(net):
    white = torch.randn(200, 8, net.config.token_width, generator=torch.Generator().manual_seed(0))
    inside = (net.start(white) - net.prior.mean) @ net.prior.basis
    torch.testing.assert_close(inside.std((0, 1)), net.prior.scale, rtol=0.1, atol=0)


def test_what_is_clean_reaches_the_heads_beside_the_transformer(net):
    heard = toys.heard(batch=1)
    conditions, given = net.listen(heard), torch.zeros(1, 8, dtype=torch.bool)
    x_t = torch.randn(1, 8, net.config.token_width)
    states = net.states(x_t, torch.ones(1), given, conditions)
    assert states.shape[-1] == net.config.sizes.gesture_width + net.prior.components
    told = states[..., net.config.sizes.gesture_width :] * net.prior.scale
    # At flow time 1 nothing is left to guess.
    torch.testing.assert_close(told, (x_t - net.prior.mean) @ net.prior.basis)
    nothing = net.states(x_t, torch.zeros(1), given, conditions)[..., net.config.sizes.gesture_width :]
    assert not nothing.any()  # and at 0 nothing is known


def test_a_drawn_first_step_changes_what_the_second_starts_from_and_one_step_not_at_all():
    net = toys.jitter(toys.model(noise="shaped"), scale=0.5).eval()
    for steps, same in ((1, True), (2, False)):
        mean, drawn = (
            make(net, [speech()], steps=steps, first_step=first)[0].latent for first in ("mean", "drawn")
        )
        assert torch.equal(mean, drawn) == same


def test_training_starts_where_generation_does(net, monkeypatch):
    train = toys.train_params(noise_share=1.0, prefix_share=0.0)
    batch = toys.collate([toys.ToyWindows()[index] for index in range(2)])
    draws = draw(train, [(0,), (1,)], *draws_shape(net, 32))
    seen = []
    states = net.states
    monkeypatch.setattr(net, "states", lambda x_t, *rest: seen.append(x_t) or states(x_t, *rest))
    losses = training_losses(net, net, batch, draws)
    assert torch.equal(seen[0], net.start(draws.noise))  # flow time 0
    losses.total(train.loss).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
    assert net.gesture_in.weight.grad.any()


def test_what_blurs_the_past_tells_nothing_of_what_follows(net):
    train = toys.train_params(prefix_share=1.0, noise_share=1.0)
    draws = draw(train, [(i,) for i in range(400)], *draws_shape(net, 32))
    blur, start = net.prior.shaped(draws.blur), net.start(draws.noise) - net.prior.mean
    slowest = [(x @ net.prior.basis)[..., -1] for x in (blur, start)]  # [400, 8]
    first, after = slowest[0][:, 0], slowest[1][:, 1]
    assert abs(torch.corrcoef(torch.stack([first, after]))[0, 1]) < 0.15
    assert torch.corrcoef(torch.stack([slowest[0][:, 0], slowest[0][:, 1]]))[0, 1] > 0.6  # as motion goes on


def test_heun_and_a_drawn_first_step_are_refused_together():
    with pytest.raises(ValueError, match="first_step"):
        toys.sampling_params(solver="heun", first_step="drawn")


def test_a_checked_training_s_checkpoint_generates_as_its_model_does(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNIGES_DEBUG", "1")
    data = Data(train=toys.ToyWindows(24), val=toys.ToyWindows(8), collate=toys.collate)
    model = toys.model(noise="shaped")
    trainer = Trainer(
        model,
        data,
        toys.train_params(max_steps=2),
        accelerator=Accelerator(cpu=True),
        folder=tmp_path / "state",
        key="k",
        log=lambda metrics, step: None,
    )
    model.load_state_dict(trainer.run())
    mine = {f"prior_{name}": tensor for name, tensor in model.prior.named_buffers()}
    checkpoint.save(
        tmp_path / "a2g",
        tensors=model.state_dict(),
        config=model.config.to_json(),
        statistics={
            **dict(model.statistics.named_buffers()),
            **mine,
            "latent_std": model.code_head.latent_std,
        },
        provenance={},
    )
    again = load_model(tmp_path / "a2g")
    assert torch.equal(make(again, [speech()])[0].latent, make(model.eval(), [speech()])[0].latent)
