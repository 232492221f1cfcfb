"""Plain data that crosses floors. Arrays are numpy; the shapes stand at the fields."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test", "additional"]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A clip of SMPL-X motion in BEAT2's convention: y up, metres, radians."""

    poses: NDArray[np.float32]  # [T, 55, 3] axis-angle
    trans: NDArray[np.float64]  # [T, 3] metres
    expressions: NDArray[np.float64]  # [T, 100] unitless coefficients
    betas: NDArray[np.float32]  # [300] unitless; zeros stand for the mean body
    fps: float

    @property
    def n_frames(self) -> int:
        return len(self.poses)

    @property
    def duration_s(self) -> float:
        return self.n_frames / self.fps

    def part(self, start: int, stop: int) -> "Motion":
        """Frames `start` to `stop`, as views."""
        span = slice(start, stop)
        return replace(
            self, poses=self.poses[span], trans=self.trans[span], expressions=self.expressions[span]
        )


@dataclass(frozen=True, kw_only=True)
class Word:
    """One spoken word; silence is the absence of words."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class ClipFault:
    """Why a clip, or a part of it, can't be used, and what a person can do about it."""

    clip: str
    problem: str
    remedy: str
    action: str = field(default="left out")  # what the run did: "left out", "trimmed", "converted", ...
