import pytest
import torch
from scipy import stats

from omniges.sampling.choices import ChoiceNoise, gumbel_from_normal


def noise(coherence, seed=0, size=(2, 1, 40)):
    return ChoiceNoise(torch.Generator().manual_seed(seed), size, coherence)


@pytest.mark.parametrize("coherence", [0.0, 1.0, 3.0])
def test_every_token_is_gumbel_however_coherent(coherence):
    found = noise(coherence, size=(4, 1, 500)).ahead(0, 5)
    for token in found:
        assert stats.kstest(token.flatten().double().numpy(), stats.gumbel_r.cdf).pvalue > 1e-3


def test_neighbours_are_correlated_as_the_kernel_says():
    """White noise smoothed by a Gaussian of deviation s has correlation exp(-d^2 / 4 s^2) at distance d."""
    for coherence in (1.0, 3.0):
        found = noise(coherence, size=(4, 1, 3000)).ahead(0, 8)
        normal = torch.special.ndtri(torch.exp(-torch.exp(-found.double()))).flatten(1)
        got = torch.corrcoef(normal)[0]
        wanted = torch.exp(-(torch.arange(8.0) ** 2) / (4 * coherence**2)).double()
        torch.testing.assert_close(got[:4], wanted[:4], atol=0.06, rtol=0)
    white = noise(0.0, size=(4, 1, 3000)).ahead(0, 3).flatten(1)
    assert torch.corrcoef(white)[0, 1].abs() < 0.04


def test_windows_that_overlap_see_the_same_noise():
    whole = noise(2.0).ahead(0, 30)
    piecewise = noise(2.0)
    for start, n_tokens in ((0, 12), (8, 12), (8, 10), (18, 12)):
        assert torch.equal(piecewise.ahead(start, n_tokens), whole[start : start + n_tokens])


def test_the_farthest_numbers_stay_finite():
    assert torch.isfinite(gumbel_from_normal(torch.tensor([-30.0, -8.0, 0.0, 8.0, 30.0]))).all()


def test_rank_for_rank_gumbel_follows_normal():
    """Against SciPy's quantiles in float64."""
    x = torch.linspace(-6, 6, 2001)
    want = stats.gumbel_r.isf(stats.norm.sf(x.double().numpy()))
    torch.testing.assert_close(gumbel_from_normal(x).double(), torch.from_numpy(want), atol=2e-6, rtol=2e-6)
