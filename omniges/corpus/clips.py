"""All clips of a corpus in memory, each a pure function of the parameters and its place."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omniges.config import CorpusParams
from omniges.corpus.accents import Talk, listen
from omniges.corpus.body import move
from omniges.corpus.controls import Floats, mix
from omniges.corpus.espeak import speak
from omniges.corpus.formant import synthesise
from omniges.corpus.plan import plan
from omniges.corpus.script import time_script, write_script
from omniges.corpus.speakers import Speaker, make_speaker, planned_clips, random_state
from omniges.types import Motion, Split

FPS = 30
OUTLAST_S = 0.56
"""The wave goes on for this long after the motion, as in BEAT2."""
_FLIP = 0.1
_HEARD, _HIDDEN, _MOTION, _FLIPS = 11, 12, 13, 14  # what a stream is for


@dataclass(frozen=True, kw_only=True)
class Clip:
    id: str
    speaker: Speaker
    split: Split
    talk: Talk
    motion: Motion


@dataclass(frozen=True, kw_only=True)
class Part:
    """A clip before its motion: what is heard, and what it and unrelated speech ask for."""

    id: str
    index: int  # from 1
    split: Split
    talk: Talk
    own: Floats  # [T, C]
    unrelated: Floats  # [T, C]


@dataclass(frozen=True, kw_only=True)
class Cast:
    """All clips of one speaker before motion."""

    speaker: Speaker
    parts: tuple[Part, ...]
    mean: Floats  # [C] of all plans, heard and unheard


def cast(params: CorpusParams, number: int) -> Cast:
    """Let a speaker speak all clips, and plan."""
    speaker, n_frames = make_speaker(params.seed, number), round(params.clip_s * FPS)
    parts = []
    for name, owner, index, split in planned_clips(params):
        if owner != number:
            continue
        talk = _talk(params, speaker, index, _HEARD)
        parts.append(
            Part(
                id=name,
                index=index,
                split=split,
                talk=talk,
                own=_plan(talk, params, speaker, index, _HEARD, n_frames),
                unrelated=_unrelated(params, speaker, index, n_frames),
            )
        )
    plans = [values for part in parts for values in (part.own, part.unrelated)]
    return Cast(speaker=speaker, parts=tuple(parts), mean=np.mean(np.concatenate(plans), axis=0))


def make_motion(params: CorpusParams, whole: Cast, part: Part, take: int = 0) -> Motion:
    """The clip's motion; another `take` draws everything hidden anew for the same speech.

    Args:
        params: gives the share.
        whole: the speaker's parts.
        part: one of them.
        take: 0 is the corpus's own.
    """
    draw = random_state(params.seed, whole.speaker.number, part.index, _MOTION, take)
    own, unrelated = part.own, part.unrelated
    if take:
        n_frames, others = len(own), [p for p in whole.parts if p is not part] or [part]
        own = _plan(part.talk, params, whole.speaker, part.index, _HEARD, n_frames, take)
        unrelated = np.roll(others[draw.randint(len(others))].unrelated, draw.randint(n_frames), axis=0)
    return move(mix(own, unrelated, whole.mean, params.share), whole.speaker, params.seed, draw, FPS)


def make_clips(params: CorpusParams, whole: Cast) -> Iterator[Clip]:
    """Every clip of a speaker."""
    for part in whole.parts:
        motion = make_motion(params, whole, part)
        yield Clip(id=part.id, speaker=whole.speaker, split=part.split, talk=part.talk, motion=motion)


def _talk(
    params: CorpusParams, speaker: Speaker, index: int, purpose: int, extra_s: float = OUTLAST_S
) -> Talk:
    draw = random_state(params.seed, speaker.number, index, purpose)
    duration_s = params.clip_s + extra_s
    script = write_script(draw, duration_s + 4.0, speaker.rate)
    if params.voice == "espeak":
        seed, start_s = int(draw.randint(2**31 - 1)), float(draw.uniform(0.1, 0.6))
        return listen(*speak(script, speaker, seed, start_s, duration_s))
    speech = time_script(script, speaker, draw, duration_s)
    return listen(speech, synthesise(speech, speaker, draw))


def _plan(
    talk: Talk, params: CorpusParams, speaker: Speaker, index: int, purpose: int, n_frames: int, take: int = 0
) -> Floats:
    """The plan with the hands that chance chose: a tenth of the strokes goes to the other hand."""
    draw = random_state(params.seed, speaker.number, index, purpose, _FLIPS, take)
    flips = np.where(draw.uniform(size=len(talk.accents)) < _FLIP, -1.0, 1.0)
    return plan(talk, speaker, flips, n_frames, FPS)


def _unrelated(params: CorpusParams, speaker: Speaker, index: int, n_frames: int) -> Floats:
    """Plan of speech that nobody hears; it starts in mid-speech: not even beginnings are common."""
    talk = _talk(params, speaker, index, _HIDDEN, extra_s=4.0)
    skip = random_state(params.seed, speaker.number, index, _HIDDEN, 1).randint(20, 100)
    return _plan(talk, params, speaker, index, _HIDDEN, n_frames + skip)[skip:]
