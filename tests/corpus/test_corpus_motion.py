import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omniges.corpus.arms import JOINT, hand_target
from omniges.corpus.body import move
from omniges.corpus.clips import FPS, make_motion
from omniges.corpus.controls import CHANNELS, INDEX, mix, wander
from omniges.corpus.face import expression_basis
from omniges.corpus.phones import base_phone
from omniges.corpus.plan import plan
from omniges.corpus.speakers import make_speaker, random_state
from omniges.corpus.stance import pose_legs, stand
from omniges.corpus.strokes import BETWEEN_STROKES_S, strokes
from omniges.motion.layout import N_JOINTS, PARENTS
from omniges.motion.skeleton import REST_OFFSETS, joint_positions


def turns(poses):
    """World rotation of every joint, by scipy."""
    out = [Rotation.from_rotvec(poses[:, 0])]
    for joint in range(1, N_JOINTS):
        out.append(out[PARENTS[joint]] * Rotation.from_rotvec(poses[:, joint]))
    return out


def test_planted_feet_stay_where_they_stand_and_point_level():
    stance = stand(random_state(11), 1800, FPS)
    poses = np.zeros((1800, N_JOINTS, 3))
    pose_legs(poses, stance)
    world = turns(poses)
    for side in ("left", "right"):
        hip = stance.pelvis + world[0].apply(REST_OFFSETS[JOINT[f"{side}_hip"]])
        knee = hip + world[JOINT[f"{side}_hip"]].apply(REST_OFFSETS[JOINT[f"{side}_knee"]])
        ankle = knee + world[JOINT[f"{side}_knee"]].apply(REST_OFFSETS[JOINT[f"{side}_ankle"]])
        both = stance.planted[side][1:] & stance.planted[side][:-1]
        assert 0.5 < both.mean() < 0.99
        assert np.linalg.norm(np.diff(ankle, axis=0), axis=1)[both].max() < 0.002
        assert np.linalg.norm(ankle - stance.ankles[side], axis=1).max() < 0.005
        toes = ankle + world[JOINT[f"{side}_ankle"]].apply(REST_OFFSETS[JOINT[f"{side}_foot"]])
        np.testing.assert_allclose((toes - ankle)[:, 1], REST_OFFSETS[JOINT[f"{side}_foot"]][1], atol=1e-9)
    assert np.ptp(stance.pelvis[:, 1]) < 0.12


def test_hands_reach_what_the_controls_ask_for(corpus_params, whole):
    controls = whole.parts[0].own
    motion = move(controls, whole.speaker, corpus_params.seed, Silent(), FPS)
    joints, world = joint_positions(motion), turns(motion.poses.astype(np.float64))
    for side in ("left", "right"):
        wrist = (
            world[JOINT["spine3"]].inv().apply(joints[:, JOINT[f"{side}_wrist"]] - joints[:, JOINT["spine3"]])
        )
        missed = np.linalg.norm(wrist - hand_target(controls, side), axis=1)
        near = np.linalg.norm(hand_target(controls, side) - [0, 0.13, 0], axis=1) < 0.42
        assert near.mean() > 0.2
        assert missed[near].max() < 0.03  # soft limit begins at 94 % of the reach


class Silent(np.random.RandomState):
    """Chance that changes nothing: no posture, no sway."""

    def standard_normal(self, size=None):
        return np.zeros(size)


def test_lips_close_on_m_b_p_and_the_jaw_opens_on_open_vowels(whole):
    part = whole.parts[0]
    closed, jaw = part.own[:, INDEX["closed"]], part.own[:, INDEX["jaw"]]

    def at(labels, track):
        middle = [
            0.5 * (p.start_s + p.end_s) for p in part.talk.speech.phones if base_phone(p.label) in labels
        ]
        return np.array([track[int(time * FPS)] for time in middle if time * FPS < len(track)])

    assert at({"M", "B", "P"}, closed).mean() > 3 * at({"AA", "IY", "S", "T"}, closed).mean()
    assert at({"AA", "AE", "AY", "AO"}, jaw).mean() > 2 * at({"M", "B", "P", "F", "V"}, jaw).mean()


def test_strokes_keep_their_distance_and_follow_their_accent(whole):
    accents = whole.parts[0].talk.accents
    found = strokes(accents)
    assert len(found) > 3
    assert np.diff([stroke.time_s for stroke in found]).min() >= BETWEEN_STROKES_S
    onsets = np.array([accent.time_s for accent in accents])
    for stroke in found:
        assert np.min(np.abs(stroke.time_s - 0.06 - onsets)) < 1e-9


def test_plan_holds_no_chance_and_flips_swap_the_hands(whole):
    talk, speaker = whole.parts[0].talk, whole.speaker
    ones = np.ones(len(talk.accents))
    first, again = plan(talk, speaker, ones, 180, FPS), plan(talk, speaker, ones, 180, FPS)
    np.testing.assert_array_equal(first, again)
    swapped = plan(talk, speaker, -ones, 180, FPS)
    for axis in ("out", "up", "front"):
        np.testing.assert_array_equal(swapped[:, INDEX[f"left_{axis}"]], first[:, INDEX[f"right_{axis}"]])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_mixing_keeps_moments_and_sets_the_correlation(share):
    draw = np.random.default_rng(0)
    own, unrelated = draw.normal(2.0, 3.0, (2, 200_000, 1))
    mixed = mix(own, unrelated, np.array([2.0]), share)
    assert mixed.mean() == pytest.approx(2.0, abs=0.03)
    assert mixed.std() == pytest.approx(3.0, rel=0.01)
    assert np.corrcoef(own[:, 0], mixed[:, 0])[0, 1] ** 2 == pytest.approx(share, abs=0.01)


def test_wandering_has_unit_variance_and_forgets_in_time():
    noise = wander(np.random.RandomState(0), 60_000, 30.0, 1.0, 4)
    assert noise.std() == pytest.approx(1.0, rel=0.05)
    lag = np.mean(noise[30:] * noise[:-30])
    assert lag == pytest.approx(np.exp(-1.0), abs=0.06)


def test_expressions_have_the_rank_of_their_basis(corpus_params, whole):
    motion = make_motion(corpus_params, whole, whole.parts[0])
    power = np.linalg.svd(motion.expressions - motion.expressions.mean(0), compute_uv=False)
    assert len(expression_basis()) == 9
    assert power[9] < 1e-9 * power[0]


def test_hidden_take_changes_the_motion_but_not_what_is_shared(corpus_params, whole):
    part = whole.parts[0]
    deaf = corpus_params.model_copy(update={"share": 0.0})
    all_ears = corpus_params.model_copy(update={"share": 1.0})
    jaw = JOINT["jaw"]
    takes = [
        [make_motion(p, whole, part, take).poses[:, jaw, 0] for take in (1, 2)] for p in (deaf, all_ears)
    ]
    assert abs(np.corrcoef(*takes[0])[0, 1]) < 0.5
    np.testing.assert_allclose(*takes[1], atol=1e-6)


def test_speakers_differ_and_do_not_depend_on_how_many_there_are():
    ada, ben = make_speaker(7, 1), make_speaker(7, 2)
    assert ada == make_speaker(7, 1)
    assert (ada.name, ben.name) == ("ada", "ben")
    assert ada.f0_hz > 1.3 * ben.f0_hz
    assert len(CHANNELS) == len(set(CHANNELS))
