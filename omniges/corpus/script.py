"""What is said and when: sentences from templates, and a rule that gives every phone its time."""

from dataclasses import dataclass

import numpy as np

from omniges.corpus.lexicon import CLASSES, FUNCTION_WORDS, LEXICON, SIGNS, TEMPLATES
from omniges.corpus.phones import PHONES, base_phone
from omniges.corpus.speakers import Speaker
from omniges.types import Word


@dataclass(frozen=True)
class ScriptWord:
    """A word before it is spoken: its emphasis (0 none, 1 strongest) and the pause that follows."""

    text: str
    emphasis: float
    pause_s: float


@dataclass(frozen=True, kw_only=True)
class SpokenPhone:
    label: str  # ARPAbet with stress digit
    start_s: float
    end_s: float
    word: int  # index into the words
    emphasis: float
    phrase_place: float  # 0 at the phrase's start, 1 at its end


@dataclass(frozen=True, kw_only=True)
class Speech:
    """A spoken text: exact times by construction; gaps are silence."""

    words: tuple[Word, ...]
    phones: tuple[SpokenPhone, ...]
    duration_s: float


def write_script(draw: np.random.RandomState, about_s: float, rate: float) -> list[ScriptWord]:
    """Sentences that fill about `about_s` seconds; the speaker stops at the last whole word that fits."""
    words: list[ScriptWord] = []
    time_s, last = 0.0, -1
    while time_s < about_s:
        template = draw.randint(len(TEMPLATES))
        if template == last:
            continue
        last = template
        sentence = [_fill(slot, draw) for slot in TEMPLATES[template].split()]
        pause_s = float(draw.uniform(0.2, 0.28) if draw.uniform() < 0.4 else draw.uniform(0.4, 1.1))
        for place, text in enumerate(sentence):
            accented = text not in FUNCTION_WORDS or (text in SIGNS and draw.uniform() < 0.5)
            emphasis = float(draw.uniform(0.25, 1.0)) if accented else 0.0
            words.append(ScriptWord(text, emphasis, pause_s if place == len(sentence) - 1 else 0.0))
        time_s += 0.3 / rate * len(sentence) + pause_s
    return words


def _fill(slot: str, draw: np.random.RandomState) -> str:
    choices = CLASSES.get(slot)
    return slot if choices is None else choices[draw.randint(len(choices))]


def time_script(
    script: list[ScriptWord], speaker: Speaker, draw: np.random.RandomState, duration_s: float
) -> Speech:
    """Give every phone its time; words that would end after `duration_s` are not spoken.

    Args:
        script: from `write_script`.
        speaker: gives the rate.
        draw: jitter of the durations.
        duration_s: length of the recording.
    """
    words: list[Word] = []
    phones: list[SpokenPhone] = []
    time_s = float(draw.uniform(0.1, 0.6))
    for phrase in phrases_of(script):
        durations = [
            _durations(word, i == len(phrase) - 1, speaker.rate, draw) for i, word in enumerate(phrase)
        ]
        start_s, length_s = time_s, sum(map(sum, durations))
        for word, lengths in zip(phrase, durations, strict=True):
            if time_s + sum(lengths) > duration_s - 0.05:
                return Speech(words=tuple(words), phones=tuple(phones), duration_s=duration_s)
            edges = time_s + np.concatenate([[0.0], np.cumsum(lengths)])
            for label, begin, end in zip(LEXICON[word.text], edges[:-1], edges[1:], strict=True):
                phones.append(
                    SpokenPhone(
                        label=label,
                        start_s=float(begin),
                        end_s=float(end),
                        word=len(words),
                        emphasis=word.emphasis,
                        phrase_place=float((begin - start_s) / length_s),
                    )
                )
            words.append(Word(text=word.text, start_s=time_s, end_s=float(edges[-1])))
            time_s = float(edges[-1])
        time_s += phrase[-1].pause_s
    return Speech(words=tuple(words), phones=tuple(phones), duration_s=duration_s)


def phrases_of(script: list[ScriptWord]) -> list[list[ScriptWord]]:
    """Words up to each pause."""
    phrases: list[list[ScriptWord]] = [[]]
    for word in script:
        phrases[-1].append(word)
        if word.pause_s > 0:
            phrases.append([])
    return [phrase for phrase in phrases if phrase]


def _durations(word: ScriptWord, final: bool, rate: float, draw: np.random.RandomState) -> list[float]:
    """The duration rule: stress and emphasis lengthen, and so does the end of a phrase."""
    lengths = []
    for label in LEXICON[word.text]:
        phone = PHONES[base_phone(label)]
        factor = 1.0 + 0.3 * word.emphasis if label.endswith("1") else (0.75 if phone.vowel else 0.95)
        if final:
            factor *= 1.3
        lengths.append(max(0.032, phone.duration_s * factor / rate * (1.0 + 0.08 * draw.uniform(-1, 1))))
    return lengths
