"""Train frames of one part in memory, and which of them a training step sees.

A step's windows are a function of its seed alone, so that a resumed training sees what it would have seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omniges.errors import TrainingError
from omniges.tokenizers.statistics import Statistics


@dataclass(frozen=True, kw_only=True)
class TrainFrames:
    """Normalised frames of all train clips, end to end."""

    frames: Tensor  # [F, C]
    starts: Tensor  # [S] every frame at which a whole window of one clip starts
    clips: tuple[str, ...]
    first: NDArray[np.int64]  # [clips] where each clip begins
    window: int

    @classmethod
    def of(
        cls, part: str, clips: Sequence[tuple[str, NDArray[np.float32]]], statistics: Statistics, window: int
    ) -> "TrainFrames":
        """Normalise and lay clips end to end.

        Args:
            part: name of the body part, for messages.
            clips: id and raw channels [T, C] of every train clip.
            statistics: of the train split.
            window: frames a window.
        """
        lengths = np.array([len(values) for _, values in clips])
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(clips) else np.zeros(0, np.int64)
        starts = [
            np.arange(a, a + n - window + 1) for a, n in zip(first, lengths, strict=True) if n >= window
        ]
        if not starts:
            longest = lengths.max() if len(clips) else 0
            raise TrainingError(
                f"tokenizer {part}: no train clip has {window} frames (longest of {len(clips)}: {longest}). "
                "Lower tokenizers.window_frames in params.yaml, or add longer clips."
            )
        frames = np.concatenate([(values - statistics.mean) / statistics.std for _, values in clips])
        return cls(
            frames=torch.from_numpy(frames.astype(np.float32)),
            starts=torch.from_numpy(np.concatenate(starts)),
            clips=tuple(clip for clip, _ in clips),
            first=first,
            window=window,
        )

    def batch(self, size: int, seed: int) -> Tensor:
        """[size, window, C] random windows; the same ones for the same seed."""
        index = self._starts(size, seed)[:, None] + torch.arange(self.window)
        return self.frames[index]

    def clips_of(self, size: int, seed: int) -> list[str]:
        """Clips that `batch` draws from, for messages."""
        owners = np.searchsorted(self.first, self._starts(size, seed).numpy(), side="right") - 1
        return sorted({self.clips[i] for i in owners})

    def _starts(self, size: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return self.starts[torch.randint(len(self.starts), (size,), generator=generator)]
