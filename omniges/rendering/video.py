"""MP4 with sound: bodies side by side, drawn on the CPU. One machine gives the same bytes for the same input.

A video is made of segments of `SEGMENT_FRAMES` frames. Each is drawn and encoded by itself, from its keyframe
on, by one thread, so that several cores work at once and their number changes no byte. Only some segments are
in memory.

Shapes: T frames, N samples, H x W pixels.
"""

import io
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from omniges.errors import DataError
from omniges.files import atomic_path
from omniges.motion.parts import give_back
from omniges.rendering.painter import Actor, Panel, write_text
from omniges.spool import passed
from omniges.timing import SAMPLE_RATE, frames_in
from omniges.types import Motion

ASPECT = 0.9
"""Width over height of one panel."""

SEGMENT_FRAMES = 48
"""Frames from keyframe to keyframe."""

CODEC_OPTIONS: dict[str, object] = {
    "preset": "veryfast",
    "crf": "24",
    "threads": "1",
    "x264-params": "mbtree=0",
}
SOUND_BLOCK = 1024  # samples of one AAC frame


def render_comparison(
    path: Path,
    motions: Mapping[str, Motion],
    wave: NDArray[np.float32] | None,
    *,
    height: int = 480,
    max_s: float | None = None,
    smplx_model: Path | str | None = None,
    fps: float | None = None,
    workers: int | None = None,
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
        workers: threads that draw and encode; None takes one a core. It changes no byte.
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
    film = Film(
        actors=tuple(
            Actor.of(motion, label, index, smplx_model)
            for index, (label, motion) in enumerate(motions.items())
        ),
        panel_size=(round(height * ASPECT / 2) * 2, height),
        fps=rate,
        n_frames=max(1, frames_in(min(seconds, max_s) if max_s else seconds, rate)),
    )
    sound = None if wave is None else wave[: _samples_at(film.n_frames, rate)]
    with atomic_path(Path(path)) as temporary:
        _write(temporary, film, sound, workers or len(os.sched_getaffinity(0)))


@dataclass(frozen=True, kw_only=True)
class Film:
    """What a video shows."""

    actors: tuple[Actor, ...]
    panel_size: tuple[int, int]  # width, height of one panel, pixels
    fps: float
    n_frames: int

    @property
    def rate(self) -> Fraction:
        return Fraction(self.fps).limit_denominator(1001)

    def segment(self, first: int) -> bytes:
        """An MP4 without sound: the frames from `first` on, at most `SEGMENT_FRAMES`."""
        width, height = self.panel_size
        stream = io.BytesIO()
        with av.open(stream, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
            video = container.add_stream("libx264", rate=self.rate)
            video.width, video.height, video.pix_fmt = width * len(self.actors), height, "yuv420p"
            video.options = CODEC_OPTIONS
            for picture in self._pictures(first, min(self.n_frames, first + SEGMENT_FRAMES)):
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode())
        return stream.getvalue()

    def _pictures(self, first: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Frames [H, W * panels, 3]."""
        panels = []
        for actor in self.actors:
            span = self._shown(actor, first), self._shown(actor, stop - 1) + 1
            panels.append(Panel(actor, *self.panel_size, *span))
        for frame in range(first, stop):
            shown = [
                panel.paint(self._shown(actor, frame))
                for panel, actor in zip(panels, self.actors, strict=True)
            ]
            picture = np.concatenate(shown, axis=1)
            size = max(10, len(picture) // 32)
            write_text(picture, (size, len(picture) - 2 * size), f"{frame / self.fps:.2f} s", size)
            yield picture

    def give_back(self, first: int) -> None:
        """Let go of the motion that the segment from `first` on has shown, where it lies on disk."""
        for actor in self.actors:
            give_back(
                actor.motion.part(self._shown(actor, first), self._shown(actor, first + SEGMENT_FRAMES))
            )

    def _shown(self, actor: Actor, frame: int) -> int:
        """The motion's frame that is nearest to a frame of the video."""
        return min(actor.motion.n_frames - 1, round(frame / self.fps * actor.motion.fps))


def _write(path: Path, film: Film, wave: NDArray[np.float32] | None, workers: int) -> None:
    """H.264 (yuv420p, fast start) and AAC without time stamps; a segment's sound goes before its pictures."""
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", container_options=options) as container:
        video: av.VideoStream | None = None
        sound: Iterator[av.Packet[Any]] = iter(())
        for first, segment in _segments(film, workers):
            with av.open(io.BytesIO(segment), "r") as source:
                if video is None:
                    video = container.add_stream_from_template(source.streams.video[0])
                    if wave is not None:
                        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
                        audio.bit_rate = 64_000
                        sound = sound_packets(audio, wave)
                for packet in _until(sound, (first + SEGMENT_FRAMES) / film.fps):
                    container.mux(packet)
                for packet in source.demux(video=0):
                    if packet.dts is None or packet.pts is None:  # the end
                        continue
                    start = round(first / film.rate / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + start, packet.dts + start, video
                    container.mux(packet)
            film.give_back(first)
            if wave is not None:
                passed(wave[_samples_at(first, film.fps) : _samples_at(first + SEGMENT_FRAMES, film.fps)])
        for packet in sound:
            container.mux(packet)


def _samples_at(frame: int, fps: float) -> int:
    return round(frame / fps * SAMPLE_RATE)


def _segments(film: Film, workers: int) -> Iterator[tuple[int, bytes]]:
    """First frames and MP4s of the segments in order, `workers` at a time."""
    pending: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, film.n_frames, SEGMENT_FRAMES):
            if len(pending) > workers:
                done, segment = pending.popleft()
                yield done, segment.result()
            pending.append((first, pool.submit(film.segment, first)))
        while pending:
            done, segment = pending.popleft()
            yield done, segment.result()


def _until(packets: "Iterator[av.Packet[Any]]", stop_s: float) -> "Iterator[av.Packet[Any]]":
    """Take sound from an iterator up to a time."""
    for packet in packets:
        enough = packet.pts is not None and packet.pts * packet.time_base >= stop_s  # muxing empties a packet
        yield packet
        if enough:
            return


def sound_packets(stream: av.AudioStream, wave: NDArray[np.float32]) -> "Iterator[av.Packet[Any]]":
    """Encode a wave [N] at 16 kHz."""
    for start in range(0, len(wave), SOUND_BLOCK):
        block = np.zeros((1, SOUND_BLOCK), np.float32)
        block[0, : len(wave[start : start + SOUND_BLOCK])] = wave[start : start + SOUND_BLOCK]
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        yield from stream.encode(frame)
    yield from stream.encode()
