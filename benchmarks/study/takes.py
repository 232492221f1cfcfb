"""Who moves by speech in the study: a trained model, and the perfect listener.

The perfect listener knows all that speech decides of a clip and draws anew everything that it doesn't. Nobody
can be expected to do better; only corpora that the project makes have one. Who must speak in codes can't be
expected to do better than the perfect listener in codes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from omniges.config import CorpusParams, SamplingParams
from omniges.corpus.clips import cast, make_motion
from omniges.evaluation.baselines import as_motion, joined
from omniges.model.a2g import A2G
from omniges.motion.features import (
    Features,
    features_from_gesture,
    features_to_motion,
    gesture_from_features,
    motion_to_features,
)
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.sampling.generate import Generated, generate_clips
from omniges.sampling.stage import read_speeches
from omniges.sampling.swap import swapped, swaps_of
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.types import Motion
from omniges.workspace import Workspace

Take = Callable[[int, bool], dict[str, Motion]]
"""Seed and whether speech is the right one → clip → motion; one seed draws the same noise for both."""
Withheld = Literal["audio", "text"] | None


def model_takes(W: Workspace, model: A2G, options: SamplingParams, withheld: Withheld = None) -> Take:
    """A model on the test clips.

    Args:
        W: pack and tokenizers are read.
        model: in evaluation mode.
        options: how to sample.
        withheld: what the model isn't given, though it was trained with it.
    """
    if withheld == "audio":
        hear = model.listen
        model.listen = lambda heard: hear(heard).without_audio()  # type: ignore[method-assign]
    tokenizer = GestureTokenizer.load(W)
    own = read_speeches(W, model, "test")
    if withheld == "text":
        own = [replace(x, text=x.text[:0], text_span_s=x.text_span_s[:0]) for x in own]
    wrong = [swapped(own, swap, model.config.data.fps) for swap in swaps_of(own)]
    return lambda seed, right: _generate(model, tokenizer, own if right else wrong, seed, options)


def perfect_takes(
    params: CorpusParams,
    fps: float,
    speakers: Sequence[int],
    wrong: Callable[[str], str],
    tokenizer: GestureTokenizer | None = None,
) -> Take:
    """The perfect listener on the test clips, its motion through the same features as everything else.

    Args:
        params: the corpus, whose speech is planned once more.
        fps: motion frames a second.
        speakers: their numbers.
        wrong: clip → the clip whose speech is the wrong one.
        tokenizer: whose codes the motion goes through; None leaves it as it is.
    """
    casts = [cast(params, number) for number in speakers]
    parts = {p.id: (whole, p) for whole in casts for p in whole.parts if p.split == "test"}

    def take(seed: int, right: bool) -> dict[str, Motion]:
        found = {}
        for clip, (whole, part) in parts.items():
            heard = part if right else replace(part, talk=parts[wrong(clip)][1].talk)
            others = tuple(heard if p is part else p for p in whole.parts)
            motion = make_motion(params, replace(whole, parts=others), heard, take=1 + seed)
            features = motion_to_features(motion)
            if tokenizer is not None:
                features = _coded(features, tokenizer)
            found[clip] = as_motion(joined(features), features.origin, fps)
        return found

    return take


def _coded(features: Features, tokenizer: GestureTokenizer) -> Features:
    """Through codes and back, cut to whole codes; jaw and eyes have none and stay."""
    n = len(features.values) // FRAMES_PER_CODE * FRAMES_PER_CODE
    gesture = torch.from_numpy(gesture_from_features(features.values[:n]).astype(np.float32))
    decoded = tokenizer.decode_codes(tokenizer.encode(gesture[None]))[0].numpy()
    values = features_from_gesture(decoded, features.side[:n])
    return replace(features, values=values, side=features.side[:n])


def _generate(
    model: A2G, tokenizer: GestureTokenizer, speeches: Sequence[Any], seed: int, options: SamplingParams
) -> dict[str, Motion]:
    results: list[Generated] = []
    for first in range(0, len(speeches), options.batch_clips):
        batch = speeches[first : first + options.batch_clips]
        results += generate_clips(model, tokenizer, batch, seed, options)
    return {r.clip: _motion_of(r, model.config.data.fps) for r in results}


def _motion_of(result: Generated, fps: float) -> Motion:
    """The same as the stage `generate` writes."""
    features = features_from_gesture(result.gesture.numpy(), result.side.numpy())
    return features_to_motion(features, result.side.numpy(), np.zeros(2), fps)
