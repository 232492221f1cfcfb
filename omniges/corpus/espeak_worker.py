"""Speaks phrases with espeak-ng in a process of its own and prints samples and events as JSON.

A process for each clip: the library (GPL-3, the optional extra `speech`) keeps state between utterances, so
only a fresh one gives the same bytes again. Run by `omniges.corpus.espeak`, not by people.
"""

import base64
import ctypes
import json
import sys
from typing import Any

_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8, _SSML = 2, 1, 1, 0x10
_RATE, _PITCH = 1, 3
_WORD, _PHONEME = 1, 7


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h; the last field is a union, read as up to 8 characters."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _checked(code: int, what: str) -> None:
    if code != 0:
        raise RuntimeError(f"espeak-ng: {what} returned {code}, wanted 0")


def speak(job: dict[str, Any]) -> dict[str, Any]:
    """Speak each phrase of a job.

    Samples are base64 int16; an event is (word or phone, sample from the phrase's start, phoneme).
    """
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    samples, events = bytearray(), []

    @_CALLBACK
    def receive(wave: Any, count: int, found: Any) -> int:
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, 2 * count))
        at = 0
        while found[at].type != 0:
            if found[at].type in (_WORD, _PHONEME):
                name = found[at].string.decode("utf-8") if found[at].type == _PHONEME else ""
                events.append(("phone" if found[at].type == _PHONEME else "word", found[at].sample, name))
            at += 1
        return 0

    data = str(espeakng_loader.get_data_path()).encode()
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
    if rate_hz <= 0:
        raise RuntimeError(f"espeak-ng: espeak_Initialize returned {rate_hz}, wanted a sample rate")
    library.espeak_SetSynthCallback(receive)
    _checked(library.espeak_ng_SetRandSeed(ctypes.c_long(job["seed"])), "espeak_ng_SetRandSeed")
    _checked(library.espeak_SetVoiceByName(job["voice"].encode()), f"voice {job['voice']}")
    _checked(library.espeak_SetParameter(_RATE, job["rate"], 0), "rate")
    _checked(library.espeak_SetParameter(_PITCH, job["pitch"], 0), "pitch")
    phrases = []
    for text in job["phrases"]:
        samples.clear()
        events.clear()
        raw = text.encode() + b"\0"
        _checked(library.espeak_Synth(raw, len(raw), 0, 1, 0, _UTF8 | _SSML, None, None), "espeak_Synth")
        phrases.append({"samples": base64.b64encode(bytes(samples)).decode(), "events": list(events)})
    return {"rate_hz": rate_hz, "phrases": phrases}


if __name__ == "__main__":
    json.dump(speak(json.load(sys.stdin)), sys.stdout)
