"""Exports, read back by somebody else's reader."""

import json
import struct

import bvhio
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omniges.corpus.controls import FACE_CHANNELS
from omniges.corpus.face import expression_basis
from omniges.errors import DataError
from omniges.motion.layout import JOINT_NAMES, PARENTS
from omniges.motion.skeleton import joint_positions
from omniges.rendering.blendshapes import (
    ARKIT_NAMES,
    MATRIX_NAMES,
    ArkitMatrix,
    arkit_weights,
    boxed_least_squares,
    own_controls,
    write_arkit_json,
)
from omniges.rendering.bvh import write_bvh
from omniges.rendering.glb import write_glb
from omniges.rendering.retargeting import bone_names


def test_bvh_gives_bvhio_the_same_angles_and_places(tmp_path, motion):
    path = tmp_path / "a.bvh"
    write_bvh(path, motion)
    read = bvhio.readAsBvh(str(path))
    assert (read.FrameCount, read.FrameTime) == (60, pytest.approx(1 / 30, abs=1e-7))
    joints = {joint.Name: joint for joint, _, _ in read.Root.layout()}
    assert sorted(joints) == sorted(JOINT_NAMES)
    for i, name in enumerate(JOINT_NAMES):
        turns = [[k.Rotation.x, k.Rotation.y, k.Rotation.z, k.Rotation.w] for k in joints[name].Keyframes]
        want = Rotation.from_rotvec(motion.poses[:, i].astype(float))
        assert (Rotation.from_quat(turns).inv() * want).magnitude().max() < 1e-4, name
    hierarchy = bvhio.readAsHierarchy(str(path))
    for frame in (0, 31):
        hierarchy.loadPose(frame)
        places = {joint.Name: joint.PositionWorld for joint, _, _ in hierarchy.layout()}
        got = np.array([[places[n].x, places[n].y, places[n].z] for n in JOINT_NAMES])
        np.testing.assert_allclose(got, joint_positions(motion)[frame], atol=2e-5)


def read_glb(path):
    """A reader of its own: chunks by the specification, accessors to arrays."""
    raw = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", raw[:12])
    assert (magic, version, length) == (b"glTF", 2, len(raw))
    size, kind = struct.unpack("<I4s", raw[12:20])
    assert kind == b"JSON"
    document, blob = json.loads(raw[20 : 20 + size]), raw[28 + size :]
    types = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}
    wide = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}

    def array(number):
        a = document["accessors"][number]
        view = document["bufferViews"][a["bufferView"]]
        values = np.frombuffer(
            blob, types[a["componentType"]], a["count"] * wide[a["type"]], view["byteOffset"]
        )
        return values.reshape(a["count"], wide[a["type"]])

    return document, array


def test_glb_animation_poses_the_skeleton_as_the_clip_does(tmp_path, motion):
    path = tmp_path / "a.glb"
    write_glb(path, motion)
    document, array = read_glb(path)
    frame, nodes = 23, document["nodes"]
    local = [np.eye(4) for _ in JOINT_NAMES]
    for i, node in enumerate(nodes[:55]):
        local[i][:3, 3] = node["translation"]
    animation = document["animations"][0]
    for channel in animation["channels"]:
        sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
        values = array(sampler["output"])
        if target["path"] == "rotation":
            local[target["node"]][:3, :3] = Rotation.from_quat(values[frame]).as_matrix()
        elif target["path"] == "translation":
            local[target["node"]][:3, 3] = values[frame]
        else:
            weights = values.reshape(60, -1)
            assert weights[:, 0].max() > 0.3  # the jaw opens the mouth
    world = []
    for i, parent in enumerate(PARENTS):
        world.append(local[i] if parent < 0 else world[parent] @ local[i])
        assert i == 0 or i in nodes[parent]["children"]
    got = np.array([matrix[:3, 3] for matrix in world])
    np.testing.assert_allclose(got, joint_positions(motion)[frame], atol=1e-5)
    np.testing.assert_allclose(array(animation["samplers"][0]["input"])[:, 0], np.arange(60) / 30, atol=1e-6)
    bind = array(document["skins"][0]["inverseBindMatrices"]).reshape(55, 4, 4).transpose(0, 2, 1)
    rest = np.array([np.linalg.inv(matrix)[:3, 3] for matrix in bind])
    offsets = np.array([node["translation"] for node in nodes[:55]])
    np.testing.assert_allclose(rest[1:] - rest[list(PARENTS[1:])], offsets[1:], atol=1e-6)


