"""Windows of a pack as torch batches: slices are made on reading, nothing is stored twice.

Shapes: B windows, T frames a window, N = T / 4 codes, P parts, Q quantizers, Wd words (padded in a batch).
"""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from omniges.data.packed import IndexedClip, Pack, Shards
from omniges.errors import ConfigError
from omniges.motion.layout import FRAMES_PER_CODE, PART_NAMES
from omniges.types import Split

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B windows. Floats have the pack's stored type until `to` makes them float32 on the device."""

    gesture: Tensor  # [B, T, 415] normalised
    side: Tensor  # [B, T, 9] radians
    codes: Tensor  # [B, N, P, Q] int64
    wavlm: Tensor  # [B, T, 768]
    mfcc: Tensor  # [B, T, 128]
    text: Tensor  # [B, Wd, 1024], Wd >= 1
    text_mask: Tensor  # [B, Wd] bool, True for words, False for padding
    text_span_s: Tensor  # [B, Wd, 2] float32 start and end, from the window's start
    speaker: Tensor  # [B] int64, index into the pack's speakers
    clip: list[str]  # B ids
    start_frame: Tensor  # [B] int64

    def __len__(self) -> int:
        return len(self.clip)

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Batch":
        """Move to a device, then cast the floats there: half as much to move, and torch casts fast."""
        moved = {name: value.to(device, non_blocking=True) for name, value in self._tensors().items()}
        cast = {name: v.to(dtype) if v.is_floating_point() else v for name, v in moved.items()}
        return Batch(clip=self.clip, **cast)

    def pin_memory(self) -> "Batch":
        """Page-locked copy, for DataLoader's `pin_memory`."""
        return Batch(clip=self.clip, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "clip"}


def collate(batches: "Batch | Sequence[Batch]") -> Batch:
    """Join batches (a DataLoader's `collate_fn`; `WindowDataset` makes whole batches itself)."""
    if isinstance(batches, Batch):
        return batches
    if len(batches) == 1:
        return batches[0]
    longest = max(batch.text.shape[1] for batch in batches)
    padded = [_pad_words(batch, longest) for batch in batches]
    tensors = {name: torch.cat([batch[name] for batch in padded]) for name in padded[0]}
    return Batch(clip=[clip for batch in batches for clip in batch.clip], **tensors)


def _pad_words(batch: Batch, longest: int) -> dict[str, Tensor]:
    tensors = batch._tensors()
    missing = longest - batch.text.shape[1]
    if missing:
        for name, sides in (
            ("text", (0, 0, 0, missing)),
            ("text_span_s", (0, 0, 0, missing)),
            ("text_mask", (0, missing)),
        ):
            tensors[name] = torch.nn.functional.pad(tensors[name], sides)
    return tensors


