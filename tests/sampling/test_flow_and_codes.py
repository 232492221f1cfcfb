import numpy as np
import pytest
import torch

from omniges.sampling import flow
from omniges.sampling.codes import draw, guidance_weights, guide, nucleus


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("steps", [1, 4, 50])
def test_a_perfect_estimate_is_reached_from_any_noise(solver, steps):
    noise, clean = torch.randn(3, 5), torch.randn(3, 5)
    seen = []

    def estimate(x_t, t, last):
        torch.testing.assert_close(x_t, flow.interpolate(noise, clean, torch.tensor(t)), atol=1e-5, rtol=1e-4)
        seen.append((t, last))
        return clean

    assert torch.equal(flow.solve(noise, estimate, steps, solver), clean)
    assert [last for _, last in seen] == [False] * (len(seen) - 1) + [True]
    assert len(seen) == (steps if solver == "euler" else 2 * steps - 1)


def test_velocity_points_from_noise_to_data():
    noise, clean = torch.randn(7), torch.randn(7)
    x_t = flow.interpolate(noise, clean, torch.tensor(0.3))
    torch.testing.assert_close(flow.velocity(x_t, clean, 0.3), clean - noise, atol=1e-5, rtol=1e-5)


def test_heun_is_of_second_order_where_euler_is_of_first():
    """Doubling the steps halves Euler's error and quarters Heun's."""

    def estimate(x_t, t, last):
        return x_t + (1 - t) * torch.sin(3 * x_t + t)

    x_0 = torch.tensor([0.2], dtype=torch.float64)
    exact = flow.solve(x_0, estimate, 20000, "heun")
    errors = {
        s: [(flow.solve(x_0, estimate, n, s) - exact).abs().item() for n in (16, 32)]
        for s in ("euler", "heun")
    }
    assert 1.7 < errors["euler"][0] / errors["euler"][1] < 2.4
    assert errors["heun"][1] < 0.2 * errors["euler"][1]


def test_shifted_steps_keep_the_spread_of_data_that_stand_out_of_the_noise():
    """Data N(0, s²) have the estimate t s² x / (t² s² + (1 - t)²); few even steps lose most of the spread."""
    spread = 8.0

    def estimate(x_t, t, last):
        return x_t * t * spread**2 / (t**2 * spread**2 + (1 - t) ** 2)

    unit = torch.ones(1, dtype=torch.float64)
    assert flow.solve(unit, estimate, 4000, "heun").item() == pytest.approx(spread, rel=0.01)
    even, shifted = (flow.solve(unit, estimate, 8, "euler", shift).item() for shift in (1.0, 8.0))
    assert even < 0.65 * spread < 0.8 * spread < shifted < spread


def test_shifted_time_has_its_closed_form():
    assert flow.times(4, 1.0) == [0, 0.25, 0.5, 0.75, 1]
    assert flow.times(2, 8.0) == pytest.approx([0, 1 / 9, 1])


def gumbel(n, codes, seed=0):
    uniform = torch.rand(n, codes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return -torch.log(-torch.log(uniform)).float()


def pick(logits, noise, temperature, top_p):
    return draw(nucleus(logits, temperature, top_p), noise, softness=0.0).argmax(-1)


def test_picks_follow_the_distribution():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    noise = gumbel(20000, 4)
    for top_p, want in ((1.0, [0.5, 0.3, 0.15, 0.05]), (0.7, [0.625, 0.375, 0, 0]), (0.5, [1, 0, 0, 0])):
        got = torch.bincount(pick(logits.expand(20000, 4), noise, 1.0, top_p), minlength=4) / 20000
        np.testing.assert_allclose(got.numpy(), want, atol=0.012)


def test_temperature_sharpens_and_zero_is_the_mode():
    logits = torch.log(torch.tensor([0.2, 0.5, 0.3]))
    noise = gumbel(20000, 3)
    got = torch.bincount(pick(logits.expand(20000, 3), noise, 0.5, 1.0), minlength=3) / 20000
    np.testing.assert_allclose(got.numpy(), np.array([0.04, 0.25, 0.09]) / 0.38, atol=0.012)
    assert (pick(logits.expand(20000, 3), noise, 0.0, 1.0) == 1).all()


def test_codes_without_probability_are_never_picked():
    logits = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]]).expand(5000, 4)
    for top_p in (0.99, 1.0):
        assert set(pick(logits, gumbel(5000, 4), 1.0, top_p).tolist()) == {0, 2}


def test_a_soft_draw_is_a_mixture_that_hardens():
    probability = torch.tensor([0.6, 0.3, 0.1]).expand(50, 3)
    noise = gumbel(50, 3)
    mixed = probability * noise.exp()
    torch.testing.assert_close(draw(probability.log(), noise, 1.0), mixed / mixed.sum(-1, keepdim=True))
    hard, soft = draw(probability.log(), noise, 0.0), draw(probability.log(), noise, 1e-4)
    torch.testing.assert_close(soft, hard, atol=0.01, rtol=0)


def test_guidance_extrapolates_from_each_deprived_variant():
    full, deaf, unread = torch.randn(3, 5)
    got = guide(torch.stack([full, deaf, unread]), guidance_weights([2.5, 1.5]))
    torch.testing.assert_close(got, full + 1.5 * (full - deaf) + 0.5 * (full - unread))
    assert torch.equal(guide(full[None], guidance_weights([])), full)
