"""The published protocol on folders: the formulas' digits, with cuts and copies as published."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omniges.audio.files import read_wave
from omniges.data.beat2 import read_motion
from omniges.errors import CheckpointError, EvaluationError
from omniges.evaluation import compat, protocol
from omniges.evaluation.protocol import Tools, score_published
from omniges.evaluation.scoring import Reference, Result, Variant
from omniges.types import Motion

CLIP = "2_scott_0_1_1"
SMPLX = "reference/smplx_synthetic/smplx_models/smplx/SMPLX_NEUTRAL_2020.npz"


@pytest.fixture(scope="module")
def tools(shared: Path, beat2_sample: Path) -> Tools:
    return Tools.load(
        shared / "reference/fgd/AESKConv_240_100_random.bin",
        shared / SMPLX,
        beat2_sample / protocol.MEAN_VELOCITY,
    )


@pytest.fixture(scope="module")
def values(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference/metrics/metrics_values.json").read_text())


@pytest.fixture(scope="module")
def truth(beat2_sample: Path) -> Motion:
    return read_motion(beat2_sample / f"smplxflame_30/{CLIP}.npz")


def variant(label: str, role: str, motion: Motion) -> Variant:
    return Variant(name=label, label=label, role=role, read=lambda _: Result(motion=motion))


def test_a_clip_as_its_own_result_meets_the_published_values(
    tools: Tools, values: dict[str, Any], truth: Motion, beat2_sample: Path
):
    """The result of the ground truth: eyes come to rest, so FGD is that of the reference's first row."""
    reference = Reference(
        clip=CLIP, speaker=2, split="test", motion=lambda: truth, onsets_s=None, words=None, mfcc=None
    )
    wave = read_wave(beat2_sample / f"wave16k/{CLIP}.wav")
    variants = [variant("result", "model", truth), variant("ground truth", "ground-truth", truth)]
    found = score_published([reference], variants, lambda _: truth, lambda _: wave, tools).figures
    row, want = found["omniges"]["result"], values["omniges_real_n1808"]
    assert row["frames"] == values["meta"]["evaluated_n"]
    assert row["l1div"] == pytest.approx(want["l1div"], rel=1e-5)
    assert row["bc"] == pytest.approx(want["bc_as_called_after_inplace_l1div"], abs=1e-6)
    want_fgd = values["fgd_one_clip_random_net"]["real_eyes_zeroed_vs_real"]
    assert row["fgd"] == pytest.approx(want_fgd, rel=1e-3)
    assert "fgd" not in found["omniges"]["ground truth"]
    emage = found["emage"]["result"]
    assert emage["frames"] == truth.n_frames
    assert emage["fgd"] == pytest.approx(-4.8e-4, rel=1e-3)  # fault I: equal sets score below zero
    assert row["face_mse"] == 0


def test_omniges_copies_the_jaw_and_emage_does_not(tools: Tools, truth: Motion, beat2_sample: Path):
    """Fault J: a result that never opens its mouth has no jaw error where the truth's is copied into it."""
    n = 250
    poses = truth.poses[:n].copy()
    poses[:, 22] = 0
    short = replace(
        truth,
        poses=truth.poses[:n],
        trans=truth.trans[:n],
        expressions=truth.expressions[:n],
    )
    mute = replace(short, poses=poses)
    wave = read_wave(beat2_sample / f"wave16k/{CLIP}.wav")[: 9 * 16000]
    errors = {}
    for which in protocol.PROTOCOLS:
        sums = protocol.Sums()
        protocol.add_clip(sums, mute, short, wave, tools, which, {})
        errors[which] = protocol.totals(sums, which, real=False)["face_mse"]
    assert errors["omniges"] == 0
    assert errors["emage"] > 1e-12


def test_faces_without_meshes_meet_the_published_values(
    tools: Tools, values: dict[str, Any], truth: Motion, shared: Path
):
    made = np.load(shared / "reference/metrics/metrics_vectors.npz")["expr_gen_first300"].astype(np.float64)
    real = replace(truth.part(0, 300), betas=np.zeros(300, np.float32))  # as the reference was made
    result = replace(real, expressions=made)
    found = {
        p: compat.face_of_differences(tools.face.differences(result, real), p) for p in protocol.PROTOCOLS
    }
    assert found["omniges"].mse == pytest.approx(values["face_omniges_n300"]["l2"], rel=1e-3)
    assert found["omniges"].lvd == pytest.approx(values["face_omniges_n300"]["lvel_as_coded"], rel=1e-3)
    assert found["emage"].mse == pytest.approx(values["face_pantomatrix_n300"]["mse"], rel=1e-3)
    assert found["emage"].lvd == pytest.approx(values["face_pantomatrix_n300"]["lvd"], rel=1e-3)


def test_blocks_of_a_mesh_give_what_the_whole_gives():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((50, 7, 3)).astype(np.float32) for _ in range(2))
    for which in protocol.PROTOCOLS:
        whole = compat.face_errors(a, b, which)
        parts = compat.face_of_differences(np.array_split(a - b, 7), which)
        assert parts.mse == pytest.approx(whole.mse, rel=1e-6)
        assert parts.lvd == pytest.approx(whole.lvd, rel=1e-6)


def test_what_the_protocol_cannot_score_is_said(tools: Tools, truth: Motion):
    slow = replace(truth, fps=15.0)
    with pytest.raises(EvaluationError, match="15 fps, wanted 30"):
        protocol.add_clip(protocol.Sums(), slow, truth, np.zeros(16000, np.float32), tools, "emage", {})
    short = replace(truth, poses=truth.poses[:100], trans=truth.trans[:100])
    with pytest.raises(EvaluationError, match="100 frames to score"):
        protocol.scored_frames(short, truth, np.zeros(160000, np.float32), "emage")


def test_a_wrong_file_of_mean_speeds_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="can't be read"):
        protocol.read_mean_velocity(tmp_path / "none.npy")
    np.save(tmp_path / "wrong.npy", np.ones(54))
    with pytest.raises(CheckpointError, match="wanted 55 positive"):
        protocol.read_mean_velocity(tmp_path / "wrong.npy")
