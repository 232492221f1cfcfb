"""Reading sound files of any container, rate and channel count as 16 kHz mono.

libsndfile is asked first (WAV, FLAC, OGG, MP3), FFmpeg through PyAV second (M4A, video files, ...). Both
are chosen by the file's content, so an MP3 that is named `.wav` is read as what it is. Channels are
averaged, then the rate is changed by soxr at its `HQ` setting. A file is decoded block by block;
`read_wave` merely joins the blocks.

Shapes: N samples, C channels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omniges.errors import DataError
from omniges.timing import SAMPLE_RATE

if TYPE_CHECKING:
    import av.container
    import soundfile

BLOCK_S = 20.0
_LSB = np.float32(2.0**-15)
REMEDY = "Fetch or convert the file again, or give another one."
FFMPEG_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,avi,caf,flac,flv,gsm,matroska,webm,mov,mp3,mpeg,mpegts,ogg,"
    "w64,wav,wv",
}
"""Containers that hold sound themselves. FFmpeg also reads playlists, which name other files and addresses: a
file that somebody sent must not choose what is read.
"""


def read_wave(path: Path) -> NDArray[np.float32]:
    """A whole sound file at 16 kHz, mono.

    Returns:
        [N] float32, N > 0, all finite.

    Raises:
        DataError: the file is missing, no sound, empty, or holds NaN or infinite samples.
    """
    return np.concatenate(list(stream_wave(path)))


def stream_wave(path: Path, block_s: float = BLOCK_S) -> Iterator[NDArray[np.float32]]:
    """The samples of `read_wave` in blocks, so that memory does not depend on the file's length.

    Args:
        path: any file that libsndfile or FFmpeg can decode.
        block_s: seconds that are decoded at a time, > 0; the yielded blocks are about this long.

    Raises:
        DataError: see `read_wave`.
    """
    samples = 0
    for block in _decoded(path, block_s):
        if not np.isfinite(block).all():
            at_s = (samples + int(np.argmin(np.isfinite(block)))) / SAMPLE_RATE
            raise DataError(f"{path}: got NaN or infinite samples at {at_s:.3f} s, wanted numbers. {REMEDY}")
        samples += len(block)
        yield block
    if samples == 0:
        raise DataError(f"{path}: got no samples, wanted sound. {REMEDY}")


def resample(wave: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Change the rate of a waveform [N] with soxr at `HQ`, the same filter as librosa's default."""
    import soxr

    if from_hz == to_hz:
        return wave
    return soxr.resample(wave, from_hz, to_hz, quality="HQ").astype(np.float32, copy=False)


def _decoded(path: Path, block_s: float) -> Iterator[NDArray[np.float32]]:
    """16 kHz mono blocks of a file, unchecked; empty blocks are left out."""
    import soundfile

    if not path.is_file():
        raise DataError(f"{path}: no such file. {REMEDY}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes), wanted sound. {REMEDY}")
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        blocks, rate = _av_blocks(path, block_s)
    else:
        blocks, rate = _sndfile_blocks(path, sound, block_s), sound.samplerate
    yield from (block for block in at_16_khz(blocks, rate) if len(block))


def at_16_khz(blocks: Iterator[NDArray[np.float32]], rate: int) -> Iterator[NDArray[np.float32]]:
    """Change the rate of consecutive mono blocks [N]; the result is that of the whole wave."""
    import soxr

    if rate == SAMPLE_RATE:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, num_channels=1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block, last=False)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _sndfile_blocks(
    path: Path, sound: "soundfile.SoundFile", block_s: float
) -> Iterator[NDArray[np.float32]]:
    import soundfile

    with sound:
        size = max(1, round(block_s * sound.samplerate))
        while True:
            try:
                block = _samples(sound, size)
            except soundfile.LibsndfileError as error:
                raise DataError(f"{path}: can't be decoded to its end ({error}). {REMEDY}") from error
            if len(block) == 0:
                return
            yield mono(block)


def _samples(sound: "soundfile.SoundFile", size: int) -> NDArray[np.float32]:
    """The next samples [N, C], at most `size` of them, from -1 to 1."""
    if sound.subtype == "PCM_16":
        # The very numbers that libsndfile's own conversion gives, in a third of its time.
        return np.multiply(sound.read(size, dtype="int16", always_2d=True), _LSB, dtype=np.float32)
    return sound.read(size, dtype="float32", always_2d=True)


def _av_blocks(path: Path, block_s: float) -> tuple[Iterator[NDArray[np.float32]], int]:
    """Blocks and rate of a file's first sound track, decoded by FFmpeg."""
    import av

    try:
        with av.open(str(path), options=FFMPEG_OPTIONS) as container:
            if not container.streams.audio:
                raise DataError(f"{path}: no sound in it, but {_tracks(container)}. {REMEDY}")
            rate = container.streams.audio[0].rate
    except (av.FFmpegError, OSError) as error:
        why = error.strerror or error
        raise DataError(f"{path}: no sound that libsndfile or FFmpeg can read ({why}). {REMEDY}") from error
    return _grouped(_av_frames(path), max(1, round(block_s * rate))), rate


def _tracks(container: "av.container.InputContainer") -> str:
    """What a file holds, in words."""
    kinds = [stream.type for stream in container.streams]
    return ", ".join(f"{kinds.count(kind)} {kind} track(s)" for kind in dict.fromkeys(kinds)) or "nothing"


def _av_frames(path: Path) -> Iterator[NDArray[np.float32]]:
    import av

    try:
        with av.open(str(path), options=FFMPEG_OPTIONS) as container:
            planar = av.AudioResampler(format="fltp")  # only the sample format changes
            for frame in container.decode(container.streams.audio[0]):
                for part in planar.resample(frame):
                    yield mono(part.to_ndarray().T.astype(np.float32, copy=False))
    except (av.FFmpegError, OSError) as error:
        why = error.strerror or error
        raise DataError(f"{path}: can't be decoded to its end ({why}). {REMEDY}") from error


def _grouped(frames: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Join short frames to blocks of at least `size` samples."""
    held: list[NDArray[np.float32]] = []
    for frame in frames:
        held.append(frame)
        if sum(map(len, held)) >= size:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def mono(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, C] to [N]: the mean of the channels."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
