"""The linear embedder and its Fréchet distance, against numpy's eigenvectors and closed forms."""

import numpy as np
import pytest

from omniges.tokenizers.distance import COMPONENTS, HOP_FRAMES, WINDOW_FRAMES, MotionEmbedder, distance


def clips(n: int, n_frames: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """Smooth motion, so that few components hold most of it."""
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.normal(size=(n_frames, width)), axis=0) for _ in range(n)]


@pytest.mark.parametrize("width", [3, 40])  # more windows than numbers a window, and fewer
def test_features_are_the_strongest_components_with_unit_variance(width: int):
    train = clips(4, 300, width)
    found = MotionEmbedder.of(train)
    assert found is not None
    windows = np.concatenate(
        [
            [
                np.swapaxes(x[None, i : i + WINDOW_FRAMES], 1, 2).ravel()
                for i in range(0, 300 - 15, HOP_FRAMES)
            ]
            for x in train
        ]
    )
    centred = windows - windows.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = left[:, :COMPONENTS] * np.sqrt(len(windows) - 1)
    got = found.features(train)
    assert got.shape == wanted.shape
    signs = np.sign((got[:, ::-1] * wanted).sum(axis=0))
    np.testing.assert_allclose(got[:, ::-1] * signs, wanted, atol=1e-5 * sizes[0] / sizes[COMPONENTS - 1])
    np.testing.assert_allclose(np.cov(got.T), np.eye(COMPONENTS), atol=1e-6)


def test_a_shrunken_motion_is_as_far_as_its_lost_variance():
    train = clips(4, 300, 5)
    found = MotionEmbedder.of(train)
    assert found is not None
    middle = found.mean.reshape(5, WINDOW_FRAMES).mean(axis=1)
    truth, other = clips(2, 200, 5, seed=1), 0.7
    smaller = [middle + other * (clip - middle) for clip in truth]
    a, b = found.features(truth), found.features(smaller)
    # Two Gaussians of which one is the other times 0.7: means and roots of covariances differ by a factor.
    assert distance(a, a) == pytest.approx(0, abs=1e-6)
    centred = a - found.features([np.tile(middle, (WINDOW_FRAMES, 1))])
    wanted = 0.3**2 * (np.square(centred.mean(axis=0)).sum() + np.trace(np.cov(centred.T)))
    assert distance(a, b) == pytest.approx(wanted, rel=1e-4)


def test_too_little_motion_has_no_distance():
    assert MotionEmbedder.of([]) is None
    assert MotionEmbedder.of(clips(1, 100, 3)) is None
    found = MotionEmbedder.of(clips(4, 300, 3))
    assert found is not None
    short = found.features(clips(1, WINDOW_FRAMES - 1, 3))
    assert short.shape == (0, COMPONENTS)
    assert distance(short, found.train) is None
