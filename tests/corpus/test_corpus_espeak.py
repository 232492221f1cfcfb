import importlib.util

import numpy as np
import pytest

from omniges.corpus.accents import listen
from omniges.corpus.espeak import speak
from omniges.corpus.lexicon import LEXICON
from omniges.corpus.script import ScriptWord
from omniges.corpus.speakers import make_speaker
from omniges.errors import ConfigError
from omniges.timing import SAMPLE_RATE

SCRIPT = [
    *(ScriptWord(text, 0.8 if text == "mountain" else 0.0, 0.0) for text in ("one", "of", "the", "mountain")),
    ScriptWord("road", 0.3, 0.5),
    *(ScriptWord(text, 0.0, 0.0) for text in ("i", "think", "about")),
    ScriptWord("music", 1.0, 0.3),
]

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the optional extra `speech` is not installed"
)


@needs_espeak
def test_espeak_speaks_every_word_at_its_time():
    speech, wave = speak(SCRIPT, make_speaker(7, 1), 5, 0.4, 8.0)
    assert [word.text for word in speech.words] == [word.text for word in SCRIPT]
    assert len(wave) == 8 * SAMPLE_RATE
    assert speech.words[0].start_s >= 0.4
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in zip(speech.words[:-1], speech.words[1:], strict=True))
    level = [np.std(wave[int(w.start_s * SAMPLE_RATE) : int(w.end_s * SAMPLE_RATE)]) for w in speech.words]
    silence = np.std(wave[int((speech.words[-1].end_s + 0.1) * SAMPLE_RATE) :])
    assert min(level) > 20 * silence
    music = [phone.label for phone in speech.phones if phone.word == len(SCRIPT) - 1]
    assert music[0] == "M"
    assert "Z" in music
    assert len(listen(speech, wave).phrases_s) == 2


@needs_espeak
def test_espeak_gives_the_same_bytes_again():
    speaker = make_speaker(7, 2)
    (_, first), (_, again) = (speak(SCRIPT, speaker, 5, 0.2, 8.0) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@needs_espeak
def test_espeak_knows_every_word_and_all_its_phones_have_an_arpabet():
    words = list(LEXICON)
    script = [ScriptWord(word, 0.0, 0.2 if i % 8 == 7 else 0.0) for i, word in enumerate(words)]
    speech, _ = speak([*script[:-1], ScriptWord(words[-1], 0.0, 0.2)], make_speaker(7, 1), 1, 0.0, 120.0)
    assert [word.text for word in speech.words] == words


@needs_espeak
def test_words_that_do_not_fit_are_not_spoken():
    speech, wave = speak(SCRIPT, make_speaker(7, 1), 5, 0.4, 2.0)
    assert 2 < len(speech.words) < len(SCRIPT)
    assert speech.words[-1].end_s < 2.0
    assert len(wave) == 2 * SAMPLE_RATE


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"speech.*pip install"):
        speak(SCRIPT, make_speaker(7, 1), 5, 0.4, 2.0)
