"""Sound from a pipe: a WAV without a known end, or bare samples, as 16 kHz mono while it comes in.

A pipe can't be searched, so libsndfile can't read it; the few header fields that count are read here.

Shapes: N samples, C channels.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from omniges.audio.files import at_16_khz, mono
from omniges.errors import DataError

_BLOCK_BYTES = 65_536
_ENDLESS = 0x7FFF0000
"""A writer that can't go back to fill in the length leaves 0 or about the largest number there."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_REMEDY = "Send a WAV (ffmpeg -i FILE -f wav -), or 16-bit mono samples and say their rate with --raw-hz."


@dataclass(frozen=True, kw_only=True)
class SampleFormat:
    """How samples lie in the bytes."""

    rate: int  # Hz
    channels: int  # C
    bits: int
    floating: bool

    def decode(self, raw: bytes) -> NDArray[np.float32]:
        """Whole frames of bytes to [N, C] in -1..1."""
        if self.floating:
            floats = np.frombuffer(raw, np.float64 if self.bits == 64 else np.float32)
            samples = floats.astype(np.float32, copy=False)
        elif self.bits == 8:
            samples = np.float32(1 / 128) * np.frombuffer(raw, np.uint8).astype(np.float32) - np.float32(1)
        else:
            # Into the upper bytes of 32 bits, which keeps the sign.
            width = self.bits // 8
            wide = np.zeros((len(raw) // width, 4), np.uint8)
            wide[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
            samples = np.float32(2.0**-31) * wide.view("<i4")[:, 0].astype(np.float32)
        return samples.reshape(-1, self.channels)


def stream_pipe(source: BinaryIO, raw_hz: int | None = None) -> Iterator[NDArray[np.float32]]:
    """Blocks [N] at 16 kHz, each as soon as its bytes are there.

    Args:
        source: such as `sys.stdin.buffer`.
        raw_hz: the bytes are 16-bit little-endian mono samples at this rate; None expects a WAV.

    Raises:
        DataError: no WAV, or one whose samples can't be read.
    """
    if raw_hz is None:
        form, length = read_wav_header(source)
    else:
        form, length = SampleFormat(rate=raw_hz, channels=1, bits=16, floating=False), None
    blocks = (mono(form.decode(raw)) for raw in _frames(source, form.channels * form.bits // 8, length))
    yield from (block for block in at_16_khz(blocks, form.rate) if len(block))


def read_wav_header(source: BinaryIO) -> tuple[SampleFormat, int | None]:
    """Read up to the first sample; the format, and the number of bytes of samples (None: until the end).

    Raises:
        DataError: no WAV, cut short, or of a format that isn't plain samples.
    """
    head = source.read(12)
    if not head:
        raise DataError(
            "pipe: it ended before any sound came. Does the recorder run, and does it find a microphone? "
            "Its own message says more."
        )
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise DataError(f"pipe: got {head[:12]!r}, wanted the start of a WAV. {_REMEDY}")
    form: SampleFormat | None = None
    while True:
        chunk = source.read(8)
        if len(chunk) < 8:
            raise DataError(f"pipe: the WAV ends before its samples begin. {_REMEDY}")
        name, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if name == b"data":
            if form is None:
                raise DataError(f"pipe: the WAV has samples before it says their format. {_REMEDY}")
            return form, None if size == 0 or size >= _ENDLESS else size
        body = source.read(size + size % 2)
        if name == b"fmt ":
            form = _format(body)


def _format(body: bytes) -> SampleFormat:
    if len(body) < 16:
        raise DataError(f"pipe: the WAV's format field has {len(body)} bytes, wanted 16. {_REMEDY}")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack("<H", body[24:26])[0]
    known = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
    if bits not in known.get(tag, ()) or channels == 0 or rate == 0:
        raise DataError(
            f"pipe: got a WAV of format {tag} with {bits} bits, {channels} channels and {rate} Hz; "
            f"wanted PCM of 8 to 32 bits or floats. {_REMEDY}"
        )
    return SampleFormat(rate=rate, channels=channels, bits=bits, floating=tag == _FLOAT)


def _frames(source: BinaryIO, width: int, length: int | None) -> Iterator[bytes]:
    """Whole frames of `width` bytes as they arrive, `length` bytes in all; half a frame at the end is
    dropped.
    """
    # read1 gives what is there, where read would wait for all of it.
    read = getattr(source, "read1", source.read)
    held = b""
    while raw := read(_BLOCK_BYTES if length is None else min(_BLOCK_BYTES, length)):
        length = None if length is None else length - len(raw)
        held += raw
        whole = len(held) // width * width
        if whole:
            yield held[:whole]
            held = held[whole:]
