"""Cepstra against librosa's on the whole clip; time against an impulse; memory against a longer clip."""

import tracemalloc

import numpy as np
import pytest

from omniges.audio.spectrum import TOP_DB, log_mel_blocks
from omniges.errors import ShapeError
from omniges.features.mfcc import MelSpool, mfcc_blocks, mfcc_frames
from omniges.features.resample import frames_from_blocks

librosa = pytest.importorskip("librosa")


def mel(wave_blocks, n_mels=128):
    return log_mel_blocks(wave_blocks, sample_rate=16_000, n_fft=1024, hop=160, n_mels=n_mels)


def bursts(samples: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    envelope = np.repeat(rng.uniform(0, 1, samples // 800 + 1) ** 8, 800)[:samples]
    return (0.3 * envelope * rng.standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("n_mfcc", [128, 20])
def test_cepstra_are_librosas_whatever_the_portions(n_mfcc):
    wave = bursts(100_000)
    want = librosa.feature.mfcc(y=wave, sr=16_000, n_mfcc=n_mfcc, n_fft=1024, hop_length=160, n_mels=128).T
    portions = [wave[i : i + 7001] for i in range(0, len(wave), 7001)]
    with MelSpool(mel(portions)) as spool:
        got = np.concatenate(list(mfcc_blocks(spool, n_mfcc, TOP_DB)))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=2e-3)  # coefficients reach hundreds


def test_an_impulse_shows_in_the_frame_that_it_falls_into():
    wave = np.zeros(32_000, np.float32)
    wave[round(1.05 * 16_000)] = 1.0  # middle of frame 31 at 30 fps
    with MelSpool(mel([wave])) as spool:
        frames = np.concatenate(list(mfcc_frames(spool, 60, n_mfcc=13, top_db=TOP_DB, hop_s=0.01, fps=30.0)))
    assert frames.shape == (60, 13)
    assert np.argmax(frames[:, 0]) == 31


def test_frames_are_the_cepstra_brought_to_motion_rate():
    """The transform is linear: it may come before the change of rate or after it."""
    with MelSpool(mel([bursts(100_000)])) as spool:
        want = frames_from_blocks(mfcc_blocks(spool, 20, TOP_DB), 187, fps=30.0, first_s=0.0, step_s=0.01)
        got = mfcc_frames(spool, 187, n_mfcc=20, top_db=TOP_DB, hop_s=0.01, fps=30.0)
        got, want = np.concatenate(list(got)), np.concatenate(list(want))
    np.testing.assert_allclose(got, want, atol=1e-3)  # coefficients reach hundreds


def test_silence_has_finite_cepstra():
    with MelSpool(mel([np.zeros(16_000, np.float32)])) as spool:
        got = np.concatenate(list(mfcc_blocks(spool, 128, TOP_DB)))
    want = librosa.feature.mfcc(
        y=np.zeros(16_000, np.float32), sr=16_000, n_mfcc=128, n_fft=1024, hop_length=160
    )
    np.testing.assert_allclose(got, want.T, atol=1e-3)


def test_more_coefficients_than_bands_are_refused():
    with MelSpool(mel([bursts(4000)], n_mels=40)) as spool, pytest.raises(ShapeError, match=r"mfcc\.n_mels"):
        list(mfcc_blocks(spool, 41, TOP_DB))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip():
    def peak_bytes(minutes: int) -> int:
        minute = bursts(60 * 16_000)
        tracemalloc.start()
        with MelSpool(mel(minute for _ in range(minutes))) as spool:
            for _ in mfcc_frames(spool, minutes * 1800, n_mfcc=128, top_db=TOP_DB, hop_s=0.01, fps=30.0):
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # 40 minutes of mel spectra would be 123 MB; the spool keeps 32 MB of them in memory, at most.
    assert peak_bytes(40) < peak_bytes(12) + 8 * 2**20
