"""What a clip sounds like and says, cut into windows for the model.

Shapes: T frames of the clip, W words, L frames of a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.errors import DataError
from omniges.model.a2g import Heard


@dataclass(frozen=True, kw_only=True)
class Speech:
    """Features of one clip, of any length."""

    clip: str
    wavlm: Tensor  # [T, 768]
    mfcc: Tensor  # [T, 128]
    text: Tensor  # [W, 1024]; W = 0 for speech without a transcript
    text_span_s: Tensor  # [W, 2] seconds from the clip's start
    speaker: int  # row of the model's speaker table; -1 for somebody unknown

    def __post_init__(self) -> None:
        if len(self.wavlm) != len(self.mfcc) or len(self.text) != len(self.text_span_s):
            raise DataError(
                f"{self.clip}: got {len(self.wavlm)} frames of wavlm, {len(self.mfcc)} of mfcc, "
                f"{len(self.text)} words and {len(self.text_span_s)} spans; wanted equal numbers of "
                "each kind. Extract the features again."
            )
        if len(self.wavlm) == 0:
            raise DataError(f"{self.clip}: has no frames, so there is nothing to generate. Leave it out.")

    @property
    def n_frames(self) -> int:
        return len(self.wavlm)

    def part(self, start: int, stop: int, *, fps: float) -> "Speech":
        """Frames `start` to `stop`, and the words that overlap them, whose times count from there."""
        text, spans = _words(self, start / fps, min(stop, self.n_frames) / fps)
        return Speech(
            clip=self.clip,
            wavlm=self.wavlm[start:stop],
            mfcc=self.mfcc[start:stop],
            text=text,
            text_span_s=spans,
            speaker=self.speaker,
        )


def window_of(speeches: Sequence[Speech], starts: Sequence[int], length: int, fps: float) -> Heard:
    """One window of several clips, padded where a clip ends.

    Args:
        speeches: the clips.
        starts: first frame of each one's window.
        length: L, frames of every window.
        fps: frames a second.
    """
    frames = torch.zeros(len(speeches), length, dtype=torch.bool)
    wavlm = torch.zeros(len(speeches), length, speeches[0].wavlm.shape[1])
    mfcc = torch.zeros(len(speeches), length, speeches[0].mfcc.shape[1])
    said = []
    for row, (speech, start) in enumerate(zip(speeches, starts, strict=True)):
        stop = min(start + length, speech.n_frames)
        frames[row, : stop - start] = True
        wavlm[row, : stop - start] = speech.wavlm[start:stop]
        mfcc[row, : stop - start] = speech.mfcc[start:stop]
        said.append(_words(speech, start / fps, stop / fps))
    width = max(len(text) for text, _ in said)
    text = torch.zeros(len(speeches), width, speeches[0].text.shape[1])
    spans = torch.zeros(len(speeches), width, 2)
    text_mask = torch.zeros(len(speeches), width, dtype=torch.bool)
    for row, (words, span) in enumerate(said):
        text[row, : len(words)], spans[row, : len(words)], text_mask[row, : len(words)] = words, span, True
    return Heard(
        wavlm=wavlm,
        mfcc=mfcc,
        frames=frames,
        text=text,
        text_mask=text_mask,
        text_span_s=spans,
        speaker=torch.tensor([speech.speaker for speech in speeches]),
    )


def _words(speech: Speech, start_s: float, stop_s: float) -> tuple[Tensor, Tensor]:
    """Words that overlap a stretch of time, and their spans from its start."""
    inside = (speech.text_span_s[:, 1] > start_s) & (speech.text_span_s[:, 0] < stop_s)
    return speech.text[inside].float(), (speech.text_span_s[inside] - start_s).float()
