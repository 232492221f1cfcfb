"""Sound files against sines whose every sample is known."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from omniges.audio.files import read_wave, resample, stream_wave
from omniges.errors import DataError


def sine(rate: int, seconds: float, hz: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write_with_ffmpeg(path: Path, wave: NDArray[np.float32], rate: int, codec: str, container: str) -> None:
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")  # else FFmpeg makes it stereo, 3 dB softer
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)


@pytest.mark.parametrize(("subtype", "tolerance"), [("PCM_16", 1.0 / 32768), ("FLOAT", 0.0)])
def test_16_khz_mono_is_returned_sample_by_sample(tmp_path, subtype, tolerance):
    want = sine(16_000, 1.0)
    soundfile.write(tmp_path / "a.wav", want, 16_000, subtype=subtype)
    got = read_wave(tmp_path / "a.wav")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AIFF"])
def test_every_16_bit_sample_is_the_number_that_libsndfile_makes_of_it(tmp_path, container):
    every = np.arange(-(2**15), 2**15).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", every, 16_000, subtype="PCM_16", format=container)
    want, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    np.testing.assert_array_equal(read_wave(tmp_path / "a.wav"), want)


def test_44_1_khz_stereo_becomes_the_mean_of_its_channels_at_16_khz(tmp_path):
    left = sine(44_100, 2.0)
    soundfile.write(
        tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 44_100, subtype="FLOAT"
    )
    got = read_wave(tmp_path / "a.wav")
    assert len(got) == 32_000
    inner = slice(800, -800)  # the filter rings at the file's ends
    np.testing.assert_allclose(got[inner], 0.5 * sine(16_000, 2.0)[inner], atol=2e-4)


@pytest.mark.parametrize(
    ("name", "codec", "container"), [("a.wav", "libmp3lame", "mp3"), ("a.m4a", "aac", "mp4")]
)
def test_compressed_sound_is_read_by_content_and_not_by_name(tmp_path, name, codec, container):
    write_with_ffmpeg(tmp_path / name, sine(44_100, 2.0), 44_100, codec, container)
    got = read_wave(tmp_path / name)
    assert 1.99 < len(got) / 16_000 < 2.12  # encoders add up to a tenth of a second
    middle = got[8_000:24_000]
    loudest_hz = np.argmax(np.abs(np.fft.rfft(middle)))  # one second: bins of 1 Hz
    assert loudest_hz == 440
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
@pytest.mark.parametrize("block_s", [0.01, 0.37, 5.0])
def test_block_length_changes_no_sample(tmp_path, rate, block_s):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, rate * 2).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, rate, subtype="FLOAT")
    got = np.concatenate(list(stream_wave(tmp_path / "a.wav", block_s)))
    np.testing.assert_array_equal(got, read_wave(tmp_path / "a.wav"))
    np.testing.assert_allclose(got, resample(noise, rate, 16_000), atol=1e-6)


def test_nan_is_refused_with_its_time(tmp_path):
    wave = sine(16_000, 30.0)
    wave[25 * 16_000] = np.nan
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"a\.wav: got NaN or infinite samples at 25\.000 s"):
        read_wave(tmp_path / "a.wav")


def test_a_missing_an_empty_and_a_text_file_are_each_named(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16_000)
    (tmp_path / "text.wav").write_text("not a sound\n" * 100)
    (tmp_path / "hollow.wav").write_bytes(b"")
    for name, problem in {
        "absent.wav": "no such file",
        "empty.wav": "got no samples",
        "text.wav": "no sound that libsndfile or FFmpeg can read",
        "hollow.wav": "the file is empty",
    }.items():
        with pytest.raises(DataError, match=f"{name}: {problem}"):
            read_wave(tmp_path / name)


def test_a_film_without_sound_says_what_it_holds_and_one_with_sound_is_read(tmp_path):
    for name, heard in (("silent.mp4", False), ("film.mp4", True)):
        with av.open(str(tmp_path / name), "w") as film:
            video = film.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            sound = film.add_stream("aac", rate=16_000, layout="mono") if heard else None
            for _ in range(25):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                film.mux(video.encode(frame))
            film.mux(video.encode())
            if sound is not None:
                block = av.AudioFrame.from_ndarray(sine(16_000, 1.0)[None, :], format="fltp", layout="mono")
                block.sample_rate = 16_000
                film.mux(sound.encode(block))
                film.mux(sound.encode())
    with pytest.raises(DataError, match=r"silent\.mp4: no sound in it, but 1 video track"):
        read_wave(tmp_path / "silent.mp4")
    assert 15_000 < len(read_wave(tmp_path / "film.mp4")) < 18_000


def test_one_sample_and_silence_are_sound(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.full(1, 0.25, np.float32), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_wave(tmp_path / "one.wav"), np.float32([0.25]))
    soundfile.write(tmp_path / "zero.wav", np.zeros(16_000, np.float32), 16_000)
    assert not read_wave(tmp_path / "zero.wav").any()


def test_a_playlist_does_not_choose_what_is_read(tmp_path):
    """FFmpeg alone would read the other file."""
    soundfile.write(tmp_path / "other.wav", np.full(16_000, 0.5, np.float32), 16_000)
    (tmp_path / "list.wav").write_text("ffconcat version 1.0\nfile other.wav\n")
    with av.open(str(tmp_path / "list.wav")) as container:
        assert container.format.name == "concat"
    with pytest.raises(DataError, match=r"list\.wav: no sound"):
        read_wave(tmp_path / "list.wav")
