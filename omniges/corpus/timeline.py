"""Curves over the frames of a clip: moves between key positions, bumps, means of step functions."""

import numpy as np

from omniges.corpus.accents import Talk
from omniges.corpus.controls import Floats

Key = tuple[float, Floats]
"""Time in seconds and the position wanted then."""

_SHORTEST_MOVE_S = 0.12


def minimum_jerk(keys: list[Key], times_s: Floats) -> Floats:
    """[T, D] through the keys; one that comes too soon after its predecessor takes its place.

    Args:
        keys: at least two, roughly in order of time.
        times_s: [T].
    """
    kept = [keys[0]]
    for key in keys[1:]:
        if key[0] < kept[-1][0] + _SHORTEST_MOVE_S:
            kept[-1] = (kept[-1][0], key[1])
        else:
            kept.append(key)
    when = np.array([time for time, _ in kept])
    where = np.stack([position for _, position in kept])
    left = np.clip(np.searchsorted(when, times_s, side="right") - 1, 0, len(when) - 2)
    u = np.clip((times_s - when[left]) / (when[left + 1] - when[left]), 0.0, 1.0)
    ease = u**3 * (10 - 15 * u + 6 * u**2)
    return np.asarray(where[left] + ease[:, None] * (where[left + 1] - where[left]))


def bumps(at_s: Floats, weight: Floats, width_s: float, times_s: Floats) -> Floats:
    """[T] sum of Gaussian bumps with these centres, heights and standard deviation."""
    if not len(at_s):
        return np.zeros(len(times_s))
    return np.asarray(np.exp(-0.5 * ((times_s[:, None] - at_s) / width_s) ** 2) @ weight)


def speaking(talk: Talk, times_s: Floats) -> Floats:
    """[T] 1 within phrases, 0 in gaps, with soft edges."""
    out = np.zeros(len(times_s))
    for begin_s, end_s in talk.phrases_s:
        out += 0.5 * (np.tanh((times_s - begin_s + 0.05) / 0.12) - np.tanh((times_s - end_s - 0.15) / 0.15))
    return out


def frame_means(edges_s: Floats, rows: Floats, times_s: Floats, fps: float) -> Floats:
    """[T, S] mean over each frame of a function that is `rows[i]` from `edges_s[i]` to the next edge."""
    ends = np.append(edges_s[1:], max(edges_s[-1], times_s[-1] + 1.0))
    area = np.vstack([np.zeros(rows.shape[1]), np.cumsum(rows * (ends - edges_s)[:, None], axis=0)])
    knots = np.append(edges_s, ends[-1])
    borders = np.append(times_s - 0.5 / fps, times_s[-1] + 0.5 / fps)
    total = np.column_stack([np.interp(borders, knots, area[:, i]) for i in range(rows.shape[1])])
    return np.asarray(np.diff(total, axis=0) * fps)
