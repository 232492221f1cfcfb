"""Wrong speech: what a clip is given to hear when one wants to know whether hearing matters."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from omniges.errors import DataError
from omniges.sampling.speech import Speech


@dataclass(frozen=True)
class Swap:
    """Whose speech a clip is given instead of its own."""

    clip: str
    heard: str
    same_speaker: bool
    repeats: int  # times that the other speech is played to last as long


def swaps_of(speeches: Sequence[Speech], spare: Sequence[Speech] = ()) -> list[Swap]:
    """For each clip the next one of the same speaker, in a circle; of any speaker where there is no other.

    Args:
        speeches: the clips that are given wrong speech.
        spare: clips to take it from where `speeches` is a single clip.

    Raises:
        DataError: there is one clip only.
    """
    pool = list(speeches) if len(speeches) > 1 else [*speeches, *spare]
    if len(pool) < 2:
        raise DataError("generate: the only clip has no other whose speech would be wrong. Add a clip.")
    swaps = []
    for place, speech in enumerate(speeches):
        same = [i for i, other in enumerate(pool) if other.speaker == speech.speaker]
        circle = same if len(same) > 1 else list(range(len(pool)))
        other = pool[circle[(circle.index(place) + 1) % len(circle)]]
        repeats = -(-speech.n_frames // other.n_frames)
        swaps.append(Swap(speech.clip, other.clip, other.speaker == speech.speaker, repeats))
    return swaps


def swapped(speeches: Sequence[Speech], swap: Swap, fps: float) -> Speech:
    """The other clip's audio and words, under the first one's name, speaker and length.

    Args:
        speeches: the clips that the swap names.
        swap: who hears whom.
        fps: frames a second.
    """
    by_name = {speech.clip: speech for speech in speeches}
    own, other = by_name[swap.clip], by_name[swap.heard]
    period_s = other.n_frames / fps
    spans = torch.cat([other.text_span_s + i * period_s for i in range(swap.repeats)])
    said = spans[:, 0] < own.n_frames / fps
    return Speech(
        clip=own.clip,
        wavlm=other.wavlm.repeat(swap.repeats, 1)[: own.n_frames],
        mfcc=other.mfcc.repeat(swap.repeats, 1)[: own.n_frames],
        text=other.text.repeat(swap.repeats, 1)[said],
        text_span_s=spans[said],
        speaker=own.speaker,
    )
