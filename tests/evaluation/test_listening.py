"""Listening measures: at their floor for the deaf, at their ceiling for who hears, and in order between."""

import numpy as np
import pytest

from omniges.errors import EvaluationError
from omniges.evaluation import diversity
from omniges.evaluation.beats import beat_consistency
from omniges.evaluation.kinematics import kinematics
from omniges.evaluation.listening import (
    WindowScores,
    beat_difference,
    others_of,
    pause_ratio,
    speech_mask,
    window_scores,
)
from omniges.evaluation.reconstruction import audio_effect, interval
from omniges.types import Motion, Word


def test_auc_and_recall_by_hand():
    scores = WindowScores(np.array([3.0, 1.0]), np.array([[1.0, 2.0, 4.0], [1.0, 0.0, 0.5]]))
    assert scores.auc() == pytest.approx((2 + 2.5) / 6)
    assert scores.recall_at_1(pool=3) == pytest.approx(
        (1 / 3 + 1 / 3) / 2
    )  # choose 2 of the 2 that lose, of 3
    assert scores.recall_at_1(pool=10) is None


def test_recall_is_the_expectation_of_drawing():
    rng = np.random.default_rng(0)
    scores = WindowScores(rng.standard_normal(200) + 1, rng.standard_normal((200, 30)))
    drawn = [
        np.mean(scores.matched > np.take_along_axis(scores.mismatched, picked[:, :9], 1).max(1))
        for picked in (rng.permuted(np.tile(np.arange(30), (200, 1)), axis=1) for _ in range(200))
    ]
    assert scores.recall_at_1() == pytest.approx(np.mean(drawn), abs=0.01)


def test_window_scores_tell_own_audio_and_fall_to_chance_when_shifted():
    rng = np.random.default_rng(1)
    audio = [rng.standard_normal((160, 8)) for _ in range(4)]
    motion = audio[1] + 0.5 * rng.standard_normal((160, 8))
    assert window_scores(motion, audio, 1, 20).auc() == 1.0
    assert window_scores(np.roll(motion, 37, axis=0), audio, 1, 20).auc() == pytest.approx(0.5, abs=0.25)
    assert window_scores(motion, audio[1:2], 0, 20).auc() == 1.0  # one clip: the rest of it is wrong audio


def test_others_go_round_and_keep_to_the_speaker():
    speakers = {"a": 1, "b": 1, "c": 2, "d": 1}
    assert others_of("b", speakers, speakers) == ["d", "a"]
    assert others_of("b", speakers, {"a"}) == ["a"]
    assert others_of("c", speakers, speakers) == []


def beating(times_s: np.ndarray, n: int = 900) -> np.ndarray:
    """[n, 55, 3]: all joints swing fast between the times and rest for a moment at each."""
    seconds = np.arange(n) / 30
    nearest = np.abs(seconds[:, None] - times_s[None]).min(1)
    speed = np.clip(nearest / 0.3, 0.02, 1.0) + 0.001 * np.arange(n) / n
    x = np.cumsum(speed * np.where(np.searchsorted(times_s, seconds) % 2 == 0, 1, -1)) / 30
    return np.tile(x[:, None, None], (1, 55, 3)) * [1, 0, 0]


def test_bc_of_motion_that_beats_on_the_onsets_is_high_and_the_difference_positive():
    rng = np.random.default_rng(2)
    onsets = np.cumsum(rng.uniform(1.5, 3.0, 12))
    others = [np.cumsum(rng.uniform(1.5, 3.0, 12)) for _ in range(3)]
    positions = beating(onsets[onsets < 30])
    assert beat_consistency(positions, onsets, 30.0) > 0.9
    assert beat_difference(positions, onsets, others, 30.0) > 0.3


def test_bc_cannot_tell_noise_from_listening_but_its_difference_can():
    """What the docstring and the report say of BC: smooth noise scores high without hearing anything."""
    rng = np.random.default_rng(3)
    from scipy.ndimage import gaussian_filter1d

    noise = (
        np.stack([gaussian_filter1d(rng.standard_normal((1800, 55, 3)), 4, axis=0) for _ in range(4)]) * 0.3
    )
    onsets = [np.cumsum(rng.uniform(0.3, 1.5, 60)) for _ in range(4)]
    scores = [beat_consistency(x, o, 30.0) for x, o in zip(noise, onsets, strict=True)]
    assert np.mean(scores) > 0.7
    deaf = [beat_difference(x, o, onsets, 30.0) for x, o in zip(noise, onsets, strict=True)]
    assert abs(np.mean(deaf)) < 0.03


def test_bc_refuses_what_has_no_onset_or_no_length():
    with pytest.raises(EvaluationError, match="no audio onset"):
        beat_consistency(np.zeros((100, 55, 3)), np.array([9.0]), 30.0)
    with pytest.raises(EvaluationError, match="5 frames"):
        beat_consistency(np.zeros((5, 55, 3)), np.array([0.1]), 30.0)
    assert beat_consistency(np.zeros((100, 55, 3)), np.array([1.0]), 30.0) == 0.0  # stands still: no beats


def test_speech_mask_closes_short_gaps_only():
    words = [Word(text="a", start_s=0.0, end_s=1.0), Word(text="b", start_s=1.2, end_s=2.0)]
    mask = speech_mask([*words, Word(text="c", start_s=3.0, end_s=3.5)], 120, 30.0)
    assert mask[:60].all()
    assert not mask[60:90].any()
    assert mask[90:105].all()


def waving(speed_pause: float, speech: np.ndarray) -> Motion:
    n = len(speech)
    phase = np.cumsum(np.where(speech, 1.0, speed_pause)) / 30 * 2 * np.pi
    poses = np.zeros((n, 55, 3), np.float32)
    poses[:, [16, 17], 2] = 0.4 * np.sin(phase)[:, None]
    return Motion(
        poses=poses,
        trans=np.zeros((n, 3)),
        expressions=np.zeros((n, 100)),
        betas=np.zeros(300, np.float32),
        fps=30.0,
    )


