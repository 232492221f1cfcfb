"""A contrastive scorer trained on the spot, for results that are scored against a bare BEAT2 tree."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from omniges.audio.spectrum import TOP_DB, log_mel_blocks
from omniges.config import ScorerParams
from omniges.data.clips import speaker_of
from omniges.errors import DataError, EvaluationError
from omniges.evaluation import scorer as scorers
from omniges.evaluation.embedder import state_hash
from omniges.evaluation.scorer import Pair, Scorer
from omniges.features.mfcc import MelSpool, mfcc_frames
from omniges.log import progress
from omniges.motion.features import motion_to_features
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion

logger = logging.getLogger(__name__)
TRAINING = ScorerParams(seed=23, steps=200, batch=32, window_s=2.0, width=64, lr=1e-3)
N_MFCC, WINDOW, HOP_S = 128, 1024, 0.01  # as in params.yaml's section `mfcc`
FEWEST_CLIPS = 4
"""Of fewer train clips with sound no scorer can learn what belongs together."""


def mfcc_of_wave(wave: NDArray[np.float32], n_frames: int, fps: float) -> NDArray[np.float32]:
    """[T, 128] of a wave [N] at 16 kHz, T = `n_frames` at most as many as the sound has."""
    n = min(n_frames, int(len(wave) / SAMPLE_RATE * fps))
    hop = round(HOP_S * SAMPLE_RATE)
    mel = log_mel_blocks([wave], sample_rate=SAMPLE_RATE, n_fft=WINDOW, hop=hop, n_mels=N_MFCC)
    with MelSpool(mel) as spool:
        blocks = mfcc_frames(spool, n, n_mfcc=N_MFCC, top_db=TOP_DB, hop_s=HOP_S, fps=fps)
        return np.concatenate(list(blocks)).astype(np.float32)


def train_own(
    train: Mapping[str, Motion], wave_of: Callable[[str], NDArray[np.float32]]
) -> tuple[Scorer | None, str]:
    """A scorer trained on a tree's train clips; or None, and why there is none.

    Args:
        train: clip → motion.
        wave_of: clip → [N] at 16 kHz.
    """
    fps = {motion.fps for motion in train.values()}
    if len(fps) > 1:
        return None, f"no listening scorer: the train clips have {len(fps)} different frame rates"
    pairs: dict[int, list[Pair]] = {}
    for clip, motion in progress(train.items(), "hearing train clips", total=len(train)):
        try:
            mfcc = mfcc_of_wave(wave_of(clip), motion.n_frames, motion.fps)
        except DataError as error:
            logger.debug("%s: no sound for the scorer: %s", clip, error)
            continue
        values = motion_to_features(motion).values[: len(mfcc), scorers.CHANNELS]
        pairs.setdefault(speaker_of(clip), []).append((mfcc, np.ascontiguousarray(values, np.float32)))
    count = sum(len(x) for x in pairs.values())
    if count < FEWEST_CLIPS:
        return None, f"no listening scorer: {count} train clips with sound, wanted at least {FEWEST_CLIPS}"
    try:
        scorer, _ = scorers.train(pairs, {}, TRAINING, fps.pop())
    except EvaluationError as error:
        return None, f"no listening scorer: {error}"
    return replace(scorer, hash=state_hash(scorer.network)), ""
