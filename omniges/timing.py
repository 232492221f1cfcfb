"""The one home of time: seconds are float64, frame i at `fps` covers [i / fps, (i + 1) / fps)."""

import math
from fractions import Fraction

SAMPLE_RATE = 16_000
"""Hz; every waveform inside the package has this rate, one channel, float32 in [-1, 1]."""


def frames_in(duration_s: float, fps: float) -> int:
    """Whole frames that fit into a duration; a frame that ends within 1 µs of the end counts.

    Args:
        duration_s: seconds, >= 0.
        fps: frames a second, > 0.
    """
    return max(0, math.floor(duration_s * fps + 1e-6 * fps))


def frame_to_sample(frame: int, fps: float, sample_rate: int = SAMPLE_RATE) -> int:
    """First sample of a frame, rounded from exact time: 533 1/3 samples a frame never add up to drift."""
    return round(Fraction(frame) * sample_rate / Fraction(fps).limit_denominator(1000))


def frame_centers_s(n_frames: int, fps: float) -> "list[float]":
    """Middle of every frame in seconds."""
    return [(i + 0.5) / fps for i in range(n_frames)]
