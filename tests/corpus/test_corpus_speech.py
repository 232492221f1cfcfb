import itertools

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz

from omniges.corpus.accents import listen
from omniges.corpus.formant import synthesise
from omniges.corpus.lexicon import CLASSES, LEXICON, SIGNS, TEMPLATES
from omniges.corpus.phones import PHONES, base_phone
from omniges.corpus.script import ScriptWord, Speech, SpokenPhone, time_script, write_script
from omniges.corpus.speakers import make_speaker, random_state
from omniges.timing import SAMPLE_RATE
from omniges.types import Word


def hold(label, speaker, length_s=0.8):
    """A vowel held for a while, without emphasis."""
    phone = SpokenPhone(
        label=label, start_s=0.1, end_s=0.1 + length_s, word=0, emphasis=0.0, phrase_place=0.0
    )
    word = Word(text="x", start_s=0.1, end_s=0.1 + length_s)
    speech = Speech(words=(word,), phones=(phone,), duration_s=length_s + 0.2)
    return synthesise(speech, speaker, random_state(1))


def lpc_formants(wave, order=12):
    """Resonances (Hz) of an all-pole model by the autocorrelation method, narrow ones only."""
    emphasised = np.append(wave[0], wave[1:] - 0.97 * wave[:-1]) * np.hamming(len(wave))
    r = np.correlate(emphasised, emphasised, "full")[len(emphasised) - 1 :][: order + 1]
    poles = np.roots(np.append(1.0, -solve_toeplitz(r[:-1], r[1:])))
    poles = poles[poles.imag > 0]
    hertz = np.angle(poles) * SAMPLE_RATE / (2 * np.pi)
    width = -np.log(np.abs(poles)) * SAMPLE_RATE / np.pi
    return np.sort(hertz[(width < 400) & (hertz > 150)])


@pytest.mark.parametrize("vowel", ["IY", "EH", "AE", "AA", "ER"])
def test_linear_prediction_finds_the_lexicons_formants(vowel):
    speaker = make_speaker(7, 2)  # a low voice: harmonics lie close, so that resonances show
    found = lpc_formants(hold(vowel + "1", speaker)[int(0.3 * SAMPLE_RATE) : int(0.6 * SAMPLE_RATE)])
    for wanted in np.array(PHONES[vowel].formants_hz[:2]) * speaker.tract:
        assert np.min(np.abs(found / wanted - 1)) < 0.12, (vowel, wanted, found)


@pytest.mark.parametrize("number", [1, 2])
def test_voice_has_the_speakers_pitch(number):
    speaker = make_speaker(7, number)
    wave = hold("AA1", speaker)[int(0.3 * SAMPLE_RATE) : int(0.6 * SAMPLE_RATE)]
    r = np.correlate(wave, wave, "full")[len(wave) - 1 :]
    shortest, longest = SAMPLE_RATE // 300, SAMPLE_RATE // 70
    period = shortest + np.argmax(r[shortest:longest])
    assert SAMPLE_RATE / period == pytest.approx(speaker.f0_hz * 1.12, rel=0.02)  # a phrase starts 12 % above


def test_fricatives_hiss_high_and_stops_are_silent_before_their_burst():
    speaker, spectrum = make_speaker(7, 2), {}
    for label in ("S", "SH", "AA1"):
        part = hold(label, speaker)[int(0.3 * SAMPLE_RATE) : int(0.6 * SAMPLE_RATE)]
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
        spectrum[label] = np.sum(np.fft.rfftfreq(len(part), 1 / SAMPLE_RATE) * power) / power.sum()
    assert spectrum["AA1"] < 1500 < spectrum["SH"] < spectrum["S"]
    stop = hold("T", speaker)
    closure, burst = (
        stop[int(0.2 * SAMPLE_RATE) : int(0.5 * SAMPLE_RATE)],
        stop[int(0.7 * SAMPLE_RATE) : int(0.85 * SAMPLE_RATE)],
    )
    assert np.std(closure) < 0.01 * np.std(burst)


def test_every_word_that_can_be_said_has_known_phones():
    sayable = set(SIGNS).union(*CLASSES.values(), *(template.split() for template in TEMPLATES)) - set(
        CLASSES
    )
    assert sayable <= set(LEXICON)
    assert {base_phone(label) for phones in LEXICON.values() for label in phones} <= set(PHONES)
    for word, phones in LEXICON.items():
        vowels = [label for label in phones if PHONES[base_phone(label)].vowel]
        assert vowels, word
        assert all(label[-1] in "012" for label in vowels), word
        assert sum(label.endswith("1") for label in phones) <= 1, word


def test_emphasis_lengthens_a_word_and_is_heard_as_prominence():
    speaker = make_speaker(7, 1)
    script = [
        ScriptWord("mountain", 0.25, 0.5),
        ScriptWord("mountain", 1.0, 0.5),
        ScriptWord("mountain", 0.25, 0.5),
    ]
    speech = time_script(script, speaker, random_state(3), 6.0)
    lengths = [word.end_s - word.start_s for word in speech.words]
    assert lengths[1] > max(lengths[0], lengths[2])
    talk = listen(speech, synthesise(speech, speaker, random_state(4)))
    loudest = max(talk.accents, key=lambda accent: accent.prominence)
    assert speech.words[1].start_s <= loudest.time_s < speech.words[1].end_s
    assert len(talk.phrases_s) == 3


def test_times_tile_words_and_sound_is_where_words_are():
    speaker, draw = make_speaker(7, 1), random_state(5)
    speech = time_script(write_script(draw, 12.0, speaker.rate), speaker, draw, 10.0)
    wave = synthesise(speech, speaker, draw)
    assert len(wave) == 10 * SAMPLE_RATE
    for number, word in enumerate(speech.words):
        inside = [phone for phone in speech.phones if phone.word == number]
        assert [phone.label for phone in inside] == list(LEXICON[word.text])
        assert inside[0].start_s == word.start_s
        assert inside[-1].end_s == word.end_s
        assert all(a.end_s == b.start_s for a, b in itertools.pairwise(inside))
    spoken = np.zeros(len(wave), bool)
    for word in speech.words:
        spoken[int((word.start_s - 0.03) * SAMPLE_RATE) : int((word.end_s + 0.04) * SAMPLE_RATE)] = True
    assert np.std(wave[~spoken]) < 0.02 * np.std(wave[spoken])
