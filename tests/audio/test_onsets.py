"""Onsets against librosa's, stored results of other people's code, and loudness against its definition."""

import numpy as np
import pytest

from omniges.audio.files import read_wave
from omniges.audio.onsets import amplitude_envelope, field_round_trip, onset_strength, onset_times
from omniges.errors import DataError

librosa = pytest.importorskip("librosa")


def clicks(at_s: list[float], seconds: float) -> np.ndarray:
    """Short noise bursts on faint noise."""
    rng = np.random.default_rng(1)
    wave = 1e-3 * rng.standard_normal(round(seconds * 16_000))
    for start_s in at_s:
        start = round(start_s * 16_000)
        wave[start : start + 1600] += 0.3 * rng.standard_normal(1600) * np.linspace(1, 0, 1600)
    return wave.astype(np.float32)


def test_clicks_are_found_where_they_are():
    wanted = [0.5, 1.25, 2.0, 3.1]
    got = onset_times(clicks(wanted, 4.0))
    loud = [t for t in wanted if np.abs(got - t).min() < 0.05]
    assert loud == wanted


@pytest.mark.parametrize("seed", range(5))
def test_strength_is_librosas(seed):
    rng = np.random.default_rng(seed)
    wave = (rng.standard_normal(48_000) * np.repeat(rng.uniform(0, 1, 60) ** 4, 800)).astype(np.float32)
    want = librosa.onset.onset_strength(y=wave, sr=16_000)
    np.testing.assert_allclose(onset_strength(wave), want, atol=1e-4)


@pytest.mark.slow  # librosa compiles for half a minute
@pytest.mark.parametrize("sample_rate", [16_000, 22_050])
def test_times_are_librosas(sample_rate):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        wave = (rng.standard_normal(80_000) * np.repeat(rng.uniform(0, 1, 100) ** 4, 800)).astype(np.float32)
        want = librosa.onset.onset_detect(y=wave, sr=sample_rate, hop_length=512, units="time")
        np.testing.assert_array_equal(onset_times(wave, sample_rate), want)
        assert len(want) > 5


def test_published_onsets_of_the_real_clip(beat2_sample, shared):
    """Two codebases' own cuts of one clip: 365 onsets after the round trip through 22.05 kHz, 355 without."""
    stored = np.load(shared / "reference" / "metrics" / "metrics_vectors.npz")
    wave = read_wave(beat2_sample / "wave16k" / "2_scott_0_1_1.wav")
    whole = field_round_trip(wave)[: round(1808 / 30 * 16_000)]
    np.testing.assert_array_equal(onset_times(whole[32_000:]), stored["onsets_omniges_n1808"])
    trimmed = wave[32_000 : int((1808 - 60) / 30 * 16_000)]
    np.testing.assert_array_equal(onset_times(trimmed), stored["onsets_panto_n1808"])
    assert (len(stored["onsets_omniges_n1808"]), len(stored["onsets_panto_n1808"])) == (365, 355)


def test_silence_and_one_sample_have_no_onsets_and_nan_is_refused():
    assert len(onset_times(np.zeros(16_000, np.float32))) == 0
    assert len(onset_times(np.full(1, 0.5, np.float32))) == 0
    assert len(onset_times(np.zeros(0, np.float32))) == 0
    with pytest.raises(DataError, match="NaN"):
        onset_times(np.full(2048, np.nan, np.float32))


@pytest.mark.parametrize("window", [1, 2, 5, 1024])
def test_envelope_is_the_largest_of_the_samples_that_follow(window):
    wave = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    want = [np.abs(wave[i : i + window]).max() for i in range(len(wave))]
    np.testing.assert_array_equal(amplitude_envelope(wave, window), np.float32(want))
