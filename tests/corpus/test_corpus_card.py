import numpy as np
import pytest
import soundfile

from omniges.corpus.ceiling import spread
from omniges.corpus.statistics import clip_statistics, median_frequency, pca_dimensions
from omniges.types import Motion


def test_median_frequency_of_a_tone_is_its_frequency():
    times_s = np.arange(3000) / 30
    assert median_frequency(np.sin(2 * np.pi * 2.5 * times_s)[:, None], 30) == pytest.approx(2.5, abs=0.12)


def test_dimensions_of_a_plane_are_two():
    draw = np.random.default_rng(0)
    plane = draw.normal(size=(500, 2)) @ draw.normal(size=(2, 20)) + 5.0
    assert pca_dimensions(plane) == 2


def test_variance_splits_as_it_was_made():
    draw = np.random.default_rng(0)
    heard, hidden = draw.normal(0, 2.0, (20, 1, 300, 3)), draw.normal(0, 1.0, (20, 5, 300, 3))
    found = spread(heard + hidden)
    assert found.hidden == pytest.approx(3 * 1.0, rel=0.02)
    assert 1 - found.hidden / found.total == pytest.approx(4 / 5, abs=0.01)


def test_real_clip_has_the_figures_that_were_published_for_it(beat2_sample):
    name = "2_scott_0_1_1"
    with np.load(beat2_sample / "smplxflame_30" / f"{name}.npz") as data:
        motion = Motion(
            poses=data["poses"].reshape(-1, 55, 3),
            trans=data["trans"],
            expressions=data["expressions"],
            betas=data["betas"],
            fps=30.0,
        )
    found = clip_statistics(motion, soundfile.info(beat2_sample / "wave16k" / f"{name}.wav").duration)
    assert found["wrist_speed_mean_m_s"] == pytest.approx(0.55, rel=0.05)
    assert found["wrist_speed_p95_m_s"] == pytest.approx(1.4, rel=0.05)
    assert found["median_frequency_shoulder_elbow_hz"] == pytest.approx(1.1, abs=0.05)
    assert found["median_frequency_wrist_fingers_hz"] == pytest.approx(2.1, abs=0.05)
    assert found["body_pca_dimensions_95"] == 28
    assert found["expression_pca_dimensions_95"] == 7
    assert found["feet_still_share"] == pytest.approx(0.78, abs=0.04)
    assert found["audio_outlasts_motion_s"] == pytest.approx(0.56, abs=0.01)
