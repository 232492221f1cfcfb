"""Stage `baselines`: what the model is held against, written as BEAT2 npz, one folder each, for every test
clip.

ground-truth    the clip itself, through the same features as everything else
reconstruction  through the tokenizers and back; jaw and eyes, which no tokenizer holds, rest at the speaker's
                mean
mean-pose       the speaker's mean train pose, standing still
random-clip     a train clip of the same speaker, drawn blindly
nearest-audio   pieces of the speaker's train clips whose sound is nearest, blended over a few frames
regression      what a small convolution net makes of the sound, trained here on the train split; as a mean,
                it moves too little
smooth-noise    the mean pose plus low-passed noise of the train split's spread: moves like nobody, hears
                nothing

The latent flow, about as large as the model, has stages of its own: `latent_train` and `latent_generate`.
"""

import logging
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from omniges.config import Params
from omniges.data.beat2 import write_motion
from omniges.data.clips import ClipRecord
from omniges.errors import EvaluationError
from omniges.evaluation import regression
from omniges.evaluation.sources import clips_of, mfcc_of, motion_of, result_path
from omniges.files import atomic_folder
from omniges.log import progress
from omniges.motion.features import Features, features_from_gesture, features_to_motion, gesture_from_features
from omniges.motion.layout import FRAMES_PER_CODE, TRANS_SLICE
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.types import Motion
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)
NAMES = (
    *("ground-truth", "reconstruction", "mean-pose", "random-clip"),
    *("nearest-audio", "regression", "smooth-noise"),
)
LATENT_FLOW = "latent-flow"
PIECE_S = 2.0
BLEND_FRAMES = 6
NOISE_CUTOFF_HZ = 1.0


@dataclass
class Speaker:
    """A speaker's train clips, in memory."""

    clips: list[str] = field(default_factory=list)
    motion: list[Features] = field(default_factory=list)
    mfcc: list[NDArray[np.float32]] = field(default_factory=list)

    def channels(self) -> NDArray[np.float32]:
        """[N, 442]: features and side of all frames, joined."""
        return np.concatenate([joined(x) for x in self.motion])

    def takes(self) -> list[regression.Take]:
        """Every clip, as the regression wants it."""
        return [regression.Take(mfcc=a, features=m) for a, m in zip(self.mfcc, self.motion, strict=True)]


def folder(W: Workspace, name: str) -> Path:
    """Where a baseline's results lie."""
    return W.latent_flow.generated if name == LATENT_FLOW else W.data / "baselines" / name


def names(params: Params) -> tuple[str, ...]:
    """The baselines that the parameters ask for."""
    return (*NAMES, LATENT_FLOW) if params.baselines.latent_flow.train else NAMES


def run(params: Params, W: Workspace) -> None:
    """Write every baseline for every test clip."""
    test = clips_of(W, "test")
    speakers = {number: read_speaker(W, number) for number in sorted({clip.speaker for clip in test})}
    tokenizer = GestureTokenizer.load(W)
    takes = {number: speaker.takes() for number, speaker in speakers.items()}
    regressor = regression.train(takes, params.baselines.regression)
    fps = float(params.data.fps)
    with atomic_folder(W.data / "baselines") as target:
        for clip in progress(test, "making baselines"):
            truth, mfcc = motion_of(W, clip.id), mfcc_of(W, clip.id)
            rng = np.random.default_rng([params.evaluate.seed, zlib.crc32(clip.id.encode())])
            made = make(clip, truth, mfcc, speakers[clip.speaker], tokenizer, rng, fps)
            predicted = regressor.predict(mfcc[: len(truth.values)], clip.speaker)
            made["regression"] = as_motion(predicted, truth.origin, fps)
            for name, motion in made.items():
                (target / name).mkdir(exist_ok=True)
                write_motion(result_path(target / name, clip.id), motion)


def read_speaker(W: Workspace, number: int) -> Speaker:
    """Load a speaker's train clips; where there are none, everybody's."""
    train = clips_of(W, "train")
    own = [clip for clip in train if clip.speaker == number]
    if not own:
        logger.warning(
            "baselines: speaker %d has no train clip; the baselines use all %d train clips",
            number,
            len(train),
        )
    speaker = Speaker()
    for clip in own or train:
        speaker.clips.append(clip.id)
        speaker.motion.append(motion_of(W, clip.id))
        speaker.mfcc.append(mfcc_of(W, clip.id))
    return speaker


