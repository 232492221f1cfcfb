from pathlib import Path

import numpy as np
import pytest

from omniges.errors import CheckpointError
from omniges.motion.smplx_body import SmplxBody, read_model_arrays
from omniges.motion.smplx_face import FaceMesh
from omniges.types import Motion


@pytest.fixture(scope="module")
def body(shared: Path) -> SmplxBody:
    return SmplxBody(
        shared / "reference/smplx_synthetic/smplx_models/smplx/SMPLX_NEUTRAL_2020.npz", frames_at_once=3
    )


def poses_of(v: dict[str, np.ndarray], i: int) -> Motion:
    return Motion(
        poses=v["pose_165"][i : i + 1].reshape(1, 55, 3),
        trans=v["transl"][i : i + 1],
        expressions=v["expression"][i : i + 1],
        betas=v["betas"][i],
        fps=30.0,
    )


def test_joints_and_vertices_are_the_reference_ones(body: SmplxBody, shared: Path):
    v = dict(np.load(shared / "reference/smplx_synthetic/smplx_fk_vectors.npz"))
    for i in range(20):
        posed = next(body.pose(poses_of(v, i)))
        np.testing.assert_allclose(posed.joints[0], v["joints127"][i], rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            posed.vertices[0, v["vertex_ids"]], v["vertices_sel"][i], rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(body.joints(poses_of(v, i))[0], v["joints127"][i, :55], rtol=0, atol=1e-5)


def test_a_clip_comes_in_pieces_that_agree_with_joints(body: SmplxBody, clip_1: Motion):
    clip = Motion(
        poses=clip_1.poses[:8],
        trans=clip_1.trans[:8],
        expressions=clip_1.expressions[:8],
        betas=clip_1.betas,
        fps=30,
    )
    pieces = list(body.pose(clip))
    assert [len(piece.joints) for piece in pieces] == [3, 3, 2]
    got = np.concatenate([piece.joints[:, :55] for piece in pieces])
    np.testing.assert_allclose(got, body.joints(clip), rtol=0, atol=1e-5)


def test_two_faces_differ_as_their_meshes_do(body: SmplxBody):
    """smplx poses both meshes; every vertex, betas, expressions and jaws drawn at random."""
    rng = np.random.default_rng(0)
    betas = rng.standard_normal(300).astype(np.float32)

    def face() -> Motion:
        poses = np.zeros((7, 55, 3), np.float32)
        poses[:, 22] = 0.4 * rng.standard_normal((7, 3))
        return Motion(
            poses=poses,
            trans=np.zeros((7, 3)),
            expressions=2 * rng.standard_normal((7, 100)),
            betas=betas,
            fps=30.0,
        )

    a, b = face(), face()
    want = [x.vertices - y.vertices for x, y in zip(body.pose(a), body.pose(b), strict=True)]
    (got,) = FaceMesh(body).differences(a, b)
    assert np.abs(got).max() > 0.05
    np.testing.assert_allclose(got, np.concatenate(want), rtol=0, atol=1e-6)


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def arrays_of(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "reference/smplx_synthetic/smplx_models/smplx/SMPLX_NEUTRAL_2020.npz"))


def test_pickled_content_is_never_opened(shared: Path, tmp_path: Path):
    arrays, mark = arrays_of(shared), tmp_path / "ran"
    bad = tmp_path / "bad.npz"
    np.savez(bad, **{**arrays, "weights": np.array([Trap(mark)], dtype=object)})
    with pytest.raises(CheckpointError, match="allow_pickle"):
        SmplxBody(bad)
    np.savez(bad, **{**arrays, "joint2num": np.array([Trap(mark)], dtype=object)})  # as in published files
    assert "joint2num" not in read_model_arrays(bad)
    assert not mark.exists()


def test_files_that_are_no_smplx_model_are_refused(shared: Path, tmp_path: Path):
    arrays, path = arrays_of(shared), tmp_path / "model.npz"
    cases = {
        "missing": {k: v for k, v in arrays.items() if k != "posedirs"},
        "shapedirs": {**arrays, "shapedirs": arrays["shapedirs"][..., :20]},
        "v_template": {**arrays, "v_template": arrays["v_template"] * np.nan},
        "another way": {**arrays, "kintree_table": arrays["kintree_table"][:, ::-1]},
    }
    for reason, content in cases.items():
        np.savez(path, **content)
        with pytest.raises(CheckpointError, match=reason):
            read_model_arrays(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="can't be read"):
        read_model_arrays(path)
