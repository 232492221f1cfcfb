"""From what is heard to what the body does: a plan without a single random choice.

Hands wait at home while a phrase lasts, drop to rest in long gaps, and stroke at accents: preparation, stroke
at vowel onset + 0.06 s, hold, back. Head, torso and brows follow the accents; the mouth follows the phones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omniges.corpus.accents import Accent, Talk
from omniges.corpus.controls import CHANNELS, INDEX, Floats, smooth
from omniges.corpus.lexicon import SIGNS, Sign
from omniges.corpus.phones import PHONES, base_phone
from omniges.corpus.speakers import Speaker

STROKE_DELAY_S = 0.06
BETWEEN_STROKES_S = 0.72
RETRACT_GAP_S = 0.3
_BEAT = Sign("beat", (0.03, 0.11, 0.08), False, -0.1)
_REST_M = (0.02, -0.17, -0.10)  # outward, up, forward of home


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A planned gesture."""

    time_s: float
    strength: float  # 0 to 1
    word: str
    sign: Sign


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
            strength=0.35 + 0.65 * a.prominence,
            word=a.word,
            sign=SIGNS.get(a.word, _BEAT),
        )
        for a in chosen
    )


def plan(talk: Talk, speaker: Speaker, flips: Floats, n_frames: int, fps: float) -> Floats:
    """Controls of one talk.

    Args:
        talk: what is heard.
        speaker: style.
        flips: [at least as many as strokes] +1, or -1 where the other hand takes the stroke.
        n_frames: T.
        fps: frames a second.
    Returns:
        [T, C], C = len(CHANNELS).
    """
    times_s: Floats = (np.arange(n_frames) + 0.5) / fps
    controls = np.zeros((n_frames, len(CHANNELS)))
    gestures = strokes(talk.accents)
    for side, sign in (("right", 1.0), ("left", -1.0)):
        leads = flips[: len(gestures)] * speaker.leading * sign > 0
        columns = [INDEX[f"{side}_{axis}"] for axis in ("out", "up", "front")]
        controls[:, columns] = _hand_path(talk, gestures, leads, speaker, times_s)
        controls[:, INDEX[f"{side}_flick"]] = _flicks(gestures, leads, speaker, times_s)
        controls[:, INDEX[f"{side}_fist"]] = _fist(gestures, leads, speaker, times_s)
        controls[:, INDEX[f"{side}_twist"]] = (
            0.5 * controls[:, INDEX[f"{side}_fist"]] - 1.2 * controls[:, columns[1]]
        )
    _head_and_torso(controls, talk, gestures, speaker, times_s)
    _face(controls, talk, speaker, times_s, fps)
    return controls


def _hand_path(
    talk: Talk, gestures: tuple[Stroke, ...], leads: NDArray[np.bool_], speaker: Speaker, times_s: Floats
) -> Floats:
    """[T, 3] outward, up, forward in metres: minimum-jerk moves between key positions."""
    home = np.asarray(speaker.home_m)
    keys: list[tuple[float, Floats]] = [(-1.0, home + _REST_M)]
    for (begin_s, end_s), next_s in zip(
        talk.phrases_s, [*(b for b, _ in talk.phrases_s[1:]), np.inf], strict=True
    ):
        if keys[-1][1][1] < home[1] - 0.1:
            keys += [(begin_s - 0.35, home + _REST_M), (begin_s + 0.05, home)]
        for gesture, leading in zip(gestures, leads, strict=True):
            if begin_s - 0.01 <= gesture.time_s - STROKE_DELAY_S < end_s + 0.01:
                keys += _stroke_keys(gesture, bool(leading), speaker, home)
        if next_s - end_s > RETRACT_GAP_S:
            keys += [(end_s + 0.10, home), (end_s + 0.55, home + _REST_M)]
    keys.append((times_s[-1] + 2.0, keys[-1][1]))
    return _minimum_jerk(keys, times_s)


def _stroke_keys(
    gesture: Stroke, leading: bool, speaker: Speaker, home: Floats
) -> list[tuple[float, Floats]]:
    weight = (
        speaker.amplitude
        * gesture.strength
        * (1.0 if leading else (0.9 if gesture.sign.both else speaker.both * 0.5))
    )
    reach = weight * np.asarray(gesture.sign.reach_m)
    ready = home + 0.25 * reach + weight * np.array([0.0, 0.05, -0.02])
    time_s = gesture.time_s
    hold_s = 0.08 + 0.14 * gesture.strength
    return [
        (time_s - 0.28, home),
        (time_s - 0.10, ready),
        (time_s + 0.10, home + reach),
        (time_s + 0.10 + hold_s, home + reach),
        (time_s + 0.42 + hold_s, home),
    ]


def _minimum_jerk(keys: list[tuple[float, Floats]], times_s: Floats) -> Floats:
    """[T, 3] through the keys in order of time (a key that comes before its predecessor is dropped)."""
    kept = [keys[0]]
    for key in keys[1:]:
        if key[0] <= kept[-1][0] + 0.06:
            kept[-1] = (kept[-1][0], key[1])
        else:
            kept.append(key)
    when = np.array([time for time, _ in kept])
    where = np.stack([position for _, position in kept])
    left = np.clip(np.searchsorted(when, times_s, side="right") - 1, 0, len(when) - 2)
    u = np.clip((times_s - when[left]) / (when[left + 1] - when[left]), 0.0, 1.0)
    ease = u**3 * (10 - 15 * u + 6 * u**2)
    return np.asarray(where[left] + ease[:, None] * (where[left + 1] - where[left]))


