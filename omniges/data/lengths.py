"""How long a clip is: motion and audio each have a length, and the clip has the shorter one."""

from pathlib import Path

from omniges.audio.files import stream_wave
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.timing import SAMPLE_RATE, frames_in
from omniges.types import Motion

COMMON_RATES = (15, 24, 25, 30, 50, 60, 100, 120)
"""Frame rates that a wrong `mocap_frame_rate` is compared with, to name the likely one."""


def audio_seconds(path: Path) -> float:
    """Seconds of sound, decoded to the end block by block: headers may lie.

    Raises:
        DataError: no whole sound file, or one that holds NaN.
    """
    return sum(len(block) for block in stream_wave(path)) / SAMPLE_RATE


def common_frames(motion: Motion, audio_s: float, fps: float) -> int:
    """Whole frames at `fps` that motion and audio both cover."""
    return frames_in(min(motion.duration_s, audio_s), fps)


def length_problem(motion: Motion, audio_s: float, fps: float, max_gap_s: float) -> str | None:
    """Why motion and audio can't be of one recording, or None.

    Args:
        motion: as recorded.
        audio_s: seconds of sound.
        fps: the pipeline's rate.
        max_gap_s: allowed difference.
    """
    if abs(motion.duration_s - audio_s) > max_gap_s:
        text = (
            f"motion lasts {motion.duration_s:.2f} s ({motion.n_frames} frames at {motion.fps:g} fps), "
            f"audio {audio_s:.2f} s; allowed gap {max_gap_s:.2f} s (data.max_gap_s)"
        )
        likely = _likely_rate(motion, audio_s, max_gap_s)
        return f"{text}; the length fits {likely} fps, so the recorded rate may be wrong" if likely else text
    n_frames = common_frames(motion, audio_s, fps)
    if n_frames < FRAMES_PER_CODE:
        return f"got {n_frames} usable frames, wanted at least {FRAMES_PER_CODE}"
    return None


def _likely_rate(motion: Motion, audio_s: float, max_gap_s: float) -> int | None:
    """A common frame rate under which the motion would last as long as the audio."""
    gaps = {rate: abs(motion.n_frames / rate - audio_s) for rate in COMMON_RATES if rate != motion.fps}
    nearest = min(gaps, key=gaps.__getitem__)
    return nearest if gaps[nearest] <= max_gap_s else None
