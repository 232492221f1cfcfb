"""The few numbers a frame that drive a body, and the mixing that sets how much of them speech decides."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

HAND_CHANNELS = tuple(f"{side}_{axis}" for side in ("right", "left") for axis in ("out", "up", "front"))
CHANNELS: tuple[str, ...] = (
    *HAND_CHANNELS,  # metres from the home of the hand, in the chest's frame
    *(
        "right_flick",
        "left_flick",
        "right_fist",
        "left_fist",
        "right_twist",
        "left_twist",
    ),  # flick and twist rad, fist -1 to 1
    *("head_pitch", "head_yaw", "head_roll", "torso_pitch", "torso_yaw", "torso_roll", "shrug"),  # rad
    *("jaw", "spread", "rounded", "closed", "teeth", "brow", "smile", "squint"),  # 0 to 1
)
INDEX: dict[str, int] = {name: i for i, name in enumerate(CHANNELS)}
FACE_CHANNELS: tuple[str, ...] = ("jaw", "spread", "rounded", "closed", "teeth", "brow", "smile", "squint")


def mix(own: Floats, unrelated: Floats, mean: Floats, share: float) -> Floats:
    """Controls of which the own speech decides a share of the variance.

    Both plans are drawn alike, so mean, variance and spectrum of the mix are theirs, whatever the share.

    Args:
        own: [T, C] the plan of the clip's speech.
        unrelated: [T, C] the plan of speech that nobody hears.
        mean: [C] mean of the speaker's plans.
        share: 0 (deaf, the negative control) to 1.
    Returns:
        [T, C].
    """
    return mean + np.sqrt(share) * (own - mean) + np.sqrt(1.0 - share) * (unrelated - mean)


def wander(draw: np.random.RandomState, n_frames: int, fps: float, seconds: float, width: int) -> Floats:
    """[T, width] Ornstein-Uhlenbeck noise of unit variance that forgets itself in `seconds`."""
    from scipy.signal import lfilter

    keep = np.exp(-1.0 / (seconds * fps))
    steps = draw.standard_normal((n_frames, width))
    steps[1:] *= np.sqrt(1.0 - keep**2)
    return np.asarray(lfilter([1.0], [1.0, -keep], steps, axis=0))


def smooth(values: Floats, seconds: float, fps: float) -> Floats:
    """Gaussian low-pass along time; `seconds` is the kernel's standard deviation."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(values, seconds * fps, axis=0, mode="nearest", truncate=3.0))
