"""Exports and clean-up work part by part: the parts' length decides nothing, and nothing piles up."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from omniges.corpus.face import expression_basis
from omniges.motion import parts
from omniges.motion.cleanup import clean
from omniges.rendering import blendshapes
from omniges.rendering.blendshapes import write_arkit_json
from omniges.rendering.bvh import write_bvh
from omniges.rendering.glb import write_glb

WRITERS = {"bvh": write_bvh, "glb": write_glb, "json": write_arkit_json}


def long(motion, frames):
    """Again and again, turning on about the vertical, so that angles run over half a turn and on."""
    repeats = -(-frames // motion.n_frames)
    poses = np.tile(motion.poses, (repeats, 1, 1))[:frames]
    poses[:, 0] = np.arange(frames)[:, None] * np.float32([0, 0.05, 0])
    poses[:, 18] *= 4  # an elbow beyond its limit now and then
    drive = np.abs(np.sin(np.arange(frames)[:, None] * np.arange(1, 10) / 9))
    trans = np.tile(motion.trans, (repeats, 1))[:frames]
    return replace(motion, poses=poses, trans=trans, expressions=drive @ expression_basis())


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_the_same_however_long_the_parts_are(kind, motion, tmp_path, monkeypatch):
    whole = long(motion, 150)
    WRITERS[kind](tmp_path / f"whole.{kind}", whole)
    for module in (parts, blendshapes):
        monkeypatch.setattr(module, "PART_FRAMES", 7)
    WRITERS[kind](tmp_path / f"parts.{kind}", whole)
    one, other = (tmp_path / f"{name}.{kind}" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("kind", [*WRITERS, "limits", "feet"])
def test_memory_grows_by_little_a_frame(kind, motion, tmp_path, monkeypatch):
    """Python's and numpy's own allocations; all 55 joints as float64 angles would be 1320 bytes a frame."""
    for module in (parts, blendshapes):
        monkeypatch.setattr(module, "PART_FRAMES", 64)

    def peak(frames):
        whole = long(motion, frames)
        tracemalloc.start()
        if kind in WRITERS:
            WRITERS[kind](tmp_path / f"a.{kind}", whole)
        else:
            clean(whole, [kind])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(64)  # first uses fill caches
    assert peak(1200) - peak(600) < 600 * 450
