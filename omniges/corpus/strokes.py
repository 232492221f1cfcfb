"""Which accents hands take up, and where the hands go for them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omniges.corpus.accents import Accent, Talk
from omniges.corpus.controls import Floats
from omniges.corpus.lexicon import SIGNS, GestureKind, Sign
from omniges.corpus.speakers import Speaker
from omniges.corpus.timeline import Key, bumps, minimum_jerk

STROKE_DELAY_S = 0.06
BETWEEN_STROKES_S = 0.80
RETRACT_GAP_S = 0.3
_BEAT = Sign("beat", (0.04, 0.14, 0.08), False, -0.5)
_REST_M = np.array([0.0, -0.18, -0.13])  # outward, up, forward of home
_LIVELY_M = np.array([0.05, 0.28, 0.05])  # home moves by this with the phrase's liveliness
_REACH = np.array([1.8, 2.0, 1.3])  # outward, up, forward: factors on the signs' reach
_READY_S, _APEX_S, _RETURN_S = 0.15, 0.14, 0.6
_TWIST: dict[GestureKind, float] = {
    "beat": 0.8,
    "iconic": 0.6,
    "deictic": -0.8,
    "emblem": -1.2,
    "metaphoric": 1.2,
}


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A planned gesture."""

    time_s: float
    strength: float  # 0 to 1
    word: str
    sign: Sign

    @property
    def hold_until_s(self) -> float:
        return self.time_s + _APEX_S + 0.10 + 0.16 * self.strength


def strokes(accents: tuple[Accent, ...]) -> tuple[Stroke, ...]:
    """Accents that hands have time for: strongest first, none within `BETWEEN_STROKES_S` of another."""
    chosen: list[Accent] = []
    for accent in sorted(accents, key=lambda a: (-a.prominence - 0.4 * (a.word in SIGNS), a.time_s)):
        if all(abs(accent.time_s - other.time_s) >= BETWEEN_STROKES_S for other in chosen):
            chosen.append(accent)
    chosen.sort(key=lambda a: a.time_s)
    return tuple(
        Stroke(
            time_s=a.time_s + STROKE_DELAY_S,
            strength=0.3 + 0.7 * a.prominence,
            word=a.word,
            sign=SIGNS.get(a.word, _BEAT),
        )
        for a in chosen
    )


@dataclass(frozen=True)
class Hand:
    """One hand's share of a speaker's strokes."""

    gestures: tuple[Stroke, ...]
    leads: NDArray[np.bool_]  # [strokes] this hand takes the stroke; else it joins in
    speaker: Speaker

    def weights(self, joining: float) -> Floats:
        """[strokes] size of each, where a hand that only joins in makes `joining` of it."""
        return self.speaker.amplitude * np.array(
            [
                g.strength * (1.0 if lead else 0.9 if g.sign.both else joining)
                for g, lead in zip(self.gestures, self.leads, strict=True)
            ]
        )

    def times_s(self) -> Floats:
        return np.array([gesture.time_s for gesture in self.gestures])

    def path(self, talk: Talk, times_s: Floats) -> Floats:
        """[T, 3] outward, up, forward in metres from the home of all."""
        home = np.asarray(self.speaker.home_m)
        weights = self.weights(self.speaker.both)
        keys: list[Key] = [(-1.0, home + _REST_M)]
        resting = True
        begins = [begin for begin, _ in talk.phrases_s]
        for (begin_s, end_s), next_s in zip(talk.phrases_s, [*begins[1:], np.inf], strict=True):
            here = home + _liveliness(talk, begin_s, end_s) * _LIVELY_M
            if resting:
                keys += [(begin_s - 0.5, home + _REST_M), (begin_s + 0.1, here)]
            else:
                keys.append((begin_s + 0.05, here))
            inside = [i for i, g in enumerate(self.gestures) if begin_s <= g.time_s - STROKE_DELAY_S < end_s]
            for i in inside:
                until_s = self.gestures[i + 1].time_s if i + 1 in inside else end_s + 1.0
                keys += _stroke_keys(self.gestures[i], weights[i], here, until_s)
            resting = next_s - end_s > RETRACT_GAP_S
            if resting:
                leave_s = max(end_s, self.gestures[inside[-1]].hold_until_s if inside else end_s) + 0.05
                keys += [(leave_s, keys[-1][1]), (leave_s + 0.65, home + _REST_M)]
        keys.append((max(times_s[-1], keys[-1][0]) + 2.0, keys[-1][1]))
        return minimum_jerk(keys, times_s)

    def flick(self, times_s: Floats) -> Floats:
        """[T] rad: the wrist goes back before the stroke and forth with it."""
        at_s, weight = self.times_s(), self.weights(0.4)
        return 0.55 * bumps(at_s - 0.10, weight, 0.06, times_s) - 0.75 * bumps(
            at_s + 0.05, weight, 0.07, times_s
        )

    def fist(self, times_s: Floats) -> Floats:
        """[T] -1 spread to 1 closed: the sign's shape at the stroke, a little of its opposite before."""
        at_s = self.times_s()
        weight = self.weights(0.3) * np.array([gesture.sign.fist for gesture in self.gestures])
        return bumps(at_s + 0.08, weight, 0.13, times_s) - 0.5 * bumps(at_s - 0.22, weight, 0.10, times_s)

    def twist(self, times_s: Floats) -> Floats:
        """[T] rad about the forearm."""
        weight = self.weights(0.4) * np.array([_TWIST[gesture.sign.kind] for gesture in self.gestures])
        return bumps(self.times_s() + 0.06, weight, 0.12, times_s)


def _liveliness(talk: Talk, begin_s: float, end_s: float) -> float:
    """-1 to 1: how much the accents of a phrase stand out."""
    inside = [a.prominence for a in talk.accents if begin_s <= a.time_s < end_s]
    return float(np.tanh(3.0 * (np.mean(inside) - 0.5))) if inside else 0.0


def _stroke_keys(gesture: Stroke, weight: float, home: Floats, next_s: float) -> list[Key]:
    """Ready, apex, hold, and home again if the next stroke leaves time for it."""
    reach = _REACH * weight * np.asarray(gesture.sign.reach_m)
    ready = home + 0.2 * reach + weight * np.array([0.0, -0.05, -0.02])
    keys = [
        (gesture.time_s - _READY_S, ready),
        (gesture.time_s + _APEX_S, home + reach),
        (gesture.hold_until_s, home + reach),
    ]
    back_s = gesture.hold_until_s + _RETURN_S
    if next_s - _READY_S - 0.25 > back_s:
        keys.append((back_s, home))
    return keys