def _bumps(at_s: Floats, weight: Floats, width_s: float, times_s: Floats) -> Floats:
    """[T] sum of Gaussian bumps."""
    if not len(at_s):
        return np.zeros(len(times_s))
    return np.asarray(np.exp(-0.5 * ((times_s[:, None] - at_s) / width_s) ** 2) @ weight)


def _flicks(
    gestures: tuple[Stroke, ...], leads: NDArray[np.bool_], speaker: Speaker, times_s: Floats
) -> Floats:
    at_s = np.array([gesture.time_s for gesture in gestures])
    weight = np.array(
        [g.strength * (1.0 if lead or g.sign.both else 0.4) for g, lead in zip(gestures, leads, strict=True)]
    )
    back, forth = _bumps(at_s - 0.10, weight, 0.06, times_s), _bumps(at_s + 0.04, weight, 0.07, times_s)
    return speaker.amplitude * (0.55 * back - 0.75 * forth)


def _fist(
    gestures: tuple[Stroke, ...], leads: NDArray[np.bool_], speaker: Speaker, times_s: Floats
) -> Floats:
    at_s = np.array([gesture.time_s + 0.1 for gesture in gestures])
    weight = np.array(
        [
            g.strength * g.sign.fist * (1.0 if lead or g.sign.both else 0.3)
            for g, lead in zip(gestures, leads, strict=True)
        ]
    )
    return speaker.amplitude * _bumps(at_s, weight, 0.18, times_s)


def _head_and_torso(
    controls: Floats, talk: Talk, gestures: tuple[Stroke, ...], speaker: Speaker, times_s: Floats
) -> None:
    at_s = np.array([accent.time_s + 0.08 for accent in talk.accents])
    weight = np.array([accent.prominence for accent in talk.accents])
    nod = _bumps(at_s, weight, 0.11, times_s)
    aside = np.array([g.sign.reach_m[0] * g.strength for g in gestures])
    turn = _bumps(np.array([g.time_s for g in gestures]), aside, 0.35, times_s) * speaker.leading
    speaking = _speaking(talk, times_s)
    controls[:, INDEX["head_pitch"]] = speaker.nod * (0.10 * nod - 0.05 * speaking)
    controls[:, INDEX["head_yaw"]] = -speaker.nod * 0.6 * turn
    controls[:, INDEX["head_roll"]] = speaker.nod * 0.25 * turn
    controls[:, INDEX["torso_pitch"]] = speaker.amplitude * (
        0.04 * speaking + 0.02 * _bumps(at_s, weight, 0.3, times_s)
    )
    controls[:, INDEX["torso_yaw"]] = -speaker.amplitude * 0.35 * turn
    controls[:, INDEX["torso_roll"]] = speaker.amplitude * 0.12 * turn
    controls[:, INDEX["shrug"]] = speaker.amplitude * 0.06 * _bumps(at_s, weight, 0.2, times_s)


def _speaking(talk: Talk, times_s: Floats) -> Floats:
    """[T] 1 within phrases, 0 in gaps, with soft edges."""
    out = np.zeros(len(times_s))
    for begin_s, end_s in talk.phrases_s:
        out += 0.5 * (np.tanh((times_s - begin_s + 0.05) / 0.12) - np.tanh((times_s - end_s - 0.15) / 0.15))
    return out


def _face(controls: Floats, talk: Talk, speaker: Speaker, times_s: Floats, fps: float) -> None:
    shapes = ("jaw", "spread", "rounded", "closed", "teeth")
    edges, rows = [0.0], [np.zeros(len(shapes))]
    for spoken in talk.speech.phones:
        phone = PHONES[base_phone(spoken.label)]
        edges += [spoken.start_s, spoken.end_s]
        rows += [np.array([getattr(phone, shape) for shape in shapes]), np.zeros(len(shapes))]
    mouth = _frame_means(np.array(edges), np.stack(rows), times_s, fps)
    loud = np.interp(times_s, (np.arange(len(talk.loudness)) + 0.5) / 100, smooth(talk.loudness, 0.06, 100.0))
    mouth[:, 0] *= 0.45 + 0.75 * loud
    mouth = smooth(mouth, 0.055, fps)
    controls[:, [INDEX[shape] for shape in shapes]] = speaker.face * mouth
    at_s = np.array([accent.time_s for accent in talk.accents])
    weight = np.array([accent.prominence for accent in talk.accents])
    speaking = _speaking(talk, times_s)
    controls[:, INDEX["brow"]] = speaker.face * (
        0.8 * _bumps(at_s, weight**2, 0.18, times_s) + 0.2 * speaking
    )
    controls[:, INDEX["smile"]] = speaker.face * smooth(speaking, 0.25, fps)
    controls[:, INDEX["squint"]] = speaker.face * 0.6 * _bumps(at_s + 0.1, weight, 0.3, times_s)


def _frame_means(edges_s: Floats, rows: Floats, times_s: Floats, fps: float) -> Floats:
    """[T, S] mean over each frame of a function that is `rows[i]` from `edges_s[i]` to the next edge."""
    ends = np.append(edges_s[1:], max(edges_s[-1], times_s[-1] + 1.0))
    area = np.vstack([np.zeros(rows.shape[1]), np.cumsum(rows * (ends - edges_s)[:, None], axis=0)])
    knots = np.append(edges_s, ends[-1])
    borders = np.append(times_s - 0.5 / fps, times_s[-1] + 0.5 / fps)
    total = np.column_stack([np.interp(borders, knots, area[:, i]) for i in range(rows.shape[1])])
    return np.diff(total, axis=0) * fps
