"""Fréchet distance against scipy, closed forms and the field's values; intervals against simulation."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from omniges.errors import EvaluationError, ShapeError
from omniges.evaluation import distances, frechet


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """The textbook form, by scipy's general matrix root."""
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * np.real(root)))


def sample(rng: np.random.Generator, n: int, d: int, condition: float = 1.0) -> np.ndarray:
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return rng.standard_normal((n, d)) * np.geomspace(1, condition, d) @ basis + rng.standard_normal(d) * 0.1


@pytest.mark.parametrize(("d", "condition"), [(5, 1.0), (60, 1e-3), (60, 1e-6)])
def test_agrees_with_scipy_however_conditioned(d: int, condition: float):
    rng = np.random.default_rng(0)
    a, b = sample(rng, 500, d, condition), sample(rng, 400, d, condition)
    assert frechet.frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-7)


def test_fewer_vectors_than_dimensions_agree_with_the_thin_form():
    """With A, B the centred data, tr (C_a C_b)^½ is the nuclear norm of A Bᵀ / sqrt((n−1)(m−1))."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((30, 200)), 2 + rng.standard_normal((40, 200))
    ac, bc = a - a.mean(0), b - b.mean(0)
    cross = np.linalg.norm(ac @ bc.T, "nuc") / np.sqrt(29 * 39)
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + (ac**2).sum() / 29 + (bc**2).sum() / 39 - 2 * cross
    assert frechet.frechet_distance(a, b) == pytest.approx(want, rel=1e-6)


def test_closed_forms():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((300, 20))
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet.frechet_distance(a, a + 3) == pytest.approx(9 * 20, rel=1e-9)  # a shift
    assert frechet.frechet_distance(a, 2 * a) == pytest.approx(
        np.trace(np.cov(a.T)) + (a.mean(0) ** 2).sum(), rel=1e-9
    )  # (2 − 1)² of both
    b = rng.standard_normal((200, 20))
    assert frechet.frechet_distance(a, b) == pytest.approx(frechet.frechet_distance(b, a), rel=1e-9)
    turn = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    assert frechet.frechet_distance(a @ turn, b @ turn) == pytest.approx(
        frechet.frechet_distance(a, b), rel=1e-9
    )


def test_published_values(shared: Path):
    with np.load(shared / "reference/fgd/fgd_vectors.npz") as v:
        a, b, p, q = v["fid_A"], v["fid_B"], v["seqlat_A"], v["seqlat_B"]
    want = json.loads((shared / "reference/fgd/fgd_settings.json").read_text())["fid"]
    cases = {
        "full_rank_A300_B280_d240": (a, b, 1e-6),
        "rank_deficient_A100_B100_d240": (a[:100], b[:100], 1e-4),
        "sequence_latents": (p, q, 1e-4),
    }
    for name, (x, y, rel) in cases.items():
        assert frechet.frechet_distance(x, y) == pytest.approx(want[name]["omniges_FIDCalculator"], rel=rel)
        assert frechet.frechet_emage(x, y) == pytest.approx(want[name]["pantomatrix_FGD"], rel=rel)
    assert frechet.frechet_emage(a, a) == pytest.approx(-4.8e-4, abs=1e-7)


def test_bad_input_is_named_and_never_scored():
    good = np.random.default_rng(3).standard_normal((20, 4))
    with pytest.raises(EvaluationError, match="NaN"):
        frechet.frechet_distance(np.where(good > 2, np.nan, good), good)
    with pytest.raises(EvaluationError, match="3 vectors"):
        frechet.frechet_distance(good[:3], good)
    with pytest.raises(ShapeError):
        frechet.frechet_distance(good[:, :3], good)
    still = np.zeros((50, 4))
    assert frechet.frechet_distance(still, good) == pytest.approx(
        (good.mean(0) ** 2).sum() + np.trace(np.cov(good.T)), rel=1e-9
    )  # constant motion has a distance, not a failure


def test_bootstrap_by_moments_is_the_bootstrap_of_the_vectors():
    rng = np.random.default_rng(4)
    a = [5 + rng.standard_normal((40, 6)) for _ in range(5)]
    b = [4 + rng.standard_normal((40, 6)) for _ in range(5)]
    counts = np.array([2, 0, 1, 1, 1])
    got = frechet.bootstrap(a, b, counts[None].astype(float))[0]
    drawn_a, drawn_b = (
        np.concatenate([x for x, n in zip(s, counts, strict=True) for _ in range(n)]) for s in (a, b)
    )
    assert got == pytest.approx(frechet.frechet_distance(drawn_a, drawn_b), rel=1e-8)


def test_a_bootstrap_in_blocks_is_the_bootstrap_at_once(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(6)
    a, b = ([x + rng.standard_normal((n, 4)) for n in (30, 12, 50, 20, 25)] for x in (3, 4))
    weights = frechet.resamples(5, 7, 0)
    whole = frechet.bootstrap(a, b, weights)
    monkeypatch.setattr(frechet, "CLIPS_AT_ONCE", 2)
    monkeypatch.setattr(frechet, "RESAMPLES_AT_ONCE", 3)
    assert frechet.bootstrap(a, b, weights) == pytest.approx(whole, rel=1e-10)


def test_sums_give_the_gaussian_of_the_vectors():
    x = 5 + np.random.default_rng(7).standard_normal((60, 5))
    moments = frechet.Moments(5)
    with pytest.raises(EvaluationError, match="0 vectors"):
        moments.gaussian()
    for part in np.split(x, [10, 35]):
        moments.add(part)
    found = moments.gaussian()
    assert found.n == 60
    assert found.mean == pytest.approx(x.mean(0))
    assert found.covariance == pytest.approx(np.cov(x.T), abs=1e-10)


def test_extrapolation_lands_near_the_true_distance():
    """Equal Gaussians: truth 0. The plain distance at n = 800, d = 40 is far above; the extrapolated one near
    it.
    """
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((800, 40)), rng.standard_normal((800, 40))
    plain, infinite = frechet.frechet_distance(a, b), frechet.extrapolated(a, b, seed=0)
    assert infinite is not None
    assert plain > 0.9
    assert abs(infinite) < 0.2 * plain
    assert frechet.extrapolated(a[:50], b[:50], seed=0) is None


@pytest.mark.parametrize("n", [6, 15])
def test_intervals_of_means_cover_as_often_as_they_say(n: int):
    """300 draws of n normal clips: a 95 % interval must hold the truth in 95 %, the plain one does in 87 % at
    n = 6.
    """
    rng = np.random.default_rng(6)
    weights = frechet.resamples(n, 400, seed=1) / n
    hits = plain = 0
    for _ in range(300):
        drawn = weights @ (x := rng.standard_normal(n))
        low, high = frechet.quantiles(drawn, n)
        hits += low <= 0 <= high
        plain += np.quantile(drawn, 0.025) <= 0 <= np.quantile(drawn, 0.975)
        assert low < x.mean() < high
    assert hits / 300 > 0.92
    assert hits > plain


def test_one_clip_has_no_interval():
    assert frechet.quantiles(np.ones(10), 1) == (-np.inf, np.inf)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    rng = np.random.default_rng(7)
    weights = frechet.resamples(20, 50, seed=0)
    same = [
        distances.kernel_distance(
            [rng.standard_normal((10, 8)) for _ in range(20)],
            [rng.standard_normal((10, 8)) for _ in range(20)],
            weights,
        ).value
        for _ in range(20)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(20)  # unbiased: negative as often as positive
    assert min(same) < 0 < max(same)
    near = [rng.standard_normal((10, 8)) for _ in range(20)]
    far = distances.kernel_distance([x + 1 for x in near], near, weights)
    assert far.value > 10 * np.std(same)
    assert np.quantile(far.samples, 0.025) > 0


def test_kernel_distance_by_hand():
    a, b = [np.ones((1, 2)), 2 * np.ones((1, 2))], [np.zeros((1, 2)), np.ones((1, 2))]
    k = lambda x, y: (x * y + 1) ** 3  # noqa: E731 - for [x, x] and [y, y], x·y/2·2/2 + 1
    want = k(1, 2) + k(0, 1) - (k(1, 1) + k(2, 0))
    assert distances.kernel_distance(a, b, np.ones((1, 2))).value == pytest.approx(want)
    with pytest.raises(EvaluationError, match="at least 2"):
        distances.kernel_distance(a[:1], b[:1], np.ones((1, 1)))


def test_precision_and_recall_know_narrow_from_wide():
    rng = np.random.default_rng(8)
    real = rng.standard_normal((400, 4))
    narrow, wide = 0.2 * rng.standard_normal((400, 4)), 5 * rng.standard_normal((400, 4))
    few, many = distances.overlap(narrow, real), distances.overlap(wide, real)
    assert few.precision > 0.95
    assert few.recall < 0.2
    assert many.precision < 0.3
    assert many.recall > 0.9
