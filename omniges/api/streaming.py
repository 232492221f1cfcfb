"""Motion while the sound is still arriving.

Shapes: N samples, T frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.api.hearing import SHORTEST_S, Ear
from omniges.api.walk import Walk
from omniges.audio.spectrum import TOP_DB, log_mel_blocks
from omniges.config import SamplingParams
from omniges.errors import DataError
from omniges.features.mfcc import MelSpool, mfcc_blocks
from omniges.features.resample import rows_at
from omniges.sampling.speech import Speech
from omniges.sampling.streaming import GestureStream
from omniges.timing import SAMPLE_RATE, frame_to_sample, frames_in
from omniges.types import Motion


@dataclass(frozen=True, kw_only=True)
class MotionBlock:
    """Frames that are ready, and final; a stream's blocks follow each other without gap or overlap."""

    start_frame: int
    motion: Motion  # T >= 1 frames; the body stands at the origin in frame 0 of the stream
    heard_s: float  # seconds of sound that had arrived when the block was made


def joined(blocks: Sequence[MotionBlock]) -> Motion:
    """The whole motion of a stream's blocks, at least one."""
    return Motion(
        poses=np.concatenate([block.motion.poses for block in blocks]),
        trans=np.concatenate([block.motion.trans for block in blocks]),
        expressions=np.concatenate([block.motion.expressions for block in blocks]),
        betas=blocks[0].motion.betas,
        fps=blocks[0].motion.fps,
    )


class LiveEar:
    """The last seconds of a sound, and the features of any stretch of them.

    WavLM hears the last `context_s` in one pass, as it heard chunks in training; decibels are cut below the
    loudest moment so far, since the loudest of all isn't known yet.

    Args:
        ear: the encoders.
        speaker: row of the model's speaker table, or -1.
        context_s: seconds of sound that are kept and heard together.
    """

    def __init__(self, ear: Ear, speaker: int, context_s: float) -> None:
        self.ear, self.speaker = ear, speaker
        self.samples = 0  # that have arrived
        self._context = round(context_s * SAMPLE_RATE)
        self._held, self._first = np.zeros(0, np.float32), 0
        self._loudest_db = -np.inf

    def push(self, wave: NDArray[np.float32]) -> None:
        """Take in the next samples [N] at 16 kHz."""
        if wave.ndim != 1 or not np.isfinite(wave).all():
            raise DataError(
                f"stream: at {self.samples / SAMPLE_RATE:.3f} s got sound of shape {wave.shape}, or values "
                "that aren't finite; wanted blocks [N] of mono samples at 16 kHz."
            )
        self._held = np.concatenate([self._held, wave.astype(np.float32, copy=False)])
        self.samples += len(wave)

    def window(self, start: int, stop: int, *, until: int) -> Speech:
        """Features of frames `start` to `stop`.

        Args:
            start: first frame.
            stop: end.
            until: samples that may be heard, at least up to the end of the last frame.
        """
        hop = round(self.ear.settings.mfcc.hop_s * SAMPLE_RATE)
        # Spectra stay on one grid, wherever the context begins.
        first = max(0, until - self._context) // hop * hop
        self._held, self._first = self._held[first - self._first :], first
        wave = self._held[: until - first]
        centers = (np.arange(start, stop, dtype=np.float64) + 0.5) / self.ear.fps
        wavlm = self._wavlm(wave, first, centers).astype(self.ear.settings.wavlm.dtype)
        mfcc = self._mfcc(wave, first, centers).astype(self.ear.settings.mfcc.dtype)
        return Speech(
            clip="stream",
            wavlm=torch.from_numpy(wavlm),
            mfcc=torch.from_numpy(mfcc),
            text=torch.zeros(0, 1024),
            text_span_s=torch.zeros(0, 2),
            speaker=self.speaker,
        )

    def _wavlm(
        self, wave: NDArray[np.float32], first: int, centers: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        encoder = self.ear.wavlm
        first_s = (first + encoder.receptive_field / 2) / SAMPLE_RATE
        return rows_at(encoder(wave[None])[0], centers, first_s=first_s, step_s=encoder.stride / SAMPLE_RATE)

    def _mfcc(
        self, wave: NDArray[np.float32], first: int, centers: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        settings = self.ear.settings.mfcc
        n_fft, hop = round(settings.window_s * SAMPLE_RATE), round(settings.hop_s * SAMPLE_RATE)
        mel = log_mel_blocks([wave], sample_rate=SAMPLE_RATE, n_fft=n_fft, hop=hop, n_mels=settings.n_mels)
        with MelSpool(mel) as spool:
            self._loudest_db = spool.maximum_db = max(self._loudest_db, spool.maximum_db)
            rows = np.concatenate(list(mfcc_blocks(spool, settings.n_mfcc, TOP_DB)))
        return rows_at(rows, centers, first_s=first / SAMPLE_RATE, step_s=hop / SAMPLE_RATE)


class MotionStream:
    """Sound in, blocks of motion out. Made by `Omniges.stream`.

    Args:
        stream: the generator of gesture.
        ear: what the sound goes through.
        chunks: consecutive blocks [N] at 16 kHz, of any lengths.
    """

    def __init__(self, stream: GestureStream, ear: LiveEar, chunks: Iterable[NDArray[np.float32]]) -> None:
        self.stream, self.ear, self.chunks = stream, ear, chunks
        self.fps = ear.ear.fps
        self._walk = Walk(self.fps)

    @property
    def options(self) -> SamplingParams:
        """How motion is drawn."""
        return self.stream.options

    @property
    def delay_s(self) -> float:
        """Sound that is heard from a frame's beginning until it is given out, at most; computing comes on
        top.
        """
        return self.stream.delay_frames / self.fps

    def __iter__(self) -> Iterator[MotionBlock]:
        """Blocks as soon as their sound is there; all that is left when the sound ends."""
        for chunk in self.chunks:
            self.ear.push(np.asarray(chunk))
            while window := self._ready():
                yield from self._block(*window, until=frame_to_sample(window[1], self.fps), n_frames=None)
        n_frames = frames_in(self.ear.samples / SAMPLE_RATE, self.fps)
        if self.ear.samples < SHORTEST_S * SAMPLE_RATE or n_frames == 0:
            raise DataError(
                f"stream: the sound ended at {self.ear.samples / SAMPLE_RATE:.3f} s, wanted {SHORTEST_S} s "
                "at least. Is the microphone on, and the pipe open?"
            )
        while rest := self.stream.wanted(n_frames):
            until = self.ear.samples if rest[1] == n_frames else frame_to_sample(rest[1], self.fps)
            yield from self._block(*rest, until=until, n_frames=n_frames)

    def _ready(self) -> tuple[int, int] | None:
        """The wanted window, if its sound has arrived and goes on; the very last window settles more."""
        wanted = self.stream.wanted()
        assert wanted is not None, "a stream without end always wants more"
        return wanted if self.ear.samples >= frame_to_sample(wanted[1] + 1, self.fps) else None

    def _block(self, start: int, stop: int, *, until: int, n_frames: int | None) -> Iterator[MotionBlock]:
        block = self.stream.advance(self.ear.window(start, stop, until=until), n_frames)
        if len(block.gesture):
            heard_s = self.ear.samples / SAMPLE_RATE
            yield MotionBlock(start_frame=block.start_frame, motion=self._walk.motion(block), heard_s=heard_s)
