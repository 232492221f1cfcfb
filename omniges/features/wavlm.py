"""WavLM at motion rate, from chunks of one fixed length.

WavLM-base normalises its first layer over time, so what is fed at once decides the result. Hence the
feature's
definition: chunks of `chunk_s` that begin every `chunk_s - overlap_s`; nothing is padded. The last chunk is
    moved back so that it ends with the clip; a clip shorter than a chunk is fed as it is. Each motion frame
    comes from one chunk: where two overlap, the border is the middle of the overlap. How many chunks go
    through the network at once changes nothing.

Shapes: N samples, L WavLM frames, T motion frames, D hidden width.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omniges.errors import ConfigError, DataError
from omniges.features.resample import rows_at
from omniges.timing import SAMPLE_RATE, frames_in


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A stretch of a clip that is fed at once."""

    wave: NDArray[np.float32]  # [N]
    start: int  # its first sample's place in the clip
    owned_to_s: float  # it gives the motion frames whose centres lie before this and after its predecessor's
    last: bool


class Encoder(Protocol):
    """A network that turns waves of one length into frames."""

    receptive_field: int  # samples that a frame sees
    stride: int  # samples from frame to frame

    def __call__(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """[B, N] to [B, L, D]."""
        ...


def chunks_of(
    wave_blocks: Iterable[NDArray[np.float32]], chunk_s: float, overlap_s: float
) -> Iterator[Chunk]:
    """Cut a wave that comes in blocks; at most two chunks and a block are held.

    Args:
        wave_blocks: consecutive parts of one clip at 16 kHz.
        chunk_s: seconds fed at once.
        overlap_s: seconds that neighbours share, below chunk_s.

    Returns:
        Chunks of one length, in order; one shorter chunk for a clip shorter than that.
    """
    if not 0 <= overlap_s < chunk_s:
        raise ConfigError(
            f"wavlm: got chunk_s {chunk_s} and overlap_s {overlap_s}; wanted an overlap from 0 to less than "
            "the chunk."
        )
    size, hop = round(chunk_s * SAMPLE_RATE), round((chunk_s - overlap_s) * SAMPLE_RATE)
    before: tuple[int, NDArray[np.float32]] | None = None
    for start, wave in _stretches(wave_blocks, size, hop):
        if before is not None:
            middle = (before[0] + size + start) / 2
            yield Chunk(wave=before[1], start=before[0], owned_to_s=middle / SAMPLE_RATE, last=False)
        before = (start, wave)
    if before is not None:
        start, wave = before
        yield Chunk(wave=wave, start=start, owned_to_s=(start + len(wave)) / SAMPLE_RATE, last=True)


def wavlm_frames(
    chunks: Iterable[Chunk], encoder: Encoder, *, batch: int, fps: float
) -> Iterator[NDArray[np.float32]]:
    """Encode chunks and read them at the centres of motion frames.

    Args:
        chunks: of one clip, all of one length.
        encoder: the network.
        batch: chunks fed together; of no influence on the result.
        fps: motion frames a second.

    Returns:
        Blocks [t_i, D], T = whole motion frames of the clip in all.

    Raises:
        DataError: the clip is shorter than one frame of the network or of the motion.
    """
    waiting = iter(chunks)
    done = 0
    while group := list(islice(waiting, batch)):
        size = len(group[0].wave)
        if size < encoder.receptive_field:
            raise DataError(
                f"the clip has {size} samples at 16 kHz, WavLM needs at least {encoder.receptive_field}. "
                "Add the clip to data.exclude in params.yaml."
            )
        for chunk, hidden in zip(group, encoder(np.stack([c.wave for c in group])), strict=True):
            n_done = frames_in(chunk.owned_to_s + (0.0 if chunk.last else 0.5 / fps), fps)
            centers = (np.arange(done, n_done, dtype=np.float64) + 0.5) / fps
            # A frame stands for the middle of the samples that it sees.
            first_s = (chunk.start + encoder.receptive_field / 2) / SAMPLE_RATE
            yield rows_at(hidden, centers, first_s=first_s, step_s=encoder.stride / SAMPLE_RATE)
            done = n_done


def _stretches(
    wave_blocks: Iterable[NDArray[np.float32]], size: int, hop: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Starts and samples: every `hop`, and once more at the clip's end if that isn't reached."""
    held, held_from, start = np.zeros(0, np.float32), 0, 0
    for block in wave_blocks:
        held = np.concatenate([held, block])
        while held_from + len(held) >= start + size:
            yield start, held[start - held_from :][:size]
            start += hop
        # The last whole stretch is kept, since one that ends with the clip may begin anywhere in it.
        drop = min(max(0, start - hop - held_from), len(held))
        held, held_from = held[drop:], held_from + drop
    last = held_from + len(held) - size
    if start == 0:
        yield 0, held
    elif last > start - hop:
        yield last, held[last - held_from :]
