"""From what is heard to what the body does: a plan without a single random choice.

Hands wait at home while a phrase lasts, drop to rest in long gaps, and stroke at accents: preparation, stroke
at vowel onset + 0.06 s, hold, back. Head, torso and brows follow the accents; the mouth follows the phones.
"""

import numpy as np

from omniges.corpus.accents import Talk
from omniges.corpus.controls import CHANNELS, INDEX, Floats, smooth
from omniges.corpus.phones import PHONES, base_phone
from omniges.corpus.speakers import Speaker
from omniges.corpus.strokes import Hand, Stroke, strokes
from omniges.corpus.timeline import bumps, frame_means, speaking

_LIPS = ("jaw", "spread", "rounded", "closed", "teeth")


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
        hand = Hand(gestures, flips[: len(gestures)] * speaker.leading * sign > 0, speaker)
        controls[:, [INDEX[f"{side}_{axis}"] for axis in ("out", "up", "front")]] = hand.path(talk, times_s)
        controls[:, INDEX[f"{side}_flick"]] = hand.flick(times_s)
        controls[:, INDEX[f"{side}_fist"]] = hand.fist(times_s)
        controls[:, INDEX[f"{side}_twist"]] = hand.twist(times_s)
    _head_and_torso(controls, talk, gestures, speaker, times_s)
    _mouth(controls, talk, speaker, times_s, fps)
    _upper_face(controls, talk, speaker, times_s, fps)
    return controls


def _head_and_torso(
    controls: Floats, talk: Talk, gestures: tuple[Stroke, ...], speaker: Speaker, times_s: Floats
) -> None:
    at_s = np.array([accent.time_s + 0.08 for accent in talk.accents])
    weight = np.array([accent.prominence for accent in talk.accents])
    aside = np.array([g.sign.reach_m[0] * g.strength for g in gestures])
    turn = bumps(np.array([g.time_s for g in gestures]), aside, 0.35, times_s) * speaker.leading
    on = speaking(talk, times_s)
    lively = bumps(at_s, weight, 0.3, times_s)
    controls[:, INDEX["head_pitch"]] = speaker.nod * (0.30 * bumps(at_s, weight, 0.11, times_s) - 0.17 * on)
    controls[:, INDEX["head_yaw"]] = -speaker.nod * 1.8 * turn
    controls[:, INDEX["head_roll"]] = speaker.nod * 1.1 * turn
    controls[:, INDEX["torso_pitch"]] = speaker.amplitude * (0.12 * on + 0.08 * lively)
    controls[:, INDEX["torso_yaw"]] = -speaker.amplitude * 1.3 * turn
    controls[:, INDEX["torso_roll"]] = speaker.amplitude * 0.7 * turn
    controls[:, INDEX["shrug"]] = speaker.amplitude * 0.10 * lively


def _mouth(controls: Floats, talk: Talk, speaker: Speaker, times_s: Floats, fps: float) -> None:
    edges, rows = [0.0], [np.zeros(len(_LIPS))]
    for spoken in talk.speech.phones:
        phone = PHONES[base_phone(spoken.label)]
        edges += [spoken.start_s, spoken.end_s]
        rows += [np.array([getattr(phone, shape) for shape in _LIPS]), np.zeros(len(_LIPS))]
    mouth = frame_means(np.array(edges), np.stack(rows), times_s, fps)
    loud = np.interp(times_s, (np.arange(len(talk.loudness)) + 0.5) / 100, smooth(talk.loudness, 0.05, 100.0))
    mouth[:, 0] *= 0.45 + 0.75 * loud
    controls[:, [INDEX[shape] for shape in _LIPS]] = speaker.face * smooth(mouth, 0.032, fps)


def _upper_face(controls: Floats, talk: Talk, speaker: Speaker, times_s: Floats, fps: float) -> None:
    at_s = np.array([accent.time_s for accent in talk.accents])
    weight = np.array([accent.prominence for accent in talk.accents])
    on = speaking(talk, times_s)
    controls[:, INDEX["brow"]] = speaker.face * (0.8 * bumps(at_s, weight**2, 0.18, times_s) + 0.2 * on)
    controls[:, INDEX["smile"]] = speaker.face * smooth(on, 0.25, fps)
    controls[:, INDEX["squint"]] = speaker.face * 0.6 * bumps(at_s + 0.1, weight, 0.3, times_s)
