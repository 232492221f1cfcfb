"""Clean-up: resting feet stay where they rest, bones keep their lengths, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from omniges.errors import DataError
from omniges.motion import parts
from omniges.motion.cleanup import FARTHEST_M, ROOM_M, clean
from omniges.motion.layout import JOINT_NAMES, N_JOINTS, PARENTS
from omniges.motion.legs import leg_of, reach_for
from omniges.motion.skeleton import REST_OFFSETS, joint_positions
from omniges.types import Motion

FPS = 30.0
FEET = [JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("ankle", "foot")]
LEGS = [
    JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("hip", "knee", "ankle")
]


def standing(seconds=6.0, knee=0.4, **parts):
    """Somebody who stands with bent knees; `parts` are [T, 3] by joint name, or trans."""
    n = round(seconds * FPS)
    poses = np.zeros((n, N_JOINTS, 3), np.float32)
    for side in ("left", "right"):
        poses[:, JOINT_NAMES.index(f"{side}_hip"), 0] = -knee / 2
        poses[:, JOINT_NAMES.index(f"{side}_knee"), 0] = knee
        poses[:, JOINT_NAMES.index(f"{side}_ankle"), 0] = -knee / 2
    trans = parts.pop("trans", np.zeros((n, 3)))
    for name, angles in parts.items():
        poses[:, JOINT_NAMES.index(name)] = angles
    return Motion(
        poses=poses, trans=trans, expressions=np.zeros((n, 100)), betas=np.zeros(300, np.float32), fps=FPS
    )


def wave(seconds=6.0, hz=0.5):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * FPS)) / FPS)


def swaying():
    """Feet dragged about by a swaying, bobbing pelvis, and arms that move meanwhile."""
    trans = wave()[:, None] * [0.04, 0.005, -0.03]
    turn = wave(hz=0.3)[:, None] * [0.01, 0.1, 0.0]
    return standing(trans=trans, pelvis=turn, left_shoulder=wave(hz=1)[:, None] * [0.2, 0, 0.9])


def test_a_resting_foot_stays_within_a_tenth_of_a_millimetre():
    before, (after, report) = swaying(), clean(swaying(), ["feet"])
    assert np.ptp(joint_positions(before)[:, FEET], axis=0).max() > 0.08
    assert np.ptp(joint_positions(after)[:, FEET], axis=0).max() < 1e-4
    assert report["feet"]["resting"] == {"left": 1.0, "right": 1.0}
    assert report["feet"]["steps_added"] == 0


def test_bones_keep_their_lengths_and_other_limbs_their_turns():
    before, (after, _) = swaying(), clean(swaying(), ["feet"])
    others = [joint for joint in range(N_JOINTS) if joint not in LEGS]
    np.testing.assert_array_equal(after.poses[:, others], before.poses[:, others])
    np.testing.assert_array_equal(after.trans[:, [0, 2]], before.trans[:, [0, 2]])
    places = joint_positions(after)
    bones = np.linalg.norm(places[:, 1:] - places[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(np.linalg.norm(REST_OFFSETS[1:], axis=-1), bones.shape))


def test_motion_without_contact_is_not_touched():
    """A body that glides at 1 m/s, faster than anything that rests."""
    n = round(6 * FPS)
    gliding = standing(trans=np.linspace(0, 6, n)[:, None] * [1.0, 0, 0], head=wave()[:, None] * [0.1, 0, 0])
    after, report = clean(gliding, ["feet"])
    np.testing.assert_array_equal(after.poses, gliding.poses)
    np.testing.assert_array_equal(after.trans, gliding.trans)
    assert report["feet"]["resting"] == {"left": 0.0, "right": 0.0}


def test_only_the_rest_and_a_short_while_around_it_are_touched():
    """2 s of gliding, 2 s of a slow slide, 2 s of gliding."""
    speed = np.repeat([1.0, 0.02, 1.0], round(2 * FPS)) / FPS
    motion = standing(trans=np.cumsum(speed)[:, None] * [1.0, 0, 0])
    after, _ = clean(motion, ["feet"])
    changed = np.flatnonzero((after.poses != motion.poses).any((1, 2))) / FPS
    assert 1.5 < changed.min() < 2.5
    assert 3.5 < changed.max() < 4.5
    feet = joint_positions(after)[:, FEET]
    assert np.ptp(feet[round(2.4 * FPS) : round(3.6 * FPS)], axis=0).max() < 1e-4
    # nothing jumps: a foot that glides moves 1 m/s, so 33 mm a frame, and catches up its shift over 0.2 s
    assert np.linalg.norm(np.diff(feet, axis=0), axis=-1).max() < 0.05


def test_the_knee_obeys_the_law_of_cosines():
    leg = leg_of(standing(seconds=1.0), "left")
    rng = np.random.default_rng(0)
    wanted = leg.hip + np.array([0.02, -0.68, 0.05]) + rng.normal(0, 0.04, leg.hip.shape)
    angles = reach_for(leg, wanted, leg.turns[:, 2])
    motion = standing(seconds=1.0)
    motion.poses[:, leg.joints[:3]] = angles
    got = leg_of(motion, "left")
    np.testing.assert_allclose(got.ankle, wanted, atol=1e-6)
    np.testing.assert_allclose(got.turns[:, 2], leg.turns[:, 2], atol=1e-6)
    thigh, shank = (float(np.linalg.norm(REST_OFFSETS[joint])) for joint in leg.joints[1:3])
    distance = np.linalg.norm(wanted - leg.hip, axis=1)
    inner = np.arccos((thigh**2 + shank**2 - distance**2) / (2 * thigh * shank))
    to_hip, to_ankle = got.hip - got.knee, got.ankle - got.knee
    np.testing.assert_allclose((to_hip * to_ankle).sum(1) / (thigh * shank), np.cos(inner), atol=1e-6)
    assert (got.turns[:, 0, :, 2] * (got.knee - got.hip)).sum(1).mean() > 0  # the knee points forward


def test_the_pelvis_sinks_where_a_straight_leg_would_not_reach():
    """Nearly straight legs under a pelvis that rises and falls by 12 mm."""
    motion = standing(knee=0.1, trans=wave()[:, None] * [0, 0.012, 0])
    after, report = clean(motion, ["feet"])
    assert np.ptp(joint_positions(after)[:, FEET], axis=0).max() < 1e-4
    assert 0.008 < report["feet"]["largest_sink_m"] < 0.02
    assert (after.trans[:, 1] <= motion.trans[:, 1]).all()


def test_a_foot_that_slides_far_takes_steps_instead_of_stretching():
    trans = np.linspace(0, 0.5, round(6 * FPS))[:, None] * [1.0, 0, 0]  # 8 cm/s: slow enough to rest
    after, report = clean(standing(trans=trans), ["feet"])
    assert report["feet"]["steps_added"] >= 4
    assert report["feet"]["largest_shift_m"] < 0.15
    foot = joint_positions(after)[:, FEET[0]]
    still = np.linalg.norm(np.diff(foot, axis=0), axis=1) < 1e-5
    assert still.mean() > 0.6
    assert np.ptp(foot[:, 1]) > 0.01  # steps lift the foot


def test_a_root_that_drifts_is_kept_near_and_one_that_does_not_is_left_alone():
    drifting = standing(seconds=60, trans=np.linspace(0, 6, 1800)[:, None] * [0.6, 0, 0.8] + [3.0, 1.0, -2.0])
    after, report = clean(drifting, ["drift"])
    away = np.linalg.norm((after.trans - after.trans[0])[:, [0, 2]], axis=1)
    assert away.max() <= FARTHEST_M
    np.testing.assert_allclose(report["drift"]["farthest_before_m"], 6.0)
    np.testing.assert_allclose(report["drift"]["farthest_m"], away.max())
    np.testing.assert_array_equal(after.trans[:, 1], drifting.trans[:, 1])
    np.testing.assert_array_equal(after.trans[0], drifting.trans[0])
    near = standing(trans=wave()[:, None] * [ROOM_M * 0.9, 0.1, 0])
    np.testing.assert_array_equal(clean(near, ["drift"])[0].trans, near.trans)


def test_joints_are_turned_back_to_their_limits_and_reported():
    n = round(6 * FPS)
    far = np.zeros((n, 3))
    far[10:20, 1] = np.radians(-170)  # left elbow, 15 degrees beyond
    back = np.zeros((n, 3))
    back[5, 0] = np.radians(-40)  # a knee bent the wrong way, 25 beyond
    fine = np.full((n, 3), 0.2)
    motion = standing(left_elbow=far, right_knee=back, neck=fine)
    after, report = clean(motion, ["limits"])
    assert report["limits"] == {
        "left_elbow": {"frames": 10, "worst_deg": pytest.approx(15, abs=0.01)},
        "right_knee": {"frames": 1, "worst_deg": pytest.approx(25, abs=0.01)},
    }
    degrees = np.degrees(after.poses)
    np.testing.assert_allclose(
        degrees[10:20, JOINT_NAMES.index("left_elbow")], [[0, -155, 0]] * 10, atol=1e-3
    )
    np.testing.assert_allclose(degrees[5, JOINT_NAMES.index("right_knee")], [-15, 0, 0], atol=1e-3)
    same = [joint for joint, name in enumerate(JOINT_NAMES) if name not in ("left_elbow", "right_knee")]
    np.testing.assert_array_equal(after.poses[:, same], motion.poses[:, same])
    assert clean(after, ["limits"])[1]["limits"] == {}


@pytest.mark.parametrize("step", ["limits", "feet"])
def test_a_long_clip_is_cleaned_part_by_part_as_if_it_were_whole(step, monkeypatch):
    motion = swaying()
    motion.poses[20:90, JOINT_NAMES.index("left_elbow"), 1] = np.radians(-170)
    one, said = clean(motion, [step])
    assert (one.poses != motion.poses).any()
    monkeypatch.setattr(parts, "PART_FRAMES", 7)
    other, same = clean(motion, [step])
    np.testing.assert_allclose(other.poses, one.poses, atol=1e-6)
    np.testing.assert_allclose(other.trans, one.trans, atol=1e-12)
    assert said == same if step == "limits" else said["feet"]["resting"] == same["feet"]["resting"]


def test_no_step_changes_nothing_and_an_unknown_one_is_refused():
    motion = swaying()
    after, report = clean(motion, [])
    assert after is motion
    assert report == {}
    with pytest.raises(DataError, match="feets"):
        clean(motion, ["feets"])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_clips_are_fine(frames):
    motion = standing()
    short = replace(
        motion,
        poses=motion.poses[:frames],
        trans=motion.trans[:frames],
        expressions=motion.expressions[:frames],
    )
    assert clean(short, ["drift", "limits", "feet"])[0].n_frames == frames
