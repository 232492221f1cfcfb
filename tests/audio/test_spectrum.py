"""Mel spectra against librosa, which is imported here only."""

import numpy as np
import pytest

from omniges.audio.spectrum import floor_db, log_mel_blocks, mel_filters
from omniges.errors import ShapeError

librosa = pytest.importorskip("librosa")
pytestmark = pytest.mark.filterwarnings("ignore:n_fft=1024 is too large")  # librosa, of short waves
SETTINGS = {"sample_rate": 16_000, "n_fft": 1024, "hop": 160, "n_mels": 128}


def speech_like(samples: int, seed: int = 0) -> np.ndarray:
    """Noise bursts between silences, so that the floor of 80 dB is met."""
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.uniform(0, 1, samples // 800 + 1) ** 6, 800)[:samples]
    return (0.3 * envelope * rng.standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize(("n_fft", "n_mels"), [(1024, 128), (2048, 128), (512, 40)])
def test_filters_are_librosas(n_fft, n_mels):
    want = librosa.filters.mel(sr=16_000, n_fft=n_fft, n_mels=n_mels)
    np.testing.assert_array_equal(mel_filters(16_000, n_fft, n_mels), want)


@pytest.mark.parametrize("samples", [1, 159, 160, 1023, 1024, 1025, 40_000])
def test_decibels_are_librosas_for_any_length(samples):
    wave = speech_like(samples)
    got = np.concatenate(list(log_mel_blocks([wave], **SETTINGS)))
    power = librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=1024, hop_length=160, n_mels=128)
    want = librosa.power_to_db(power).T
    assert got.shape == want.shape == (1 + samples // 160, 128)
    np.testing.assert_allclose(floor_db(got, got.max()), want, atol=1e-3)


@pytest.mark.parametrize("block", [7, 160, 1000, 4096])
def test_portions_of_the_wave_change_nothing(block):
    wave = speech_like(20_000)
    whole = np.concatenate(list(log_mel_blocks([wave], **SETTINGS)))
    portions = [wave[i : i + block] for i in range(0, len(wave), block)]
    np.testing.assert_allclose(np.concatenate(list(log_mel_blocks(portions, **SETTINGS))), whole, atol=1e-4)


def test_no_samples_give_no_frames_and_an_odd_frame_is_refused():
    assert list(log_mel_blocks([np.zeros(0, np.float32)], **SETTINGS)) == []
    with pytest.raises(ShapeError, match="even frame"):
        list(log_mel_blocks([speech_like(100)], **{**SETTINGS, "n_fft": 511}))
