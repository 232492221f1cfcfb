"""The stage `generate`: gesture for every test clip and seed, with its own speech and with wrong speech."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omniges import checkpoint
from omniges.config import Params, SamplingParams
from omniges.data.beat2 import write_motion
from omniges.data.packed import Pack, PackedClip
from omniges.errors import DataError
from omniges.files import atomic_folder, write_json
from omniges.log import progress
from omniges.model.a2g import A2G, UNKNOWN_SPEAKER
from omniges.model.loading import load_model
from omniges.motion.features import features_from_gesture, features_to_motion
from omniges.motion.layout import PART_NAMES
from omniges.sampling.generate import Generated, generate_clips
from omniges.sampling.precision import prepared
from omniges.sampling.sampler import Decoder
from omniges.sampling.speech import Speech
from omniges.sampling.swap import Swap, swapped, swaps_of
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.types import Split
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)


def run(params: Params, workspace: Workspace) -> None:
    """Generate all variants of the test split as BEAT2 files, and write down how.

    `model-seedS` hears each clip's own speech. `wrong-audio-seedS` has the same noise and speaker, but
    another test clip's audio and words (a lone test clip hears a clip of another split; the swap names it).
    """
    model, tokenizer = load_networks(workspace, params.sampling)
    own = read_speeches(workspace, model, "test")
    spare = [] if len(own) > 1 else _spare_speeches(workspace, model)
    swaps = swaps_of(own, spare)
    wrong = [swapped([*own, *spare], swap, model.config.data.fps) for swap in swaps]
    jobs = [
        (f"{variant}-seed{seed}", seed, speeches)
        for seed in params.sampling.seeds
        for variant, speeches in (("model", own), ("wrong-audio", wrong))
    ]
    with atomic_folder(workspace.generated) as folder:
        for variant, seed, speeches in progress(jobs, "generate"):
            write_take(folder / variant, model, tokenizer, speeches, seed, params.sampling)
        write_json(folder / "generation.json", notes(params.sampling, workspace, swaps))


def load_networks(workspace: Workspace, sampling: SamplingParams) -> tuple[A2G, Decoder]:
    """The trained network and the tokenizers, on the GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_model(workspace.a2g).to(device)
    return prepared(model, GestureTokenizer.load(workspace).to(device), sampling.precision)


def write_take(
    folder: Path,
    model: A2G,
    tokenizer: Decoder,
    speeches: Sequence[Speech],
    seed: int,
    sampling: SamplingParams,
) -> None:
    """Generate once for each speech, into `folder/CLIP.npz`."""
    for first in range(0, len(speeches), sampling.batch_clips):
        batch = speeches[first : first + sampling.batch_clips]
        for result in generate_clips(model, tokenizer, batch, seed, sampling):
            write(folder / f"{result.clip}.npz", result, model.config.data.fps)


def notes(
    sampling: SamplingParams, workspace: Workspace, swaps: list[Swap], without: Collection[str] = ()
) -> dict[str, Any]:
    """How the motion was made, for reports; `without` options that had no say."""
    return {
        "split": "test",
        "sampling": sampling.model_dump(exclude=set(without)),
        "checkpoint": checkpoint.digest(workspace.a2g),
        "tokenizers": {part: checkpoint.digest(workspace.tokenizer(part)) for part in PART_NAMES},
        "ground_truth_seed_frames": 0,
        "wrong_audio": [asdict(swap) for swap in swaps],
    }


def read_speeches(workspace: Workspace, model: A2G, split: Split) -> list[Speech]:
    """Features of every clip of a split, from the pack.

    Raises:
        DataError: the split is empty.
    """
    pack = Pack(workspace.pack)
    clips = pack.index.clips_of(split)
    if not clips:
        raise DataError(
            f"{workspace.pack}: the {split} split has no clip, nothing to generate. See the ingest report."
        )
    return [speech_of(pack.clip(clip), model) for clip in clips]


def _spare_speeches(workspace: Workspace, model: A2G) -> list[Speech]:
    """The first clip of val or train, for a test split that holds only one."""
    pack = Pack(workspace.pack)
    others = [*pack.index.clips_of("val"), *pack.index.clips_of("train")]
    return [speech_of(pack.clip(clip), model) for clip in others[:1]]


def speech_of(clip: PackedClip, model: A2G) -> Speech:
    """One clip's features; a speaker that the model never met becomes nobody in particular."""
    known = model.config.data.speakers
    return Speech(
        clip=clip.id,
        wavlm=torch.from_numpy(clip.wavlm),
        mfcc=torch.from_numpy(clip.mfcc),
        text=torch.from_numpy(clip.text),
        text_span_s=torch.from_numpy(clip.text_span_s),
        speaker=known.index(clip.speaker) if clip.speaker in known else UNKNOWN_SPEAKER,
    )


def write(path: Path, result: Generated, fps: float) -> None:
    """One generated clip as a BEAT2 npz, standing at the origin, with the mean body."""
    features = features_from_gesture(result.gesture.numpy(), result.side.numpy())
    write_motion(path, features_to_motion(features, result.side.numpy(), np.zeros(2), fps))
