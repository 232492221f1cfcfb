import a2g_toys as toys
import numpy as np
import pytest
import torch

from omniges.model.prior import Prior, moments, parzen

TOKENS, WIDTH = 4, 6


@pytest.fixture(scope="module")
def statistics():
    torch.manual_seed(0)
    return toys.prior_statistics(WIDTH, components=2, lags=3)


@pytest.fixture(scope="module")
def prior(statistics):
    return Prior(statistics)


def covariance(statistics):
    """[N X, N X] in closed form: every component with its own correlation along time, white beside them."""
    basis = statistics["prior_basis"].double()
    lag = (torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)).abs()
    wanted = torch.kron(torch.eye(TOKENS).double(), torch.eye(WIDTH) - basis @ basis.T)
    wanted = wanted * statistics["prior_rest"].double() ** 2
    for k, scale in enumerate(statistics["prior_scale"].double()):
        known = torch.cat([statistics["prior_correlation"][k].double(), torch.zeros(TOKENS)])
        wanted += scale**2 * torch.kron(known[lag], torch.outer(basis[:, k], basis[:, k]))
    return wanted


def test_shaped_noise_has_the_covariance_that_the_statistics_say(prior, statistics):
    # White noise is independent of itself, so the covariance is A A^T of the map A that shapes it.
    unit = torch.eye(TOKENS * WIDTH).view(-1, TOKENS, WIDTH)
    map_ = prior.shaped(unit).flatten(1).double().T
    torch.testing.assert_close(map_ @ map_.T, covariance(statistics), atol=5e-3, rtol=2e-3)


def test_the_first_tokens_do_not_hang_on_how_many_follow(prior):
    white = torch.randn(3, 50, WIDTH)
    torch.testing.assert_close(prior.shaped(white)[:, :20], prior.shaped(white[:, :20]))


@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_what_x_t_tells_is_the_best_estimate_of_motion_with_those_moments(prior, statistics, t):
    sigma = covariance(statistics) + 1e-12 * torch.eye(TOKENS * WIDTH).double()
    x_t = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    # E[x_1 | x_t] of x_t = (1 - t) x_0 + t x_1 with independent Gaussian x_0 and x_1.
    gain = t * sigma @ torch.linalg.inv(t**2 * sigma + (1 - t) ** 2 * sigma)
    wanted = (gain @ x_t.flatten().double()).view(TOKENS, WIDTH) @ statistics["prior_basis"].double()
    got = prior.told(x_t + prior.mean, torch.full((1, TOKENS), t))[0].double() * statistics["prior_scale"]
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_moments_are_those_of_the_motion():
    rng = np.random.default_rng(0)
    mixing, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    scale, memory = np.array([4.0, 2.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.5, 0.0, 0.0, 0.0])
    clips = []
    for _ in range(20):
        hidden = rng.standard_normal((600, 5))
        for n in range(1, 600):
            hidden[n] = memory * hidden[n - 1] + np.sqrt(1 - memory**2) * hidden[n]
        clips.append(torch.from_numpy((hidden * scale) @ mixing.T + 7.0).float())
    found = moments(clips)
    np.testing.assert_allclose(found["prior_mean"], 7.0, atol=0.3)
    assert len(found["prior_scale"]) == 3  # the others don't move
    np.testing.assert_allclose(found["prior_scale"], scale[:3], rtol=0.05)
    np.testing.assert_allclose(abs(found["prior_basis"].T.numpy() @ mixing[:, :3]), np.eye(3), atol=0.05)
    lags = np.arange(10)  # the taper takes a tenth at the tenth lag
    np.testing.assert_allclose(
        found["prior_correlation"][:, :10], memory[:3, None] ** lags, atol=0.1, err_msg="AR(1): memory ** lag"
    )


@pytest.mark.parametrize("motion", ["alternating", "one beat", "slow", "still"])
def test_noise_can_be_shaped_as_any_motion(motion):
    n = torch.arange(5000)[:, None].float()
    clip = {
        "alternating": (-1.0) ** n * torch.ones(WIDTH),
        "one beat": torch.sin(0.37 * n + torch.arange(WIDTH)),
        "slow": torch.sin(0.005 * n) * torch.ones(WIDTH),
        "still": torch.zeros(5000, WIDTH),
    }[motion]
    noise = Prior(moments([clip, clip[:40]])).shaped(torch.randn(64, 300, WIDTH))
    assert torch.isfinite(noise).all()
    torch.testing.assert_close(noise.square().mean(), clip.square().mean(), rtol=0.25, atol=1e-3)


def test_parzen_s_window_is_a_box_folded_with_itself_four_times():
    box = np.ones(20) / 20
    folded = np.convolve(np.convolve(box, box), np.convolve(box, box))
    right = folded[len(folded) // 2 :]
    np.testing.assert_allclose(parzen(40)[: len(right)], right / right[0], atol=2e-3)
