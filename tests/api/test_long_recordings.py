"""Recordings of any length: window by window gives the same motion as all at once, and nothing piles up."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from omniges.errors import DataError
from omniges.features import mfcc
from omniges.motion.features import features_from_gesture, features_to_motion
from omniges.sampling.generate import generate_clips
from omniges.spool import Spool, let_go, passed
from omniges.types import Word


def test_motion_is_that_of_the_pipelines_generator(omniges, tone):
    """Same bits for the features, so the same motion up to rounding, over several windows with words."""
    wave = np.tile(tone, 4)  # 12 s, about nine windows
    words = [Word(text=f"word{i}", start_s=0.7 * i, end_s=0.7 * i + 0.5) for i in range(16)]
    take = omniges.generate(wave, transcript=words, seed=5, speaker=2)
    speech = omniges.ear.hear(wave, words, "speech", 1)
    made = generate_clips(omniges.model, omniges.tokenizer, [speech], 5, omniges.sampling)[0]
    side = made.side.numpy()
    want = features_to_motion(features_from_gesture(made.gesture.numpy(), side), side, np.zeros(2), 30.0)
    np.testing.assert_allclose(take.motion.poses, want.poses, atol=2e-4)
    np.testing.assert_allclose(take.motion.trans, want.trans, atol=1e-5)
    np.testing.assert_allclose(take.motion.expressions, want.expressions, atol=1e-4)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(omniges, tone, tmp_path, monkeypatch):
    """Python's and numpy's own allocations; the arrays themselves lie on disk."""
    monkeypatch.setattr(mfcc, "_SPOOL_BYTES", 2**20)  # 32 MB are 10 minutes, longer than this test

    def peak(repeats):
        with sf.SoundFile(tmp_path / "long.wav", "w", 16_000, 1) as sound:
            for _ in range(repeats):
                sound.write(tone)
        tracemalloc.start()
        take = omniges.generate(tmp_path / "long.wav", steps=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert take.motion.n_frames == 90 * repeats
        return found

    peak(10)  # first uses fill caches; from 30 repeats on, WavLM hears whole batches
    # 60 s more are 4 MB of sound, 3 MB of features, 5 MB of latents and gesture and 3 MB of motion
    assert peak(50) < peak(30) + 1e6


def test_a_recording_that_was_heard_once_serves_many_takes(omniges, tone):
    heard = omniges.hear(tone, speaker=1, name="voice")
    one, other = omniges.generate(heard, seed=1), omniges.generate(heard, seed=2)
    np.testing.assert_array_equal(
        one.motion.poses, omniges.generate(tone, speaker=1, name="voice", seed=1).motion.poses
    )
    assert not np.array_equal(one.motion.poses, other.motion.poses)
    assert (one.name, one.notes["speaker"]) == ("voice", 1)
    with pytest.raises(DataError, match="was heard"):
        omniges.generate(heard, speaker=2)


def test_an_array_that_is_no_mono_wave_is_refused(omniges, tone, tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        omniges.generate(tmp_path)
    with pytest.raises(DataError, match=r"shape \(2, 48000\)"):
        omniges.generate(np.stack([tone, tone]))
    with pytest.raises(DataError, match="finite"):
        omniges.generate(np.where(np.arange(len(tone)) == 7, np.nan, tone))


def test_pages_that_were_passed_leave_memory_and_keep_what_was_written():
    """Linux's own count of resident memory; elsewhere, and on kernels before 5.4, nothing is given back."""
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("no /proc on this system")

    def resident_mb():
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024

    found = Spool.of((np.full((2**18, 8), k, np.float32) for k in range(8)), np.float32)  # 64 MB
    found[5] = -1.0
    before = resident_mb()
    total = float(found.sum(dtype=np.float64))
    full = resident_mb()
    assert full > before + 50
    for start in range(0, len(found), 2**16):
        passed(found[start : start + 2**16])
    assert resident_mb() < full - 40
    assert found[5].tolist() == [-1.0] * 8
    assert float(found.sum(dtype=np.float64)) == total
    whole = resident_mb()
    clean = Spool.of([np.zeros((2**22, 4), np.float32)], np.float32)  # 64 MB
    clean.sum()
    let_go(torch.from_numpy(clean)[10:].numpy())  # by way of a tensor, as features go
    assert resident_mb() < whole + 20
    passed(np.zeros(3))  # not from a spool: nothing happens


def test_a_spool_gives_back_what_went_in():
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=(n, 3)).astype(np.float32) for n in (1, 0, 70_000, 5)]
    found = Spool.of(iter(blocks), np.float32)
    np.testing.assert_array_equal(found, np.concatenate(blocks))
    let_go(found, found[10:20], np.asarray(found).reshape(-1))
    np.testing.assert_array_equal(found, np.concatenate(blocks))
    found[:] = 0  # stays in memory
    assert torch.from_numpy(found).sum() == 0
    assert Spool.of(iter([blocks[1]]), np.float16).shape == (0, 3)
    let_go(np.zeros(3))  # not from a spool: nothing happens
