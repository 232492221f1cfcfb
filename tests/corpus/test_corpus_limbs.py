import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omniges.corpus.arms import arm
from omniges.corpus.limbs import bend, soft_reach
from omniges.corpus.stance import leg

LIMBS = {
    "left arm": arm("left"),
    "right arm": arm("right"),
    "left leg": leg("left"),
    "right leg": leg("right"),
}


def targets(limb, n=500):
    draw = np.random.default_rng(0)
    direction = draw.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * draw.uniform(0.35, 0.9, (n, 1)) * limb.reach_m


@pytest.mark.parametrize("name", LIMBS)
def test_chain_of_rotations_reaches_its_target(name):
    limb = LIMBS[name]
    wanted = targets(limb)
    solved = bend(limb, wanted, np.broadcast_to([0.2, -1.0, -0.3], wanted.shape))
    reached = solved.root.apply(limb.upper + solved.middle.apply(limb.lower))
    np.testing.assert_allclose(reached, wanted, atol=1e-9)


@pytest.mark.parametrize("name", LIMBS)
def test_middle_joint_is_a_hinge_that_points_to_the_pole(name):
    limb = LIMBS[name]
    wanted, pole = targets(limb), np.array([0.3, -1.0, 0.5])
    solved = bend(limb, wanted, np.broadcast_to(pole, wanted.shape))
    turn = solved.middle.as_rotvec()
    np.testing.assert_allclose(np.cross(turn, limb.hinge), 0, atol=1e-9)
    assert np.all(turn @ limb.hinge > 0), "joints bend one way only"
    middle = solved.root.apply(limb.upper)
    axis = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    outward = middle - np.sum(middle * axis, axis=1, keepdims=True) * axis
    across = pole - (axis @ pole)[:, None] * axis
    cosine = (
        np.sum(outward * across, axis=1) / np.linalg.norm(outward, axis=1) / np.linalg.norm(across, axis=1)
    )
    np.testing.assert_allclose(cosine, 1, atol=1e-9)


def test_reach_is_kept_inside_grows_smoothly_and_never_passes_the_limit():
    limb = LIMBS["left arm"]
    distance = np.linspace(0.1, 3.0, 3000) * limb.reach_m
    pulled = soft_reach(limb, np.outer(distance, [0.6, -0.8, 0.0]))
    got = np.linalg.norm(pulled, axis=1)
    near = distance < limb.soft * limb.reach_m
    np.testing.assert_allclose(got[near], distance[near], atol=1e-12)
    slope = np.diff(got) / np.diff(distance)
    assert slope.min() >= -1e-9
    assert slope.max() <= 1 + 1e-9
    assert np.abs(np.diff(slope)).max() < 0.02, "no kink"
    assert got.max() < limb.reach_m


def test_elbow_does_not_jump_where_a_target_leaves_the_reach():
    limb = LIMBS["right arm"]
    path = np.outer(np.linspace(0.8, 1.2, 200) * limb.reach_m, [-0.3, -0.8, 0.52])
    solved = bend(limb, soft_reach(limb, path), np.broadcast_to([-0.3, -1.0, -0.4], path.shape))
    step = (solved.root[:-1].inv() * solved.root[1:]).magnitude()
    assert np.degrees(step).max() < 2.0
    assert isinstance(solved.middle, Rotation)
