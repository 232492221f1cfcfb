"""The optional voice: espeak-ng in a process of its own, with the times that it reports."""

import base64
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from omniges.corpus.controls import Floats
from omniges.corpus.phones import PHONES
from omniges.corpus.script import ScriptWord, Speech, SpokenPhone, phrases_of
from omniges.corpus.speakers import Speaker
from omniges.errors import ConfigError, DataError
from omniges.timing import SAMPLE_RATE
from omniges.types import Word

_VOICE = "en-us"
_LEVEL = 0.07  # RMS of the speech
_MNEMONICS = """
a AE | aa AE | a# AH | V AH | 0 AA | O2 AA | O: AO | O@ AO | O AO | o@ AO | A: AA | A@ AA | 3: ER | 3 ER
@ AH | @2 AH | @5 AH | @L AH | E EH | e@ EH | I IH | I# IH | I2 IH | i IY | i: IY | i@ IY | i@3 IY | U UH
U@ UH | u: UW | eI EY | aI AY | aI@ AY | aU AW | oU OW | OI OY | r R | r- R | j Y | t# T | t2 T | N NG
D DH | T TH | S SH | Z ZH | tS CH | dZ JH | h HH | b B | d D | f F | g G | k K | l L | m M | n N | p P | s S
t T | v V | w W | z Z | l^ L
"""
_ARPABET = dict(pair.split() for pair in _MNEMONICS.strip().replace("\n", "|").split("|"))
_UNHEARD = frozenset({"", ";", "?", "_", "_:", "_|", "_!", "__"})


@dataclass(frozen=True)
class _Heard:
    """A word of espeak's: phones (label, start, end), in seconds from the phrase's start."""

    phones: tuple[tuple[str, float, float], ...]


def speak(
    script: list[ScriptWord], speaker: Speaker, seed: int, start_s: float, duration_s: float
) -> tuple[Speech, Floats]:
    """Speak a script; what would end after `duration_s` is cut at the last whole word.

    Args:
        script: from `write_script`.
        speaker: gives pitch and rate.
        seed: of espeak's noise.
        start_s: silence before the first word.
        duration_s: length of the recording.
    Raises:
        ConfigError: the extra `speech` is not installed.
        DataError: espeak-ng failed, or spoke other words than it was given.
    """
    phrases = phrases_of(script)
    answer = _run(phrases, speaker, seed)
    wave = np.zeros(round(duration_s * SAMPLE_RATE))
    words: list[Word] = []
    phones: list[SpokenPhone] = []
    time_s = start_s
    for phrase, spoken in zip(phrases, answer["phrases"], strict=True):
        sound, heard = _heard(phrase, spoken, answer["rate_hz"])
        fitting = [i for i, word in enumerate(heard) if time_s + word.phones[-1][2] < duration_s - 0.05]
        for i in fitting:
            _add(words, phones, phrase[i], heard[i], time_s, heard[-1].phones[-1][2])
        if fitting:
            begin, length = round(time_s * SAMPLE_RATE), round(heard[fitting[-1]].phones[-1][2] * SAMPLE_RATE)
            wave[begin : begin + length] = sound[:length] * _fade(min(length, len(sound)))
        if len(fitting) < len(phrase):
            break
        time_s += heard[-1].phones[-1][2] + phrase[-1].pause_s
    wave *= _LEVEL / max(float(np.sqrt(np.mean(wave**2))), 1e-9)
    speech = Speech(words=tuple(words), phones=tuple(phones), duration_s=duration_s)
    return speech, np.clip(wave, -1.0, 1.0)


def _run(phrases: list[list[ScriptWord]], speaker: Speaker, seed: int) -> dict[str, Any]:
    if importlib.util.find_spec("espeakng_loader") is None:
        raise ConfigError(
            "corpus.voice: espeak needs the optional extra `speech` (espeak-ng, GPL-3), not installed here. "
            "Run `pip install -c constraints.txt '.[speech]'`, or set corpus.voice: formant."
        )
    job = {
        "seed": seed % 2**31,
        "voice": _VOICE,
        "rate": round(165 * speaker.rate),
        "pitch": round(float(np.clip(50 + 0.45 * (speaker.f0_hz - 150), 0, 99))),
        "phrases": [_ssml(phrase) for phrase in phrases],
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("espeak_worker.py"))],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DataError(
            f"espeak-ng: its process ended with {done.returncode}: {done.stderr.strip()[-300:]} "
            f"Set corpus.voice: formant, or install the extra `speech` again."
        )
    return dict(json.loads(done.stdout))


def _ssml(phrase: list[ScriptWord]) -> str:
    """Bars part words, since espeak merges some ("of the"); <emphasis> would lower f0, so prosody it is."""
    spoken = []
    for word in phrase:
        text = escape(word.text.lower())
        if word.emphasis > 0:
            pitch, volume = round(30 * word.emphasis), round(6 * word.emphasis, 1)
            text = f'<prosody pitch="+{pitch}%" volume="+{volume}dB">{text}</prosody>'
        spoken.append(text)
    return f"<speak>{' | '.join(spoken)}</speak>"


def _heard(phrase: list[ScriptWord], spoken: dict[str, Any], rate_hz: int) -> tuple[Floats, list[_Heard]]:
    """A phrase's sound at SAMPLE_RATE and its words; a bar may make an event without phones, no word."""
    import soxr

    samples = np.frombuffer(base64.b64decode(spoken["samples"]), np.int16) / 32768.0
    groups: list[list[tuple[str, float, float]]] = []
    events = [*spoken["events"], ["word", len(samples), ""]]
    for (kind, at, name), (_, until, _) in pairwise(events):
        if kind == "word":
            groups.append([])
        elif name.lstrip("',%=") not in _UNHEARD and groups:
            groups[-1].append((_label(name), at / rate_hz, max(until, at + 1) / rate_hz))
    heard = [_Heard(tuple(group)) for group in groups if group]
    if len(heard) != len(phrase):
        raise DataError(
            f"espeak-ng: spoke {len(heard)} words of '{' '.join(word.text for word in phrase)}', "
            f"wanted {len(phrase)}. Set corpus.voice: formant."
        )
    return np.asarray(soxr.resample(samples, rate_hz, SAMPLE_RATE)), heard


def _label(mnemonic: str) -> str:
    """ARPAbet of an espeak mnemonic, vowels with a stress digit."""
    bare = mnemonic.lstrip("',%=")
    if bare not in _ARPABET:
        raise DataError(
            f"espeak-ng: phone '{mnemonic}' has no ARPAbet here; add it to omniges/corpus/espeak.py."
        )
    stress = {"'": "1", ",": "2"}.get(mnemonic[0], "0")
    return _ARPABET[bare] + (stress if PHONES[_ARPABET[bare]].vowel else "")


def _add(
    words: list[Word],
    phones: list[SpokenPhone],
    said: ScriptWord,
    heard: _Heard,
    at_s: float,
    phrase_s: float,
) -> None:
    for label, begin_s, end_s in heard.phones:
        phones.append(
            SpokenPhone(
                label=label,
                start_s=at_s + begin_s,
                end_s=at_s + end_s,
                word=len(words),
                emphasis=said.emphasis,
                phrase_place=begin_s / phrase_s,
            )
        )
    words.append(Word(text=said.text, start_s=at_s + heard.phones[0][1], end_s=at_s + heard.phones[-1][2]))


def _fade(length: int) -> Floats:
    """[length] ones with a last 5 ms that falls to zero."""
    edge = min(length, SAMPLE_RATE // 200)
    return np.concatenate([np.ones(length - edge), np.linspace(1.0, 0.0, edge)])
