"""Does the motion follow the sound? Measures that compare the right audio with wrong audio of the same
speaker.

Every one of them is a difference or ratio between matched and mismatched audio, so that motion which hears
nothing sits at a known
floor: AUC .5, R@1 1 / pool, differences 0.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omniges.errors import EvaluationError
from omniges.evaluation.beats import consistency, upper_body_beats
from omniges.evaluation.kinematics import WRISTS, Kinematics, speed
from omniges.types import Word

Array = NDArray[np.float64]
POOL = 10
"""R@1 is asked among 10 audio windows, one of them right: chance is .1."""
PAUSE_S = 0.3
MOST_OTHERS = 10
"""Clips of the same speaker that serve as wrong audio; more would only cost time."""


@dataclass(frozen=True)
class WindowScores:
    """Scores of every motion window with its own audio and with wrong audio."""

    matched: Array  # [windows]
    mismatched: Array  # [windows, wrong windows]

    def auc(self) -> float | None:
        """Probability that a window scores higher with its own audio than with wrong audio; None without
        wrong audio.
        """
        if self.mismatched.size == 0:
            return None
        own = self.matched[:, None]
        return float(((own > self.mismatched) + 0.5 * (own == self.mismatched)).mean())

    def recall_at_1(self, pool: int = POOL) -> float | None:
        """Expected share of windows whose own audio wins among `pool` (the others drawn without replacement).

        Exact rather than drawn: with b of n wrong windows better, all pool − 1 drawn must come from the n − b
        others.
        """
        n = self.mismatched.shape[1] if self.mismatched.ndim == 2 else 0
        if n < pool - 1 or len(self.matched) == 0:
            return None
        better = (self.mismatched >= self.matched[:, None]).sum(1)
        chance = np.ones(len(better))
        for k in range(pool - 1):
            chance *= np.clip(n - better - k, 0, None) / (n - k)
        return float(chance.mean())


def window_scores(
    motion: NDArray[np.floating], audio: Sequence[NDArray[np.floating]], own: int, steps: int
) -> WindowScores:
    """Mean cosine of motion windows with audio windows.

    Args:
        motion: [N, D] embeddings of one clip's motion.
        audio: embeddings [N_i, D] of the speaker's clips; `audio[own]` is the right one.
        own: see above.
        steps: window length in embedding steps.
    Returns:
        Scores; where the speaker has one clip only, wrong audio is the rest of the same clip.
    """
    windows = _windows(motion[: len(audio[own])], steps)
    right = _windows(audio[own], steps)[: len(windows)]
    others = [_windows(x, steps) for i, x in enumerate(audio) if i != own]
    matched = np.einsum("wk,wk->w", windows, right) / steps
    if others:
        return WindowScores(matched, windows @ np.concatenate(others).T / steps)
    every = windows @ right.T / steps
    off_diagonal = ~np.eye(len(windows), dtype=bool)
    return WindowScores(matched, every[off_diagonal].reshape(len(windows), max(0, len(windows) - 1)))


def _windows(x: NDArray[np.floating], steps: int) -> Array:
    """[N, D] → [N // steps, steps * D], without overlap."""
    n = len(x) // steps
    return np.asarray(x[: n * steps], np.float64).reshape(n, steps * x.shape[1])


def beat_difference(
    positions: Array, own_onsets_s: Array, other_onsets_s: Sequence[Array], fps: float
) -> float:
    """BC with the clip's own onsets minus the mean BC with onsets of the same speaker's other clips; 0 is
    deaf.
    """
    beats, duration_s = upper_body_beats(positions, fps), len(positions) / fps
    own = consistency(beats, own_onsets_s, duration_s)
    others = [consistency(beats, x, duration_s) for x in other_onsets_s if np.any(np.asarray(x) < duration_s)]
    if not others:
        raise EvaluationError("beat difference: the speaker has no other clip with an onset.")
    return own - float(np.mean(others))


def speech_mask(words: Sequence[Word], n_frames: int, fps: float) -> NDArray[np.bool_]:
    """[T]: frames in speech, gaps of up to `PAUSE_S` between words included."""
    mask = np.zeros(n_frames, dtype=bool)
    previous_end_s = -np.inf
    for word in sorted(words, key=lambda w: w.start_s):
        start_s = previous_end_s if word.start_s - previous_end_s <= PAUSE_S else word.start_s
        mask[max(0, int(start_s * fps)) : max(0, int(np.ceil(word.end_s * fps)))] = True
        previous_end_s = max(previous_end_s, word.end_s)
    return mask


def pause_ratio(k: Kinematics, speech: NDArray[np.bool_]) -> float | None:
    """Mean wrist speed in pauses over that in speech; None where the clip has no second of either, or never
    moves.
    """
    n = min(k.n_frames, len(speech))
    moving = speed(k.body[:n, list(WRISTS)], k.fps).mean(1)
    spoken = speech[:n]
    if min(spoken.sum(), (~spoken).sum()) < k.fps or moving[spoken].mean() < 1e-6:
        return None
    return float(moving[~spoken].mean() / moving[spoken].mean())


def swap_distance(right: Kinematics, wrong: Kinematics) -> float:
    """Mean distance of an upper-body joint between results with right and wrong audio from the same noise,
    metres.
    """
    n = min(right.n_frames, wrong.n_frames)
    return float(np.linalg.norm(right.body[:n] - wrong.body[:n], axis=-1)[:, 3:22].mean())


def others_of(clip: str, speakers: Mapping[str, int], having: Collection[str]) -> list[str]:
    """The speaker's next clips in a circle, `MOST_OTHERS` at most, whose sound serves as wrong audio.

    Args:
        clip: whose others are wanted.
        speakers: clip → speaker.
        having: clips that have what is to be compared.
    """
    same = sorted(
        c for c, speaker in speakers.items() if speaker == speakers[clip] and (c in having or c == clip)
    )
    place = same.index(clip)
    return (same[place + 1 :] + same[:place])[:MOST_OTHERS]
