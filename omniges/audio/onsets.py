"""Onsets of sound, as beat consistency counts them, and the loudness envelope, in little memory.

`onset_times` gives what `librosa.onset.onset_detect(y, sr, hop_length=512, units="time")` gives, without
librosa's import and its compilation at first use. One step depends on the whole clip (decibels are cut 80
below the loudest band), so a clip's onsets are those of the wave that is passed, and a part of a clip may
have others.

Shapes: N samples, K frames of 512 samples.
"""

import math

import numpy as np
from numpy.typing import NDArray

from omniges.audio.files import resample
from omniges.audio.spectrum import floor_db, log_mel_blocks
from omniges.errors import DataError, ShapeError
from omniges.timing import SAMPLE_RATE

HOP = 512
N_FFT = 2048
N_MELS = 128
DELTA = 0.07
_FIELD_HZ = 22_050


def onset_times(wave: NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> NDArray[np.float64]:
    """Times in seconds at which sound sets in.

    Args:
        wave: [N] mono.
        sample_rate: Hz.

    Returns:
        [n] ascending, multiples of 512 / sample_rate; empty for silence.
    """
    strength = onset_strength(wave, sample_rate)
    if not strength.any():
        return np.zeros(0)
    strength = strength - strength.min()
    strength = strength / (strength.max() + np.finfo(strength.dtype).tiny)
    return _peaks(strength, sample_rate) * HOP / float(sample_rate)


def onset_strength(wave: NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Mean rise of mel power from frame to frame in dB, moved so that it lies at the onset.

    Args:
        wave: [N] mono, finite.
        sample_rate: Hz.

    Returns:
        [K] with K = 1 + N // 512; zero for an empty wave.
    """
    if wave.ndim != 1:
        raise ShapeError(f"onset_strength: got a wave of shape {wave.shape}, wanted [N].")
    if not np.isfinite(wave).all():
        raise DataError(
            "onset_strength: got NaN or infinite samples, wanted numbers. Read waves with audio.files."
        )
    blocks = list(log_mel_blocks([wave], sample_rate=sample_rate, n_fft=N_FFT, hop=HOP, n_mels=N_MELS))
    if not blocks:
        return np.zeros(1, np.float32)
    decibels = np.concatenate(blocks)  # [K, M]
    decibels = floor_db(decibels, float(decibels.max()))
    rise = np.maximum(0.0, np.diff(decibels, axis=0)).mean(axis=1)  # [K - 1]
    shift = 1 + N_FFT // (2 * HOP)  # one frame for the difference, the rest for the frame's half width
    return np.concatenate([np.zeros(shift, np.float32), rise])[: len(decibels)].astype(np.float32)


def field_round_trip(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """What published beat consistency hears: 16 kHz loaded at librosa's 22.05 kHz, brought back to 16."""
    return resample(resample(wave, SAMPLE_RATE, _FIELD_HZ), _FIELD_HZ, SAMPLE_RATE)


def amplitude_envelope(wave: NDArray[np.float32], window: int = 1024) -> NDArray[np.float32]:
    """Largest |sample| of the `window` samples that begin at each sample.

    Args:
        wave: [N] mono.
        window: samples, > 0; shorter at the end of the wave.

    Returns:
        [N].
    """
    from scipy.ndimage import maximum_filter1d

    if window <= 0:
        raise ShapeError(f"amplitude_envelope: got a window of {window} samples, wanted at least 1.")
    # scipy centres its window; `origin` moves it so that it begins at the sample.
    return maximum_filter1d(np.abs(wave), window, mode="constant", cval=0.0, origin=-(window // 2))


def _peaks(strength: NDArray[np.float32], sample_rate: int) -> NDArray[np.int64]:
    """Frames that are largest nearby, DELTA above the mean nearby, not right after another (Böck 2012)."""
    near = math.ceil(
        0.03 * sample_rate // HOP
    )  # frames before a peak that it exceeds; also the wait after it
    around = math.ceil(0.10 * sample_rate // HOP)  # frames on either side for the mean
    n = np.arange(len(strength))
    sums = np.concatenate([[0.0], np.cumsum(strength, dtype=np.float64)])
    first, end = np.maximum(n - around, 0), np.minimum(n + around + 1, len(strength))
    means = (sums[end] - sums[first]) / (end - first)
    padded = np.concatenate([np.full(near, -np.inf, np.float32), strength])
    largest = np.lib.stride_tricks.sliding_window_view(padded, near + 1).max(
        axis=1
    )  # of the frame and before
    peaks: list[int] = []
    for frame in np.flatnonzero((strength == largest) & (strength >= means + DELTA)):
        if not peaks or frame > peaks[-1] + near:
            peaks.append(int(frame))
    return np.asarray(peaks, np.int64)
