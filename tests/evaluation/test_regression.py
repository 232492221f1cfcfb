import numpy as np
import pytest

from omniges.config import RegressionParams
from omniges.errors import EvaluationError
from omniges.evaluation import regression
from omniges.motion.features import Features

SECTION = RegressionParams(seed=0, steps=120, batch=8, window_frames=64, width=16, dropout=0.0, lr=5e-3)
rng = np.random.default_rng(0)
MATRIX = rng.standard_normal((6, 442)).astype(np.float32)


def take(share, offset, n=300, seed=0):
    """Motion that follows the sound five frames late, as far as `share` says, about a speaker's own mean."""
    draw = np.random.default_rng(seed)
    sound = draw.standard_normal((n, 6)).astype(np.float32)
    other = draw.standard_normal((n, 6)).astype(np.float32)
    motion = offset + (np.sqrt(share) * np.roll(sound, 5, 0) + np.sqrt(1 - share) * other) @ MATRIX
    features = Features(
        values=motion[:, :433].astype(np.float32), side=motion[:, 433:].astype(np.float32), origin=np.zeros(2)
    )
    return regression.Take(mfcc=sound, features=features)


def explained(regressor, speaker, clip, offset):
    truth = clip.motion()
    return 1 - ((regressor.predict(clip.mfcc, speaker) - truth) ** 2).sum() / ((truth - offset) ** 2).sum()


@pytest.mark.parametrize(("share", "low", "high"), [(0.8, 0.6, 0.8), (0.0, -0.6, 0.01)])
def test_it_explains_what_the_sound_decides_and_no_more(share, low, high):
    """For a mixture of known share, no predictor explains more of unseen clips, and of noise nothing."""
    offsets = {1: 0.0, 4: 10.0}
    train = {s: [take(share, o, seed=10 * s + i) for i in range(4)] for s, o in offsets.items()}
    regressor = regression.train(train, SECTION)
    for speaker, offset in offsets.items():
        assert low < explained(regressor, speaker, take(share, offset, seed=99), offset) <= high + 0.02


def test_clips_shorter_than_a_window_are_refused_by_name():
    with pytest.raises(EvaluationError, match="window_frames"):
        regression.train({1: [take(0.5, 0.0, n=40)]}, SECTION)
