"""The body, its surface and the rasteriser against closed forms."""

import numpy as np

from omniges.motion.skeleton import joint_positions, rest_joints
from omniges.rendering.body import body_mesh
from omniges.rendering.face import MORPHS, face_mesh
from omniges.rendering.figure import Mannequin, vertex_normals
from omniges.rendering.kinematics import skinning_transforms, world_transforms
from omniges.rendering.raster import SAMPLES, Camera, Canvas, draw_triangles, pose_vertices, resolve
from omniges.rendering.surface import Solid, skin


def ball(radius=0.1):
    zero = np.zeros((1, 3))
    return Solid(zero, zero, np.array([radius]), np.array([radius]), np.array([0]), softness=0.01)


def test_skin_of_a_ball_is_closed_faces_outwards_and_has_its_volume():
    vertices, triangles = skin(ball(), np.full(3, -0.15), np.full(3, 0.15), cell=0.01)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 0.1, atol=1e-4)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6  # positive only if triangles face outwards
    np.testing.assert_allclose(volume, 4 / 3 * np.pi * 0.1**3, rtol=0.01)
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # every edge between two triangles


def test_normals_of_a_ball_point_away_from_its_middle():
    vertices, triangles = skin(ball(), np.full(3, -0.15), np.full(3, 0.15), cell=0.01)
    normals = vertex_normals(vertices.astype(np.float32), triangles)
    cosine = (normals * vertices).sum(1) / np.linalg.norm(normals, axis=1) / np.linalg.norm(vertices, axis=1)
    assert cosine.min() > 0.99


def test_body_rests_on_its_skeleton_and_is_mirrored():
    mesh, rest = body_mesh(), rest_joints()
    np.testing.assert_allclose(mesh.weights.sum(1), 1, atol=1e-6)
    assert set(np.unique(mesh.joints[:, 0])) >= {0, 1, 2, 15, 16, 17, 20, 21, 27, 30, 42}
    for joint in (18, 19, 4, 5, 15):  # elbows, knees, head are inside the body
        assert np.linalg.norm(mesh.vertices - rest[joint], axis=1).min() < 0.12
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert 1.55 < high[1] - low[1] < 1.9  # an adult
    np.testing.assert_allclose(low[0], -high[0], atol=0.004)
    assert len(mesh.vertices) < 65_536  # the viewer's triangle indices have 16 bits


def test_kinematics_agree_with_the_skeleton_and_rest_pose_moves_nothing(motion):
    np.testing.assert_allclose(world_transforms(motion)[..., 3], joint_positions(motion), atol=1e-9)
    from dataclasses import replace

    still = replace(motion, poses=np.zeros_like(motion.poses), trans=np.zeros_like(motion.trans))
    identity = np.broadcast_to(np.eye(3, 4), (55, 3, 4))
    np.testing.assert_allclose(skinning_transforms(still)[0], identity, atol=1e-6)


def test_skinning_equals_a_plain_blend_of_bones(motion):
    mesh, bones = body_mesh(), skinning_transforms(motion)[17]
    out, normals = np.empty_like(mesh.vertices), np.empty_like(mesh.vertices)
    pose_vertices(mesh.vertices, mesh.normals, mesh.joints, mesh.weights, bones, out, normals)
    ones = np.concatenate([mesh.vertices, np.ones((len(out), 1))], axis=1)
    want = np.einsum("vk,vkab,vb->va", mesh.weights.astype(float), bones[mesh.joints].astype(float), ones)
    np.testing.assert_allclose(out, want, atol=1e-5)


def test_jaw_opens_the_mouth_and_nothing_else(motion):
    figure = Mannequin(motion, (0.2, 0.4, 0.6))
    weights = figure.weights
    np.testing.assert_allclose(
        weights[:, 0], np.clip((motion.poses[:, 22, 0] - 0.012) / 0.055, 0, 1), atol=1e-6
    )
    assert (weights[:, 1:] == 0).all()
    moved = np.abs(face_mesh().morphs[MORPHS.index("mouthOpen")]).max(1) > 1e-4
    assert 0.05 < moved.mean() < 0.5
    assert np.abs(face_mesh().morphs).max() < 0.05


def square(z, size=1.0):
    """Two triangles that face +z."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    return np.float32(np.c_[corners, np.full(4, z)]), np.int32([[0, 1, 2], [0, 2, 3]])


def drawn(pieces, width=80, height=60):
    camera = Camera.looking(
        np.array([0, 0, 2.0]), np.zeros(3), fov_y=2 * np.arctan(0.5), width=width, height=height
    )
    canvas = Canvas.of(width, height)
    filled = []
    for (vertices, triangles), color in pieces:
        colors = np.tile(np.float32(color), (len(vertices), 1))
        filled.append(
            draw_triangles(
                vertices,
                colors,
                triangles,
                camera.position,
                camera.rotation,
                np.float32(camera.focal * SAMPLES),
                canvas.color,
                canvas.depth,
            )
        )
    rows, columns = np.nonzero(canvas.depth)
    low, high = np.min(filled, axis=0), np.max(filled, axis=0)
    whole = (low[0], high[1], low[2], high[3])
    if len(rows):
        assert whole == (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    picture = np.zeros((height, width, 3), np.uint8)
    resolve(canvas.color, canvas.depth, whole, picture)
    return picture, camera


def test_square_covers_the_pixels_that_projection_says():
    picture, camera = drawn([(square(0.0), (1, 0, 0))])
    corner = camera.project(np.array([0.5, 0.5, 0]))
    np.testing.assert_allclose(corner, [40 + 15, 30 - 15])  # 1 m at 2 m: half the height of 2 m
    assert (picture[..., 0] > 127).sum() == 30 * 30


def test_nearer_wins_whatever_the_order_and_backs_are_not_drawn():
    near, far = (square(0.5, 0.4), (0, 1, 0)), (square(0.0, 1.0), (1, 0, 0))
    one, other = drawn([near, far])[0], drawn([far, near])[0]
    np.testing.assert_array_equal(one, other)
    assert tuple(one[30, 40]) == (0, 255, 0)
    vertices, triangles = square(0.0)
    assert drawn([((vertices, triangles[:, ::-1].copy()), (1, 1, 1))])[0].max() == 0