def test_own_expressions_are_read_back_exactly(motion):
    from dataclasses import replace

    rng = np.random.default_rng(3)
    drive = np.clip(rng.normal(0.4, 0.3, (60, 9)), 0, 1)
    drive[:6] = 0  # rest: a tenth of the time, so the 5th percentile is rest
    neutral = rng.normal(0, 0.3, 100)
    clip = replace(motion, expressions=neutral + drive @ expression_basis())
    got = own_controls(clip.expressions)
    np.testing.assert_allclose(got, drive, atol=1e-9)
    shapes = arkit_weights(clip)
    assert shapes.source == "own-basis"
    smile = FACE_CHANNELS.index("smile")
    np.testing.assert_allclose(
        shapes.weights[:, ARKIT_NAMES.index("mouthSmileLeft")], drive[:, smile], atol=1e-9
    )


def test_foreign_expressions_are_not_taken_for_own(motion):
    from dataclasses import replace

    foreign = np.random.default_rng(4).normal(0, 0.3, (60, 100))
    shapes = arkit_weights(replace(motion, expressions=foreign))
    assert shapes.source == "jaw-and-eyes"
    used = {ARKIT_NAMES[k] for k in np.flatnonzero(shapes.weights.any(0))}
    assert used <= {"jawOpen", *(name for name in ARKIT_NAMES if name.startswith("eyeLook"))}


def test_a_users_matrix_is_inverted_within_its_bounds(tmp_path, motion):
    from dataclasses import replace

    rng = np.random.default_rng(5)
    rows, true = rng.normal(0, 1, (51, 103)), rng.uniform(0, 1, (60, 51))
    both = true @ rows
    np.save(tmp_path / "m.npy", rows)
    poses = motion.poses.copy()
    poses[:, 22] = both[:, 100:]
    clip = replace(motion, expressions=both[:, :100], poses=poses)
    shapes = arkit_weights(clip, ArkitMatrix.load(tmp_path / "m.npy"))
    columns = [ARKIT_NAMES.index(name) for name in MATRIX_NAMES]
    np.testing.assert_allclose(shapes.weights[:, columns], true, atol=2e-3)
    np.save(tmp_path / "bad.npy", rows[:, :50])
    with pytest.raises(DataError, match=r"got a matrix \(51, 50\)"):
        ArkitMatrix.load(tmp_path / "bad.npy")


def test_boxed_least_squares_equals_scipys():
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(6)
    rows, wanted = rng.normal(0, 1, (7, 12)), rng.normal(0, 3, (5, 12))
    want = [lsq_linear(rows.T, row, bounds=(0, 1), tol=1e-12).x for row in wanted]
    np.testing.assert_allclose(boxed_least_squares(rows, wanted), want, atol=1e-6)


def test_blendshape_json_has_names_times_and_weights(tmp_path, motion):
    source = write_arkit_json(tmp_path / "a.json", motion)
    document = json.loads((tmp_path / "a.json").read_text())
    assert (len(document["names"]), len(set(document["names"]))) == (52, 52)
    assert document["source"] == source == "jaw-and-eyes"
    assert document["frames"][30]["time"] == 1.0
    weights = np.array([frame["weights"] for frame in document["frames"]])
    assert weights.shape == (60, 52)
    assert weights.min() >= 0
    assert weights.max() <= 1


@pytest.mark.parametrize("rig", ["mixamo", "unreal"])
def test_rig_tables_name_every_joint_once_and_keep_sides_apart(rig):
    table = bone_names(rig)
    assert list(table) == list(JOINT_NAMES)
    bones = [bone for bone in table.values() if bone]
    assert len(set(bones)) == len(bones) >= 52
    for joint, bone in table.items():
        if bone and joint.startswith("left_"):
            mirror = table[joint.replace("left_", "right_")]
            assert mirror == (bone.replace("Left", "Right") if rig == "mixamo" else bone[:-2] + "_r")
