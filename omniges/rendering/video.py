"""MP4 with sound: bodies side by side, drawn on the CPU. One machine gives the same bytes for the same input.

Shapes: T frames, N samples, H x W pixels.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from omniges.errors import DataError
from omniges.files import atomic_path
from omniges.rendering.painter import Panel, write_text
from omniges.timing import SAMPLE_RATE, frames_in
from omniges.types import Motion

ASPECT = 0.9
"""Width over height of one panel."""


def render_comparison(
    path: Path,
    motions: Mapping[str, Motion],
    wave: NDArray[np.float32] | None,
    *,
    height: int = 480,
    max_s: float | None = None,
    smplx_model: Path | str | None = None,
    fps: float | None = None,
) -> None:
    """Write labelled bodies side by side, H.264 with AAC sound, ready to be played from a web page.

    Args:
        path: the MP4 to write, atomically.
        motions: label -> motion, left to right; the shortest one ends the video.
        wave: [N] at 16 kHz, -1..1; None makes a silent video.
        height: pixels, even, 120 to 2160.
        max_s: cut after so many seconds.
        smplx_model: a licensed SMPL-X file whose mesh is drawn in place of the project's own body.
        fps: frames a second; None takes the first motion's. Other rates are shown by nearest frame.
    Raises:
        DataError: no motions, an empty one, or a height that H.264 can't take.
    """
    if not motions or any(motion.n_frames == 0 for motion in motions.values()):
        raise DataError(
            f"{path}: got {len(motions)} motions, or one without frames; wanted at least one frame of each."
        )
    if height % 2 or not 120 <= height <= 2160:
        raise DataError(f"{path}: got a height of {height} pixels; wanted an even number from 120 to 2160.")
    rate = fps or next(iter(motions.values())).fps
    seconds = min(motion.duration_s for motion in motions.values())
    n_frames = max(1, frames_in(min(seconds, max_s) if max_s else seconds, rate))
    width = round(height * ASPECT / 2) * 2
    panels = [
        Panel(motion, label, width, height, index, smplx_model)
        for index, (label, motion) in enumerate(motions.items())
    ]
    pictures = _pictures(panels, n_frames, rate)
    with atomic_path(Path(path)) as temporary:
        _encode(temporary, pictures, (width * len(panels), height), rate, _cut(wave, n_frames / rate))


def _cut(wave: NDArray[np.float32] | None, seconds: float) -> NDArray[np.float32] | None:
    return None if wave is None else np.ascontiguousarray(wave[: round(seconds * SAMPLE_RATE)], np.float32)


def _pictures(panels: list[Panel], n_frames: int, rate: float) -> Iterator[NDArray[np.uint8]]:
    """Frames [H, W * panels, 3], one thread a panel."""
    with ThreadPoolExecutor(len(panels)) as pool:
        for frame in range(n_frames):
            time_s = frame / rate
            jobs = [
                pool.submit(p.paint, min(p.motion.n_frames - 1, round(time_s * p.motion.fps))) for p in panels
            ]
            picture = np.concatenate([job.result() for job in jobs], axis=1)
            size = max(10, len(picture) // 32)
            write_text(picture, (size, len(picture) - 2 * size), f"{time_s:.2f} s", size)
            yield picture


def _encode(
    path: Path,
    pictures: Iterator[NDArray[np.uint8]],
    size: tuple[int, int],
    rate: float,
    wave: NDArray[np.float32] | None,
) -> None:
    """H.264 (yuv420p, fast start) and AAC without time stamps.

    One thread: with two, x264 was seen to write other bytes in many of its runs, from the same pictures.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", container_options=options) as container:
        video = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.options = {"preset": "veryfast", "crf": "24", "threads": "1"}
        audio = None
        if wave is not None:
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            audio.bit_rate = 64_000
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None and wave is not None:
            encode_sound(container, audio, wave)


def encode_sound(
    container: av.container.OutputContainer, stream: av.AudioStream, wave: NDArray[np.float32]
) -> None:
    for start in range(0, len(wave), 1024):
        block = np.zeros((1, 1024), np.float32)
        block[0, : len(wave[start : start + 1024])] = wave[start : start + 1024]
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
