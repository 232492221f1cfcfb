"""Chunks and time, checked with networks whose output is known in closed form."""

import numpy as np
import pytest

from omniges.errors import ConfigError, DataError
from omniges.features.wavlm import chunks_of, wavlm_frames
from omniges.timing import frames_in

RATE = 16_000


class Ramp:
    """Feeds on a wave that counts seconds; each frame is the mean of the 400 samples that it sees."""

    receptive_field, stride = 400, 320

    def __init__(self) -> None:
        self.fed: list[tuple[int, ...]] = []

    def __call__(self, waves: np.ndarray) -> np.ndarray:
        self.fed.append(waves.shape)
        starts = np.arange(0, waves.shape[1] - self.receptive_field + 1, self.stride)
        means = [waves[:, s : s + self.receptive_field].astype(np.float64).mean(axis=1) for s in starts]
        return np.stack(means, axis=1)[..., None].astype(np.float32)


def seconds_as_wave(samples: int) -> np.ndarray:
    """Sample i is the middle of its own time: (i + 1/2) / 16000."""
    return ((np.arange(samples) + 0.5) / RATE).astype(np.float32)


def in_blocks(wave: np.ndarray, block: int) -> list[np.ndarray]:
    return [wave[i : i + block] for i in range(0, len(wave), block)]


@pytest.mark.parametrize("fps", [15.0, 30.0])
@pytest.mark.parametrize("overlap_s", [0.0, 0.5, 1.9])
@pytest.mark.parametrize("samples", [4_000, 31_999, 32_000, 32_001, 63_999, 100_000, 160_160])
def test_every_frame_holds_the_sound_of_its_own_moment(samples, overlap_s, fps):
    network = Ramp()
    chunks = chunks_of(in_blocks(seconds_as_wave(samples), 7001), 2.0, overlap_s)
    got = np.concatenate(list(wavlm_frames(chunks, network, batch=3, fps=fps)))[:, 0]
    assert len(got) == frames_in(samples / RATE, fps)
    middle_s = (np.arange(len(got)) + 0.5) / fps
    # Within a chunk the value is exact; the nearest frame holds for up to 12.5 ms (+ 20 ms) at its two ends.
    assert np.abs(got - middle_s).max() < 0.0326
    border_free = np.abs(got - middle_s) < 2e-5
    n_chunks = sum(shape[0] for shape in network.fed)
    assert (~border_free).sum() <= (2 * n_chunks if overlap_s == 0.0 else 2)


@pytest.mark.parametrize("samples", [32_000, 33_000, 64_000, 64_001, 100_000])
def test_chunks_are_equal_unpadded_cover_the_clip_and_end_with_it(samples):
    wave = seconds_as_wave(samples)
    chunks = list(chunks_of(in_blocks(wave, 999), 2.0, 0.5))
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.wave, wave[chunk.start : chunk.start + 32_000])
    starts = [chunk.start for chunk in chunks]
    assert starts[:-1] == [24_000 * i for i in range(len(chunks) - 1)]
    assert starts[-1] + 32_000 == samples
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_a_clip_below_a_chunk_is_fed_as_it_is():
    (chunk,) = chunks_of([seconds_as_wave(10_000)], 2.0, 0.5)
    np.testing.assert_array_equal(chunk.wave, seconds_as_wave(10_000))


@pytest.mark.parametrize("block", [1, 320, 31_999, 200_000])
def test_how_the_wave_comes_in_changes_nothing(block):
    wave = seconds_as_wave(70_000)
    whole = list(chunks_of([wave], 2.0, 0.5))
    parts = list(chunks_of(in_blocks(wave, block), 2.0, 0.5))
    assert [(c.start, c.owned_to_s, c.last) for c in parts] == [
        (c.start, c.owned_to_s, c.last) for c in whole
    ]


def test_only_two_chunks_are_in_memory_at_a_time():
    """A network that sees chunk k must not have made the reader read beyond chunk k + 1 and a block."""
    read = 0

    def blocks():
        nonlocal read
        for _ in range(100):
            read += 16_000
            yield np.zeros(16_000, np.float32)

    for chunk in chunks_of(blocks(), 2.0, 0.5):
        assert read <= chunk.start + 2 * 32_000 + 16_000


def test_a_clip_too_short_for_one_frame_is_refused():
    with pytest.raises(DataError, match="1 samples at 16 kHz, WavLM needs at least 400"):
        list(wavlm_frames(chunks_of([np.zeros(1, np.float32)], 2.0, 0.5), Ramp(), batch=2, fps=30.0))


def test_an_overlap_as_long_as_the_chunk_is_refused():
    with pytest.raises(ConfigError, match="less than the chunk"):
        list(chunks_of([np.zeros(100, np.float32)], 2.0, 2.0))
