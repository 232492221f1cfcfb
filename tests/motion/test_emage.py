from pathlib import Path

import numpy as np
import pytest

from omniges.errors import ShapeError
from omniges.motion import emage
from omniges.motion.smplx_body import SmplxBody
from omniges.types import Motion


def first(motion: Motion, n: int) -> Motion:
    return Motion(
        poses=motion.poses[:n],
        trans=motion.trans[:n],
        expressions=motion.expressions[:n],
        betas=motion.betas,
        fps=30.0,
    )


def test_channels_and_contacts_are_emages(clip_1: Motion, shared: Path):
    body = SmplxBody(shared / "reference/smplx_synthetic/smplx_models/smplx/SMPLX_NEUTRAL_2020.npz")
    clip = first(clip_1, 300)
    got = emage.to_emage(clip, body.joints(clip))
    want = np.load(shared / "reference/representation/emage_inputs_first60.npz")
    for name in ("face", "upper", "hands", "lower"):
        np.testing.assert_allclose(getattr(got, name)[:60], want[name], rtol=0, atol=1e-5)
    contacts = np.load(shared / "reference/representation/clip_first300_vq_inputs.npz")[
        "foot_contacts_7_8_10_11"
    ]
    np.testing.assert_array_equal(got.lower[:, 57:], contacts)


def test_velocities_are_summed_as_emage_does(shared: Path):
    v = np.load(shared / "reference/representation/emage_inputs_first60.npz")
    got = emage.integrate_velocity(v["velocity_in"][:, 0], float(v["position_init"]), 30.0)
    np.testing.assert_allclose(got, v["position_out"][:, 0], rtol=0, atol=1e-5)


def test_the_layout_reads_back(clip_1: Motion):
    channels = emage.to_emage(clip_1, np.zeros((clip_1.n_frames, 55, 3)))
    assert (channels.face.shape[1], channels.lower.shape[1]) == (106, 61)
    back = emage.from_emage(channels, 30.0, clip_1.betas)
    np.testing.assert_allclose(back.poses[:, :23], clip_1.poses[:, :23], atol=1e-4)
    np.testing.assert_allclose(back.poses[:, 25:], clip_1.poses[:, 25:], atol=1e-4)
    np.testing.assert_allclose(back.trans, clip_1.trans, atol=1e-4)
    np.testing.assert_allclose(back.expressions, clip_1.expressions, atol=1e-5)


def test_only_still_feet_touch_the_ground():
    joints = np.zeros((4, 55, 3))
    joints[1:, 7] = [0.0, 0.0, 0.02]  # the left ankle moves 2 cm once
    joints[:, 10, 0] = np.arange(4) * 0.009  # the left foot creeps under the threshold
    np.testing.assert_array_equal(emage.foot_contacts(joints), [[0, 1, 1, 1], *[[1, 1, 1, 1]] * 3])


def test_wrong_widths_are_named(clip_1: Motion):
    channels = emage.to_emage(first(clip_1, 4), np.zeros((4, 55, 3)))
    bad = emage.EmageChannels(**{**vars(channels), "lower": channels.lower[:, :57]})
    with pytest.raises(ShapeError, match="lower"):
        emage.from_emage(bad, 30.0)