class WindowDataset(Dataset[Batch]):
    """All windows of a split that start on multiples of `stride` frames; index order is by clip, then time.

    An index gives a batch of one; a DataLoader asks for a whole batch at once, which is much faster. Clips
    shorter than a window give none.

    Args:
        folder: the pack.
        split: which clips.
        window_frames: T, a multiple of 4.
        stride: frames between starts, a multiple of 4; None allows every start that codes allow (4).
        shards: which of the pack's.
    """

    def __init__(
        self,
        folder: Path,
        split: Split,
        window_frames: int,
        stride: int | None = None,
        *,
        shards: Shards = "all",
    ) -> None:
        stride = FRAMES_PER_CODE if stride is None else stride
        for name, value in (("window_frames", window_frames), ("stride", stride)):
            if value <= 0 or value % FRAMES_PER_CODE:
                raise ConfigError(
                    f"{name}: got {value}, wanted a positive multiple of {FRAMES_PER_CODE} frames."
                )
        self.pack = Pack(folder, shards)
        self.split, self.window_frames, self.stride = split, window_frames, stride
        clips = [self.pack.index.clips[clip] for clip in self.pack.index.clips_of(split)]
        self.clips = [clip for clip in clips if clip.n_frames >= window_frames]
        self.too_short = [clip.id for clip in clips if clip.n_frames < window_frames]
        if self.too_short:
            log.info(
                "%s: %d clip(s) are shorter than a window of %d frames",
                split,
                len(self.too_short),
                window_frames,
            )
        counts = [(clip.n_frames - window_frames) // stride + 1 for clip in self.clips]
        self._ends = list(accumulate(counts))  # windows up to and with each clip

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def window(self, index: int) -> tuple[str, int]:
        """Clip and first frame of a window."""
        clip, start = self._place(index)
        return clip.id, start

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch of windows; torch's DataLoader calls this by its name."""
        places = [self._place(int(index)) for index in indices]
        frames, codes = self._buffers(len(places))
        words: list[_Words | None] = []
        for row, (clip, start) in enumerate(places):
            first = start // FRAMES_PER_CODE
            frames[row] = self.pack.view(clip, "frames")[start : start + self.window_frames]
            codes[row] = self.pack.view(clip, "codes")[first : first + codes.shape[1]]
            words.append(self._words(clip, start))
        rows = torch.from_numpy(frames)
        return Batch(
            **{name: rows[..., columns] for name, columns in self.pack.index.columns.items()},
            **self._padded(words),
            codes=torch.from_numpy(codes).long().unflatten(2, (len(PART_NAMES), -1)),
            speaker=torch.tensor([clip.speaker for clip, _ in places]),
            clip=[clip.id for clip, _ in places],
            start_frame=torch.tensor([start for _, start in places]),
        )

    def _place(self, index: int) -> tuple[IndexedClip, int]:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"window {index} of {n} in the {self.split} split")
        index %= n
        which = bisect_right(self._ends, index)
        before = self._ends[which - 1] if which else 0
        return self.clips[which], (index - before) * self.stride

    def _buffers(self, size: int) -> tuple[NDArray[np.floating], NDArray[np.int16]]:
        """Uninitialised arrays for frames [B, T, W] and codes [B, N, P * Q]."""
        index, n_frames = self.pack.index, self.window_frames
        frames = np.empty((size, n_frames, index.frame_width), index.dtype)
        return frames, np.empty((size, n_frames // FRAMES_PER_CODE, index.widths["codes"]), np.int16)

    def _words(self, clip: IndexedClip, start: int) -> "_Words | None":
        """The words that a window touches."""
        spans = self.pack.view(clip, "spans")
        fps = self.pack.index.fps
        start_s, end_s = start / fps, (start + self.window_frames) / fps
        first = int(spans[:, 1].searchsorted(start_s, "right"))
        last = int(spans[:, 0].searchsorted(end_s, "left"))
        if last <= first:
            return None
        return _Words(self.pack.view(clip, "text")[first:last], spans[first:last] - start_s)

    def _padded(self, words: Sequence["_Words | None"]) -> dict[str, Tensor]:
        # One masked word at least: of several processes, all must have a gradient for the text stream, which
        # is cheaper than to search for weights without one in every step.
        longest = max((len(found.spans_s) for found in words if found), default=1)
        text = np.zeros((len(words), longest, self.pack.index.text_width), self.pack.index.dtype)
        mask = np.zeros((len(words), longest), np.bool_)
        span_s = np.zeros((len(words), longest, 2), np.float32)
        for row, found in enumerate(words):
            if found:
                n = len(found.spans_s)
                text[row, :n], mask[row, :n], span_s[row, :n] = found.embeddings, True, found.spans_s
        return {
            "text": torch.from_numpy(text),
            "text_mask": torch.from_numpy(mask),
            "text_span_s": torch.from_numpy(span_s),
        }


class _Words(NamedTuple):
    embeddings: NDArray[np.floating]  # [w, 1024]
    spans_s: NDArray[np.float64]  # [w, 2] from the window's start
