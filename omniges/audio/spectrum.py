"""Mel spectra in blocks: the numbers of librosa's `melspectrogram` and `power_to_db`, for any length.

Conventions: centred frames (frame k is about second k·hop/rate), zeros beyond the ends, a periodic Hann
    window, power, Slaney's mel scale and area normalisation from 0 Hz to half the rate, decibels relative
    to 1 with a floor of 1e-10. librosa's floor of 80 dB below the maximum needs the whole clip and is
    applied by `floor_db`, once it is known.

Shapes: N samples, K frames, F = n_fft // 2 + 1 frequencies, M mel bands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omniges.errors import ShapeError

TOP_DB = 80.0
_POWER_FLOOR = 1e-10
_MELS_AT_ONCE = 16
_FRAMES_AT_ONCE = 256  # keeps a block's spectra within the processor's cache


def log_mel_blocks(
    wave_blocks: Iterable[NDArray[np.float32]], *, sample_rate: int, n_fft: int, hop: int, n_mels: int
) -> Iterator[NDArray[np.float32]]:
    """Mel power in dB, not yet cut at `TOP_DB` below the clip's maximum.

    Args:
        wave_blocks: a wave in consecutive blocks [n_i] of any lengths, N samples in all.
        sample_rate: Hz.
        n_fft: samples a frame, even.
        hop: samples from frame to frame.
        n_mels: mel bands.

    Returns:
        Blocks [k_i, M] of 1 + N // hop frames in all; none for N = 0.
    """
    if n_fft % 2 or n_fft <= 0 or hop <= 0:
        raise ShapeError(
            f"log_mel_blocks: got n_fft {n_fft} and hop {hop}; wanted an even frame and a positive hop."
        )
    filters = _banded(sample_rate, n_fft, n_mels)
    for frames in _frame_blocks(wave_blocks, n_fft, hop):
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            yield _log_mel(frames[start : start + _FRAMES_AT_ONCE], filters)


def floor_db(log_mel: NDArray[np.float32], maximum_db: float) -> NDArray[np.float32]:
    """Cut at `TOP_DB` below the clip's maximum, as `librosa.power_to_db` does."""
    return np.maximum(log_mel, np.float32(maximum_db) - np.float32(TOP_DB))


@lru_cache(maxsize=8)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Triangular filters [M, F], evenly spaced on Slaney's mel scale, each of area 1 over its band in Hz."""
    frequencies = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate / 2), n_mels + 2))
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - low) / (mid - low)
    falling = (high - frequencies) / (high - mid)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    # The triangles are rounded before and after scaling, as librosa's are.
    return (triangles.astype(np.float32) * (2.0 / (high - low))).astype(np.float32)


def _frame_blocks(
    wave_blocks: Iterable[NDArray[np.float32]], n_fft: int, hop: int
) -> Iterator[NDArray[np.float32]]:
    """Overlapping frames [k, n_fft] (views) of the wave padded with n_fft // 2 zeros at both ends."""
    half = n_fft // 2
    held, samples = np.zeros(half, np.float32), 0
    for block in wave_blocks:
        samples += len(block)
        held = np.concatenate([held, block])
        if len(held) >= n_fft:
            frames = np.lib.stride_tricks.sliding_window_view(held, n_fft)[::hop]
            yield frames
            held = held[len(frames) * hop :]
    if samples == 0:
        return
    held = np.concatenate([held, np.zeros(half, np.float32)])
    if len(held) >= n_fft:
        yield np.lib.stride_tricks.sliding_window_view(held, n_fft)[::hop]


@dataclass(frozen=True)
class _Band:
    """Neighbouring mel bands, and the only frequencies that they hear."""

    frequencies: slice
    mels: slice
    filters: NDArray[np.float32]  # [f, m]


@lru_cache(maxsize=8)
def _banded(sample_rate: int, n_fft: int, n_mels: int) -> tuple[_Band, ...]:
    """The filters in groups: most of [F, M] is zero, and a group's product leaves the zeros out."""
    filters = mel_filters(sample_rate, n_fft, n_mels)
    bands = []
    for start in range(0, n_mels, _MELS_AT_ONCE):
        rows = filters[start : start + _MELS_AT_ONCE]
        heard = np.flatnonzero(rows.any(axis=0))
        low, high = (int(heard[0]), int(heard[-1]) + 1) if len(heard) else (0, 1)
        columns = np.ascontiguousarray(rows[:, low:high].T)
        bands.append(_Band(slice(low, high), slice(start, start + len(rows)), columns))
    return tuple(bands)


def _log_mel(frames: NDArray[np.float32], bands: tuple[_Band, ...]) -> NDArray[np.float32]:
    """[k, n_fft] to [k, M] dB."""
    from scipy import fft

    spectrum = fft.rfft(frames * _hann(frames.shape[1]), axis=1)  # [k, F] complex64
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    mel = np.empty((len(frames), bands[-1].mels.stop), np.float32)
    for band in bands:
        np.matmul(power[:, band.frequencies], band.filters, out=mel[:, band.mels])
    np.maximum(mel, np.float32(_POWER_FLOOR), out=mel)
    np.log10(mel, out=mel)
    mel *= np.float32(10.0)
    return mel


@lru_cache(maxsize=8)
def _hann(n: int) -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)).astype(np.float32)


_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    if hz < _KNEE_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mel * _LINEAR_HZ_PER_MEL
    return np.where(mel < _KNEE_MEL, linear, _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL)))
