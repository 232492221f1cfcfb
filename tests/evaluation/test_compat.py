"""The published protocol against vectors that the peers' own code produced."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omniges.audio.files import read_wave
from omniges.audio.onsets import field_round_trip, onset_times
from omniges.data.beat2 import read_motion
from omniges.evaluation import compat
from omniges.evaluation.beats import beat_consistency, beat_times_s
from omniges.evaluation.diversity import l1_diversity
from omniges.evaluation.kinematics import speed
from omniges.motion.smplx_body import SmplxBody
from omniges.types import Motion


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    with np.load(shared / "reference/metrics/metrics_vectors.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def values(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference/metrics/metrics_values.json").read_text())


@pytest.fixture(scope="module")
def mean_velocity(beat2_sample: Path) -> np.ndarray:
    return np.load(beat2_sample / "weights/mean_vel_smplxflame_30.npy")


@pytest.fixture(scope="module")
def body(shared: Path) -> SmplxBody:
    return SmplxBody(shared / "reference/smplx_synthetic/smplx_models/smplx/SMPLX_NEUTRAL_2020.npz")


def joints_of(body: SmplxBody, motion: Motion, protocol: compat.Protocol) -> np.ndarray:
    return body.joints(compat.scored_pose(motion, protocol))


def real_clip(beat2_sample: Path, n: int) -> Motion:
    """The clip as it was scored: eyes at rest."""
    motion = read_motion(beat2_sample / "smplxflame_30/2_scott_0_1_1.npz")
    poses = motion.poses[:n].copy()
    poses[:, 23:25] = 0
    return Motion(
        poses=poses,
        trans=motion.trans[:n],
        expressions=motion.expressions[:n],
        betas=motion.betas,
        fps=motion.fps,
    )


@pytest.mark.parametrize("which", ["real", "gen"])
def test_l1div_and_what_it_leaves_behind(vectors: dict[str, Any], values: dict[str, Any], which: str):
    joints = vectors[f"{which}_joints_first300"]
    want = values[f"omniges_{which}_n300"]["l1div"]
    assert compat.l1div([joints]) == pytest.approx(want, rel=1e-5)
    left = vectors[f"{which}_joints_first300_mutated_by_l1div"].reshape(300, -1)
    np.testing.assert_allclose(compat.l1_deviation(joints), left, rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", ["real", "gen"])
def test_bc_with_its_faults(
    vectors: dict[str, Any], values: dict[str, Any], mean_velocity: np.ndarray, which: str
):
    joints, onsets = vectors[f"{which}_joints_first300"], vectors["onsets_omniges_n300"]
    want = values[f"omniges_{which}_n300"]
    got = compat.beat_consistency(joints, onsets, mean_velocity, "omniges")
    assert got == pytest.approx(want["bc_as_called_after_inplace_l1div"], abs=1e-6)
    clean = compat.beats(joints, mean_velocity, 0.3)
    unmutated = np.mean([compat._alignment(onsets, clean[j] / 30) for j in compat.UPPER_JOINTS])
    assert unmutated == pytest.approx(want["bc_on_unmutated_joints"], abs=1e-6)
    for joint, beats in enumerate(vectors[f"{which}_n300_beats_unmutated"]):
        np.testing.assert_array_equal(clean[joint], beats[beats >= 0])


def test_whole_clip_with_the_omniges_protocol(
    body: SmplxBody, beat2_sample: Path, values: dict[str, Any], mean_velocity: np.ndarray
):
    wave = read_wave(beat2_sample / "wave16k/2_scott_0_1_1.wav")
    full = read_motion(beat2_sample / "smplxflame_30/2_scott_0_1_1.npz")
    n = compat.generated_frames(len(wave) / 16000, full.n_frames)
    assert n == values["meta"]["evaluated_n"]
    assert compat.fgd_frames(n) == values["fgd_one_clip_random_net"]["n_used"]
    want = values["omniges_real_n1808"]
    joints = joints_of(body, real_clip(beat2_sample, n), "omniges")
    assert compat.l1div([joints]) == pytest.approx(want["l1div"], rel=1e-5)
    onsets = onset_times(compat.audio_window(field_round_trip(wave), n, "omniges"))
    assert len(onsets) == want["n_onsets"]
    got = compat.beat_consistency(joints, onsets, mean_velocity, "omniges")
    assert got == pytest.approx(want["bc_as_called_after_inplace_l1div"], abs=1e-6)


def test_whole_clip_with_the_emage_protocol(
    body: SmplxBody,
    beat2_sample: Path,
    values: dict[str, Any],
    vectors: dict[str, Any],
    mean_velocity: np.ndarray,
):
    wave = read_wave(beat2_sample / "wave16k/2_scott_0_1_1.wav")
    want = values["pantomatrix_real_n1808"]
    clip = real_clip(beat2_sample, 1808)  # the vectors were made from what the omniges protocol had saved
    saved = replace(clip, poses=compat.through_field_rotations(clip.poses))
    joints = joints_of(body, saved, "emage")
    np.testing.assert_allclose(joints[:150], vectors["real_panto_position_first150"], rtol=0, atol=2e-4)
    assert compat.l1div([joints]) == pytest.approx(want["l1div"], rel=1e-5)
    onsets = onset_times(compat.audio_window(wave, 1808, "emage"))
    np.testing.assert_allclose(onsets, vectors["onsets_panto_n1808"], rtol=0, atol=1e-9)
    assert compat.beat_consistency(joints, onsets, mean_velocity, "emage") == pytest.approx(
        want["bc"], abs=1e-6
    )


def test_fgd_of_one_clip(vectors: dict[str, Any], values: dict[str, Any]):
    real, gen = vectors["latent_real_whole_clip"], vectors["latent_gen_whole_clip"]
    want = values["fgd_one_clip_random_net"]
    assert compat.fgd([gen], [real], "omniges") == pytest.approx(want["gen_vs_real"], rel=1e-4)
    assert compat.fgd([gen], [real], "emage") == pytest.approx(want["pantomatrix_FGD_class"], rel=1e-4)


def test_face_errors(body: SmplxBody, beat2_sample: Path, vectors: dict[str, Any], values: dict[str, Any]):
    motion = read_motion(beat2_sample / "smplxflame_30/2_scott_0_1_1.npz")

    def vertices(expressions: np.ndarray) -> np.ndarray:
        poses = np.zeros((300, 55, 3), np.float32)
        poses[:, 22] = motion.poses[:300, 22]
        posed = Motion(
            poses=poses,
            trans=np.zeros((300, 3)),
            expressions=expressions,
            betas=np.zeros(300, np.float32),
            fps=30.0,
        )
        return np.concatenate([b.vertices for b in body.pose(posed)])

    truth, result = (
        vertices(motion.expressions[:300]),
        vertices(vectors["expr_gen_first300"].astype(np.float64)),
    )
    omniges, emage = (compat.face_errors(result, truth, p) for p in ("omniges", "emage"))
    assert omniges.mse == pytest.approx(values["face_omniges_n300"]["l2"], rel=1e-3)
    assert omniges.lvd == pytest.approx(values["face_omniges_n300"]["lvel_as_coded"], rel=1e-3)
    assert emage.lvd == pytest.approx(values["face_pantomatrix_n300"]["lvd"], rel=1e-3)
    intended = values["face_omniges_n300"]["lvel_intended"]
    assert compat.vertex_velocity_error(result, truth) == pytest.approx(intended, rel=1e-3)


# What the correct mode does, on inputs where the faulty version gives another answer.


def test_correct_l1div_leaves_its_argument_alone_and_bc_does_not_care_for_the_order():
    rng = np.random.default_rng(0)
    joints = np.cumsum(rng.standard_normal((300, 55, 3)), axis=0) * 0.01
    before, onsets = joints.copy(), np.arange(0.5, 9.5, 0.7)
    first = beat_consistency(joints, onsets, 30.0)
    l1_diversity(joints)
    np.testing.assert_array_equal(joints, before)
    assert beat_consistency(joints, onsets, 30.0) == first


def test_correct_bc_mask_looks_at_the_beat_itself():
    """All joints swing until second 8, then only tremble. A trembling minimum is no beat; 60 frames off, it
    is kept.
    """
    seconds = np.arange(600) / 30
    swing = np.where(seconds < 8, 0.3 * np.sin(2 * np.pi * 0.5 * seconds), 0)
    joints = np.zeros((600, 55, 3))
    joints[:, :, 0] = (swing + 1e-5 * np.sin(2 * np.pi * 0.7 * seconds))[:, None]
    own = beat_times_s(speed(joints, 30.0), 30.0, 0.1)[20]
    assert own.max() < 8.5
    faulty = compat.beats(joints.astype(np.float32), np.full(55, 0.1, np.float32), 0.3)[20] / 30 + 2
    assert faulty.max() > 8.5  # called beats because the swing of two seconds earlier is looked up


def test_correct_velocity_error_of_a_constant_offset_is_zero():
    truth = np.random.default_rng(1).standard_normal((50, 20, 3)).astype(np.float32)
    shifted = truth + np.float32(0.5)
    assert compat.vertex_velocity_error(shifted, truth) == pytest.approx(0, abs=1e-6)
    assert compat.face_errors(shifted, truth, "omniges").lvd == pytest.approx(0.5, abs=1e-6)  # no velocity