def test_pause_ratio_is_the_ratio_of_speeds():
    speech = np.arange(600) % 200 < 100
    ratio = pause_ratio(kinematics(waving(0.25, speech)), speech)
    assert ratio == pytest.approx(0.25, rel=0.1)
    assert pause_ratio(kinematics(waving(0.0, speech * 0 == 1)), speech) is None  # never moves
    assert pause_ratio(kinematics(waving(1.0, speech)), np.ones(600, bool)) is None  # never pauses


@pytest.mark.parametrize("hears", [0.0, 0.3, 0.75])
def test_explained_share_is_what_a_perfect_sampler_hears(hears: float):
    """truth = √s·speech + √(1−s)·hidden, a sample alike: error(wrong) − error(right) over 2 var is s, not 2 s
    − 1.
    """
    rng = np.random.default_rng(4)
    n, t = 40, 2000
    speech = rng.standard_normal((n, t))

    def draw(heard: np.ndarray) -> np.ndarray:
        return np.sqrt(hears) * heard + np.sqrt(1 - hears) * rng.standard_normal((n, t))

    truth, right, wrong = draw(speech), draw(speech), draw(np.roll(speech, 1, axis=0))
    error = [((x - truth) ** 2).mean(1) for x in (right, wrong, np.zeros_like(truth))]
    effect = audio_effect("jaw", *error, seed=0, n_bootstrap=500)
    assert effect.explained.value == pytest.approx(hears, abs=0.02)
    assert effect.lower_by.above_zero == (hears > 0)
    assert ("clear of zero" in effect.in_words()) == (hears > 0)
    deaf = audio_effect("jaw", error[2], error[2], error[2], seed=0, n_bootstrap=50)
    assert deaf.explained.value == 0  # a mean pose hears nothing, by the same measure


def test_too_few_clips_claim_nothing():
    four = interval(np.ones(4), seed=0, n_bootstrap=100)
    assert four.low > 0
    assert not four.above_zero
    assert interval(np.ones(5), seed=0, n_bootstrap=100).above_zero
    one = interval(np.ones(1), seed=0, n_bootstrap=100)
    assert one.as_dict()["low"] is None
    with pytest.raises(EvaluationError, match="finite"):
        interval(np.array([1.0, np.nan]), seed=0, n_bootstrap=10)


def test_l1_diversity_and_jerk_by_hand():
    x = np.zeros((4, 1, 3))
    x[:, 0, 0] = [0, 1, 0, 1]
    assert diversity.l1_diversity(x) == pytest.approx(0.5)
    seconds = np.arange(60) / 30
    assert diversity.jerk((seconds**3)[:, None, None] * [1, 0, 0], 30.0) == pytest.approx(6, rel=1e-9)
    assert diversity.jerk((seconds**2)[:, None, None] * [1, 0, 0], 30.0) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("seconds", [12, 40])
def test_spectra_of_a_swinging_wrist_have_their_closed_form(seconds: int):
    """x = a sin 2πft has jerk a (2πf)³ |cos 2πft|: its power lies at 2f, and goes with f⁶ and a²."""
    fps, t = 120.0, np.arange(seconds * 120) / 120

    def jerk_spectrum(a: float, hz: float) -> tuple[np.ndarray, np.ndarray]:
        x = a * np.sin(2 * np.pi * hz * t)[:, None, None] * [1.0, 0, 0]
        return diversity.spectrum(diversity.jerk_norm(x, fps)[:, 0], fps, bins=240)

    grid, one = jerk_spectrum(0.1, 1.0)
    assert grid[one.argmax()] == pytest.approx(2, abs=0.25)
    # |cos| = 2/π (1 + 2/3 cos 2θ − …): the line at 2f has the power (4 / 3π · amplitude)² / 2
    line = (4 / (3 * np.pi) * 0.1 * (2 * np.pi) ** 3) ** 2 / 2
    assert one[grid < 3].sum() * (grid[1] - grid[0]) == pytest.approx(line, rel=0.05)
    _, two = jerk_spectrum(0.1, 2.0)
    assert two.max() / one.max() == pytest.approx(2**6, rel=0.05)
    _, louder = jerk_spectrum(0.3, 1.0)
    assert louder.max() / one.max() == pytest.approx(9, rel=1e-6)


def test_spectral_distance_counts_powers_of_ten():
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 2, 24)
    assert diversity.spectral_distance(true, true) == 0
    assert diversity.spectral_distance(100 * true, true) == pytest.approx(2)
    assert diversity.spectral_distance(np.zeros(24), true) < 6.01  # a statue is bounded, not infinite


def test_foot_sliding_and_drift_of_a_gliding_statue():
    n = 90
    trans = np.zeros((n, 3))
    trans[:, 0] = 0.2 * np.arange(n) / 30
    glide = Motion(
        poses=np.zeros((n, 55, 3), np.float32),
        trans=trans,
        expressions=np.zeros((n, 100)),
        betas=np.zeros(300, np.float32),
        fps=30.0,
    )
    k = kinematics(glide)
    assert diversity.foot_sliding(k) == pytest.approx(0.2, rel=1e-6)
    assert diversity.root_drift(k) == pytest.approx(0.2 * 60 * (n - 1) / n, rel=1e-6)


def test_seeds_that_differ_by_a_known_distance():
    a = np.zeros((10, 5, 3))
    assert diversity.between_seeds([a, a + np.array([3.0, 4.0, 0.0])]) == pytest.approx(5.0)
    assert diversity.between_seeds([a, a[:7]]) == 0.0
