"""What in speech drives the body: accents with a prominence measured from the wave, phrases, and loudness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omniges.corpus.lexicon import SIGNS
from omniges.corpus.script import Speech
from omniges.timing import SAMPLE_RATE

_PHRASE_GAP_S = 0.18
_LOUDNESS_STEP = SAMPLE_RATE // 100

Floats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Accent:
    """A vowel that stands out."""

    time_s: float  # the vowel's onset
    prominence: float  # 0 to 1, from the wave
    word: str


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A recording and what a listener hears in it."""

    speech: Speech
    wave: Floats  # [N] at SAMPLE_RATE
    accents: tuple[Accent, ...]
    phrases_s: tuple[tuple[float, float], ...]
    loudness: Floats  # [M] 100 Hz, RMS over 10 ms relative to the loudest 5 %, 0 to about 1


def listen(speech: Speech, wave: Floats) -> Talk:
    """Measure accents, phrases and loudness of a recording whose words and phones are known."""
    blocks = wave[: len(wave) // _LOUDNESS_STEP * _LOUDNESS_STEP].reshape(-1, _LOUDNESS_STEP)
    level = np.sqrt(np.mean(blocks**2, axis=1))
    return Talk(
        speech=speech,
        wave=wave,
        accents=_accents(speech, level),
        phrases_s=_phrases(speech),
        loudness=level / max(float(np.quantile(level, 0.95)), 1e-6),
    )


def _accents(speech: Speech, level: Floats) -> tuple[Accent, ...]:
    """Stressed vowels, and the vowels of short words that ask for a gesture."""
    found = [
        phone
        for phone in speech.phones
        if phone.label.endswith("1")
        or (phone.label[-1].isdigit() and speech.words[phone.word].text in SIGNS and phone.emphasis > 0)
    ]
    if not found:
        return ()
    heard = [level[int(p.start_s * 100) : max(int(p.end_s * 100), int(p.start_s * 100) + 1)] for p in found]
    level_db = np.array([20 * np.log10(float(np.max(part, initial=1e-6))) for part in heard])
    length_s = np.array([phone.end_s - phone.start_s for phone in found])
    score = (level_db - np.median(level_db)) / 8.0 + (length_s - np.median(length_s)) / 0.15
    prominence = 1.0 / (1.0 + np.exp(-2.0 * score))
    return tuple(
        Accent(time_s=phone.start_s, prominence=float(value), word=speech.words[phone.word].text)
        for phone, value in zip(found, prominence, strict=True)
    )


def _phrases(speech: Speech) -> tuple[tuple[float, float], ...]:
    spans: list[tuple[float, float]] = []
    for word in speech.words:
        if spans and word.start_s - spans[-1][1] <= _PHRASE_GAP_S:
            spans[-1] = (spans[-1][0], word.end_s)
        else:
            spans.append((word.start_s, word.end_s))
    return tuple(spans)
