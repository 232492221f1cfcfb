"""The project's own voice: a formant synthesiser.

A band-limited saw stands for the larynx, noise for the breath; both are shaped frame by frame in the
frequency domain by a cascade of resonators (Klatt 1980, J. Acoust. Soc. Am. 67:971) and added up again.

Legend: N samples, F frames of `_HOP` samples, K frequency bins.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from omniges.corpus.phones import PHONES, Phone, base_phone
from omniges.corpus.script import Speech, SpokenPhone
from omniges.corpus.speakers import Speaker
from omniges.timing import SAMPLE_RATE

_HOP = 128
_WINDOW = 2 * _HOP
_FFT = 2 * _WINDOW  # room for a resonance to ring out behind the window
_BANDWIDTH_HZ = (70.0, 100.0, 160.0, 250.0)
_FOURTH_HZ = 3500.0
_LEVEL = 0.07  # RMS of the speech
_FLOOR = 2e-4  # a room is never silent
_UNIT = 3.0**0.5  # uniform noise between plus and minus this has unit variance

Floats = NDArray[np.floating]


def synthesise(speech: Speech, speaker: Speaker, draw: np.random.RandomState) -> Floats:
    """Speak.

    Args:
        speech: phones with their times.
        speaker: pitch, vocal tract, breath.
        draw: noise of the breath and the room.
    Returns:
        [N] in [-1, 1] at SAMPLE_RATE, `speech.duration_s` long.
    """
    n = round(speech.duration_s * SAMPLE_RATE)
    times_s = (np.arange(n // _HOP + 2) * _HOP) / SAMPLE_RATE
    voice, noise, noise_hz = _amplitudes(speech.phones, times_s)
    formants_hz = _formants(speech.phones, times_s) * speaker.tract
    white = draw.uniform(-_UNIT, _UNIT, n).astype(np.float32)
    source = _saw(_pitch(speech.phones, times_s, speaker), n) + np.float32(speaker.breath) * white
    centres_hz = np.column_stack([formants_hz, np.full(len(times_s), _FOURTH_HZ * speaker.tract)])
    wave = _shape(source, voice, centres_hz, _BANDWIDTH_HZ) + _shape(
        white, 0.25 * noise, noise_hz[:, None], (1200.0,)
    )
    loudness = np.sqrt(np.mean(wave**2)) if speech.phones else 1.0
    return np.clip(wave * (_LEVEL / loudness) + _FLOOR * white[::-1], -1.0, 1.0)


def _amplitudes(phones: tuple[SpokenPhone, ...], times_s: Floats) -> tuple[Floats, Floats, Floats]:
    """Voice and noise amplitude and the noise's centre, each [F]; a closure is silent until its burst."""
    edges, rows = [0.0], [(0.0, 0.0, 4000.0)]
    for spoken in phones:
        phone = PHONES[base_phone(spoken.label)]
        loud = _loudness(spoken, phone)
        if phone.closure:
            edges.append(spoken.start_s)
            rows.append((0.3 * phone.voice, 0.0, phone.noise_hz))
        edges.append(spoken.start_s + phone.closure * (spoken.end_s - spoken.start_s))
        rows.append((loud * phone.voice, loud * phone.noise, phone.noise_hz))
        edges.append(spoken.end_s)
        rows.append((0.0, 0.0, phone.noise_hz))
    table = np.asarray(rows)[np.searchsorted(edges, times_s, side="right") - 1]
    smooth = np.array([0.25, 0.5, 0.25])
    return np.convolve(table[:, 0], smooth, "same"), np.convolve(table[:, 1], smooth, "same"), table[:, 2]


def _loudness(spoken: SpokenPhone, phone: Phone) -> float:
    """Emphasis is up to 9 dB; a phrase gets softer by 4 dB."""
    stress = spoken.emphasis if (not phone.vowel or spoken.label.endswith("1")) else 0.5 * spoken.emphasis
    return float(10 ** ((9.0 * stress - 4.0 * spoken.phrase_place) / 20))


