import io

import numpy as np
import pytest
import soundfile as sf

from omniges.audio.files import read_wave
from omniges.audio.pipe import stream_pipe
from omniges.errors import DataError


class Trickle(io.RawIOBase):
    """Bytes as a pipe gives them: now 1, now 1000, never all."""

    def __init__(self, data):
        self.data, self.place, self.turn = data, 0, 0

    def read(self, n=-1):
        got = self.data[self.place : self.place + n]
        self.place += len(got)
        return got

    def read1(self, n):
        self.turn += 1
        return self.read(min(n, (1, 3, 1000, 777)[self.turn % 4]))


def sound(rate, channels):
    return 0.5 * np.random.default_rng(0).uniform(-1, 1, (rate // 2, channels))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_a_piped_wav_is_what_the_file_reader_reads(tmp_path, subtype, rate, channels, form):
    path = tmp_path / "a.wav"
    sf.write(path, sound(rate, channels), rate, subtype=subtype, format=form)
    got = np.concatenate(list(stream_pipe(Trickle(path.read_bytes()))))
    np.testing.assert_allclose(got, read_wave(path), atol=2e-6)


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_nobody_knew_is_no_length(tmp_path, length):
    path = tmp_path / "a.wav"
    sf.write(path, sound(16_000, 1), 16_000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = length.to_bytes(4, "little")
    got = np.concatenate(list(stream_pipe(Trickle(bytes(data)))))
    np.testing.assert_allclose(got, read_wave(path), atol=2e-6)


def test_what_follows_the_samples_is_no_sound(tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, sound(16_000, 1), 16_000)
    data = path.read_bytes() + b"LIST\x04\x00\x00\x00abcd"
    assert len(np.concatenate(list(stream_pipe(Trickle(data))))) == 8_000


def test_bare_samples_need_their_rate():
    samples = (np.array([0, 16_384, -32_768, 32_767])).astype("<i2")
    (got,) = stream_pipe(io.BytesIO(samples.tobytes() + b"\x01"), raw_hz=16_000)
    np.testing.assert_allclose(got, [0, 0.5, -1, 32_767 / 32_768])
    with pytest.raises(DataError, match="--raw-hz"):
        list(stream_pipe(io.BytesIO(samples.tobytes())))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt ", b"ID3\x03 an mp3, not a wav"])
def test_what_is_no_wav_is_refused(data):
    with pytest.raises(DataError, match="pipe"):
        list(stream_pipe(io.BytesIO(data)))


def test_a_wav_of_compressed_samples_is_refused(tmp_path):
    sf.write(tmp_path / "a.wav", sound(8_000, 1), 8_000, subtype="ULAW")
    with pytest.raises(DataError, match="format 7"):
        list(stream_pipe(io.BytesIO((tmp_path / "a.wav").read_bytes())))