def make(
    clip: ClipRecord,
    truth: Features,
    mfcc: NDArray[np.float32],
    speaker: Speaker,
    tokenizer: GestureTokenizer,
    rng: np.random.Generator,
    fps: float,
) -> dict[str, Motion]:
    """All baselines of one clip, as long as its ground truth wherever the train clips allow it."""
    n = len(truth.values)
    mean = speaker.channels().mean(0, dtype=np.float64)
    mean[[TRANS_SLICE.start, TRANS_SLICE.start + 2]] = 0.0
    return {
        "ground-truth": as_motion(joined(truth), truth.origin, fps),
        "reconstruction": as_motion(reconstruct(truth, mean, tokenizer), truth.origin, fps),
        "mean-pose": as_motion(np.tile(mean, (n, 1)), truth.origin, fps),
        "random-clip": as_motion(random_clip(speaker, n, rng), truth.origin, fps),
        "nearest-audio": as_motion(nearest_audio(mfcc, speaker, n, fps), truth.origin, fps),
        "smooth-noise": as_motion(smooth_noise(speaker, mean, n, fps, rng), truth.origin, fps),
    }


def joined(features: Features) -> NDArray[np.float32]:
    """[T, 433 + 9]: features, then side."""
    return np.concatenate([features.values, features.side], axis=1)


def as_motion(channels: NDArray[np.floating], origin: NDArray[np.floating], fps: float) -> Motion:
    """[T, 442] joined channels to motion; rot6d is made orthonormal on the way."""
    width = channels.shape[1] - 9
    return features_to_motion(
        channels[:, :width].astype(np.float32), channels[:, width:].astype(np.float32), origin, fps
    )


def reconstruct(
    truth: Features, mean: NDArray[np.floating], tokenizer: GestureTokenizer
) -> NDArray[np.float32]:
    """Through the tokenizers and back, cut to whole codes."""
    n = len(truth.values) // FRAMES_PER_CODE * FRAMES_PER_CODE
    if n == 0:
        raise EvaluationError(
            f"baselines: a clip has {len(truth.values)} frames, wanted at least {FRAMES_PER_CODE} (one code)."
        )
    gesture = torch.from_numpy(
        np.ascontiguousarray(gesture_from_features(truth.values[:n]), dtype=np.float32)
    )
    with torch.inference_mode():
        decoded = tokenizer.decode_codes(tokenizer.encode(gesture[None]))[0].numpy()
    side = np.tile(mean[-9:], (n, 1)).astype(np.float32)
    return np.concatenate([features_from_gesture(decoded, side), side], axis=1)


def random_clip(speaker: Speaker, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random stretch of a random train clip; of the longest one, whole, where none is long enough."""
    long_enough = [i for i, x in enumerate(speaker.motion) if len(x.values) >= n]
    picked = (
        int(rng.choice(long_enough))
        if long_enough
        else int(np.argmax([len(x.values) for x in speaker.motion]))
    )
    channels = joined(speaker.motion[picked])
    start = int(rng.integers(0, max(1, len(channels) - n + 1)))
    return channels[start : start + n]


def nearest_audio(mfcc: NDArray[np.float32], speaker: Speaker, n: int, fps: float) -> NDArray[np.float32]:
    """Play, piece by piece, the train motion whose MFCC (z-scored) is nearest to the clip's."""
    piece = max(BLEND_FRAMES + 1, round(PIECE_S * fps))
    everything = np.concatenate(speaker.mfcc)
    mean, std = everything.mean(0), everything.std(0) + 1e-6
    bank = [
        (i, s)
        for i, x in enumerate(speaker.mfcc)
        for s in range(0, min(len(x), len(speaker.motion[i].values)) - piece + 1, 4)
    ]
    if not bank:
        raise EvaluationError(
            f"baselines: no train clip of the speaker lasts {PIECE_S} s; nearest-audio has nothing to play."
        )
    keys = np.stack([((speaker.mfcc[i][s : s + piece] - mean) / std)[::3].reshape(-1) for i, s in bank])
    result = np.zeros((n, joined(speaker.motion[0]).shape[1]), np.float32)
    for start in range(0, n, piece - BLEND_FRAMES):
        length = min(piece, n - start)
        query = ((mfcc[start : start + length] - mean) / std)[::3].reshape(-1)
        i, s = bank[int(np.argmin(((keys[:, : len(query)] - query) ** 2).sum(1)))]
        fresh = joined(speaker.motion[i])[s : s + length]
        ramp = np.ones((length, 1), np.float32)
        if start > 0:
            blended = min(BLEND_FRAMES, length)
            ramp[:blended, 0] = np.linspace(0, 1, blended + 2)[1:-1]
        result[start : start + length] = (1 - ramp) * result[start : start + length] + ramp * fresh
    return result


def smooth_noise(
    speaker: Speaker, mean: NDArray[np.floating], n: int, fps: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Mean pose plus independent low-passed noise with each channel's train spread; the root stays where it
    is.
    """
    sigma = fps / (2 * np.pi * NOISE_CUTOFF_HZ)
    noise = gaussian_filter1d(rng.standard_normal((n, len(mean))), sigma, axis=0, mode="wrap")
    noise /= noise.std(0, keepdims=True) + 1e-9
    spread = speaker.channels().std(0, dtype=np.float64)
    spread[TRANS_SLICE] = 0.0
    return (mean + noise * spread).astype(np.float32)