def _formants(phones: tuple[SpokenPhone, ...], times_s: Floats) -> Floats:
    """[F, 3] Hz: straight lines between the phones' targets."""
    anchors, targets = [], []
    for spoken in phones:
        phone, length_s = PHONES[base_phone(spoken.label)], spoken.end_s - spoken.start_s
        if phone.vowel:
            anchors += [spoken.start_s + 0.3 * length_s, spoken.start_s + 0.75 * length_s]
            targets += [phone.formants_hz, phone.glide_hz or phone.formants_hz]
        else:
            anchors.append(spoken.start_s + 0.5 * length_s)
            targets.append(phone.formants_hz)
    if not anchors:
        return np.tile([500.0, 1500.0, 2500.0], (len(times_s), 1))
    table = np.asarray(targets)
    return np.column_stack([np.interp(times_s, anchors, table[:, i]) for i in range(3)])


def _pitch(phones: tuple[SpokenPhone, ...], times_s: Floats, speaker: Speaker) -> Floats:
    """[F] Hz: falls over a phrase, rises on emphasised stressed vowels."""
    if not phones:
        return np.full(len(times_s), speaker.f0_hz)
    anchors = [0.5 * (spoken.start_s + spoken.end_s) for spoken in phones]
    rises = [
        0.35 * spoken.emphasis if spoken.label.endswith("1") else 0.1 * spoken.emphasis for spoken in phones
    ]
    falls = [1.12 - 0.28 * spoken.phrase_place for spoken in phones]
    return speaker.f0_hz * np.interp(times_s, anchors, np.add(falls, rises))


def _saw(pitch_hz: Floats, n: int) -> NDArray[np.float32]:
    """[N] a saw of changing pitch, its corner rounded to keep aliases low (polynomial band-limited step)."""
    step = np.interp(np.arange(n), np.arange(len(pitch_hz)) * _HOP, pitch_hz) / SAMPLE_RATE
    phase = np.cumsum(step) % 1.0
    saw = 2.0 * phase - 1.0
    after, before = np.flatnonzero(phase < step), np.flatnonzero(phase > 1.0 - step)
    early, late = phase[after] / step[after], (phase[before] - 1.0) / step[before]
    saw[after] -= 2 * early - early**2 - 1
    saw[before] -= late**2 + 2 * late + 1
    return saw.astype(np.float32)


def _resonances(centre_hz: Floats, bandwidth_hz: tuple[float, ...]) -> NDArray[np.complex64]:
    """[F, K] response of two-pole resonators in cascade, each with gain 1 at 0 Hz.

    Args:
        centre_hz: [F, R].
        bandwidth_hz: R values.
    """
    delay = np.exp(-2j * np.pi * np.arange(_FFT // 2 + 1) / _FFT).astype(np.complex64)
    top = np.ones((len(centre_hz), 1))
    bottom = np.ones((len(centre_hz), len(delay)), np.complex64)
    for i, width in enumerate(bandwidth_hz):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        first = 2 * radius * np.cos(2 * np.pi * centre_hz[:, i : i + 1] / SAMPLE_RATE)
        top = top * (1 - first + radius**2)
        bottom *= (1 + np.float32(radius**2) * delay**2) - first.astype(np.float32) * delay
    return top.astype(np.float32) / bottom


def _shape(
    source: NDArray[np.float32], gain: Floats, centre_hz: Floats, bandwidth_hz: tuple[float, ...]
) -> Floats:
    """[N] filter by resonators that move every `_HOP` samples: overlap-add of the frames that sound.

    Args:
        source: [N].
        gain: [F] amplitude.
        centre_hz: [F, R].
        bandwidth_hz: R values.
    """
    n, frames = len(source), len(gain)
    padded = np.zeros((frames + 1) * _HOP, np.float32)
    padded[_HOP : _HOP + n] = source
    loud = np.flatnonzero(gain > 1e-3)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[loud * _HOP]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)
    response = _resonances(centre_hz[loud], bandwidth_hz) * gain[loud, None].astype(np.float32)
    pieces = irfft(rfft(windows * hann, _FFT) * response, _FFT)
    blocks = np.zeros((frames + _FFT // _HOP, _HOP))
    for i in range(_FFT // _HOP):
        blocks[loud + i] += pieces[:, i * _HOP : (i + 1) * _HOP]
    return blocks.reshape(-1)[_HOP : _HOP + n]
