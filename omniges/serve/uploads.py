"""A sound file that somebody sent: bounded, decoded, and gone. Shapes: N samples."""

import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from omniges.api.hearing import SHORTEST_S
from omniges.audio.files import REMEDY, stream_wave
from omniges.errors import DataError
from omniges.serve.limits import Limits
from omniges.timing import SAMPLE_RATE

KINDS = "Send sound as WAV, FLAC, MP3, OGG, M4A or WebM."


class TooLargeError(DataError):
    """An upload is over the limit."""


def clean_name(name: str) -> str:
    """A name for messages and for downloads: a file's stem of letters, digits, `-`, `_` and `.`."""
    stem = Path(name.replace("\\", "/")).stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:60] or "speech"


async def receive(
    body: AsyncIterator[bytes], declared: int | None, name: str, folder: Path, limits: Limits
) -> NDArray[np.float32]:
    """Write a request's body to a nameless file in `folder`, decode it, and leave nothing of the file.

    Args:
        body: its pieces.
        declared: bytes that the sender announced, where it did.
        name: of the file, for messages.
        folder: where the bytes lie while they are decoded.
        limits: see `Limits`.

    Returns:
        [N] at 16 kHz.

    Raises:
        TooLargeError: more bytes or seconds than allowed.
        DataError: no bytes, no sound, or too short a one.
    """
    allowed = f"wanted {limits.upload_bytes / 1e6:g} MB at most. Cut it, or send it as MP3 or FLAC."
    if declared is not None and declared > limits.upload_bytes:
        raise TooLargeError(f"{name}: got {declared / 1e6:.1f} MB, {allowed}")
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-") as file:
        size = 0
        async for piece in body:
            size += len(piece)
            if size > limits.upload_bytes:
                raise TooLargeError(f"{name}: got more than {limits.upload_bytes / 1e6:g} MB, {allowed}")
            file.write(piece)
        file.flush()
        if size == 0:
            raise DataError(f"{name}: got an empty file, wanted sound. {KINDS}")
        return await run_in_threadpool(decode, Path(file.name), name, limits)


def decode(path: Path, name: str, limits: Limits) -> NDArray[np.float32]:
    """Read a sound file that may be anything; messages name it as its sender did."""
    blocks: list[NDArray[np.float32]] = []
    samples = 0
    try:
        for block in stream_wave(path):
            blocks.append(block)
            samples += len(block)
            check_length(samples, name, limits)
    except TooLargeError:
        raise
    except DataError as error:
        reason = str(error).replace(str(path), name).replace(REMEDY, KINDS)
        raise DataError(reason) from error
    if samples < SHORTEST_S * SAMPLE_RATE:
        raise DataError(f"{name}: lasts {samples / SAMPLE_RATE:.3f} s, wanted {SHORTEST_S} s at least.")
    return np.concatenate(blocks)


def check_length(samples: int, name: str, limits: Limits) -> None:
    """Raises TooLargeError where a recording is longer than allowed."""
    if samples > limits.longest_s * SAMPLE_RATE:
        raise TooLargeError(
            f"{name}: lasts more than {limits.longest_s / 60:g} minutes, which is what this server takes. "
            "Cut it, or use `omniges generate`, which takes any length."
        )
