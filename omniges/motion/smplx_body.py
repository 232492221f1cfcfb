"""A user's licensed SMPL-X file, through the `smplx` package. The project ships no such file.

`smplx` opens files with `allow_pickle=True`, and published SMPL-X files do hold pickles: a crafted file
could run code. Here only the plain arrays that the model needs are read, checked and handed on as a copy.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.errors import CheckpointError
from omniges.motion.layout import EYES, JAW, N_BETAS, N_EXPRESSIONS, N_JOINTS, PARENTS
from omniges.motion.rotations import axis_angle_to_matrix
from omniges.motion.skeleton import forward_kinematics
from omniges.types import Motion

N_VERTICES = 10_475
N_ALL_JOINTS = 127
"""Joints that smplx returns: 55, then vertices picked on face, hands and feet, then 51 face landmarks."""
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "v_template": (N_VERTICES, 3),
    "weights": (N_VERTICES, N_JOINTS),
    "J_regressor": (N_JOINTS, N_VERTICES),
    "shapedirs": (N_VERTICES, 3, N_BETAS + N_EXPRESSIONS),
    "posedirs": (N_VERTICES, 3, (N_JOINTS - 1) * 9),
    "f": (None, 3),
    "kintree_table": (2, N_JOINTS),
    "hands_meanl": (45,),
    "hands_meanr": (45,),
    "hands_componentsl": (45, 45),
    "hands_componentsr": (45, 45),
    "lmk_faces_idx": (51,),
    "lmk_bary_coords": (51, 3),
}


@dataclass(frozen=True)
class Posed:
    """A posed body; T frames."""

    joints: NDArray[np.float32]  # [T, 127, 3] metres; the first 55 are the skeleton's
    vertices: NDArray[np.float32]  # [T, 10475, 3] metres


class SmplxBody:
    """The neutral SMPL-X body with 300 shape and 100 expression coefficients and full hands.

    As everywhere in the field, the file's mean hand pose is ADDED to the finger rotations (`flat_hand_mean`
    False).
    """

    def __init__(self, path: Path | str, frames_at_once: int = 64) -> None:
        """Args:
        path: a SMPL-X npz with 400 shape directions, such as SMPLX_NEUTRAL_2020.npz.
        frames_at_once: frames posed together; more need more memory (about 1 MB each).
        """
        self.frames_at_once = frames_at_once
        arrays = read_model_arrays(Path(path))
        self.faces: NDArray[np.int64] = arrays["f"].astype(np.int64)
        self._model = _build(arrays, frames_at_once)
        regressor = torch.from_numpy(arrays["J_regressor"].astype(np.float64))
        template, directions = (
            torch.from_numpy(arrays[k].astype(np.float64)) for k in ("v_template", "shapedirs")
        )
        self._rest = regressor @ template  # [55, 3] metres, mean body
        self._rest_directions = torch.einsum("jv,vck->jck", regressor, directions)  # [55, 3, 400]
        self._pose_mean = self._model.pose_mean.double().reshape(N_JOINTS, 3)

    def joints(self, motion: Motion) -> NDArray[np.float32]:
        """[T, 55, 3] metres, with the clip's betas, expressions and translation; no mesh is posed for it."""
        betas = torch.from_numpy(np.asarray(motion.betas, np.float64)).expand(motion.n_frames, N_BETAS)
        shape = torch.cat([betas, torch.from_numpy(np.asarray(motion.expressions, np.float64))], dim=1)
        rest = self._rest + torch.einsum("tk,jck->tjc", shape, self._rest_directions)
        offsets = rest.clone()
        offsets[:, 1:] -= rest[:, list(PARENTS[1:])]
        poses = torch.from_numpy(np.asarray(motion.poses, np.float64)) + self._pose_mean
        trans = torch.from_numpy(np.asarray(motion.trans, np.float64))
        return forward_kinematics(axis_angle_to_matrix(poses), trans, offsets).float().numpy()

    def arrays(self) -> dict[str, torch.Tensor]:
        """What poses the mesh, float32: v_template [V, 3], shapedirs [V, 3, 400], posedirs [486, V · 3],
        weights [V, 55], J_regressor [55, V] and pose_mean [55, 3].
        """
        m = self._model
        found = {name: getattr(m, name) for name in ("v_template", "posedirs", "J_regressor")}
        found["shapedirs"] = torch.cat([m.shapedirs, m.expr_dirs], dim=2)
        found["weights"] = m.lbs_weights
        found["pose_mean"] = m.pose_mean.reshape(N_JOINTS, 3)
        return {name: x.detach() for name, x in found.items()}

    def pose(self, motion: Motion) -> Iterator[Posed]:
        """Bodies of a clip in order, at most `frames_at_once` frames at a time.

        Args:
            motion: T frames.
        """
        for start in range(0, motion.n_frames, self.frames_at_once):
            yield self._pose(motion, np.arange(start, min(start + self.frames_at_once, motion.n_frames)))

    @torch.no_grad()
    def _pose(self, motion: Motion, frames: NDArray[np.int64]) -> Posed:
        # smplx wants the batch size it was built with: the last frame is repeated and cut off again.
        index = np.minimum(frames[0] + np.arange(self.frames_at_once), frames[-1])
        poses = torch.from_numpy(np.asarray(motion.poses, np.float32)[index])
        betas = torch.from_numpy(np.asarray(motion.betas, np.float32)).expand(len(index), N_BETAS)
        body = self._model(
            betas=betas,
            expression=torch.from_numpy(np.asarray(motion.expressions, np.float32)[index]),
            transl=torch.from_numpy(np.asarray(motion.trans, np.float32)[index]),
            global_orient=poses[:, 0],
            body_pose=poses[:, 1:JAW].flatten(1),
            jaw_pose=poses[:, JAW],
            leye_pose=poses[:, EYES[0]],
            reye_pose=poses[:, EYES[1]],
            left_hand_pose=poses[:, 25:40].flatten(1),
            right_hand_pose=poses[:, 40:55].flatten(1),
        )
        n = len(frames)
        return Posed(body.joints[:n].numpy(), body.vertices[:n].numpy())


def read_model_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a SMPL-X file that the body needs; nothing pickled is ever opened.

    Raises:
        CheckpointError: missing, damaged, with pickled or wrongly shaped arrays, or with another skeleton.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in _SHAPES if name not in file.files]
            if missing:
                raise CheckpointError(f"{path}: no SMPL-X file: {', '.join(missing)} missing. {_REMEDY}")
            for name in _SHAPES:
                arrays[name] = file[name]
    except CheckpointError:
        raise
    except (
        Exception
    ) as error:  # numpy raises zipfile, zlib, OS and value errors for damaged or pickled content
        raise CheckpointError(f"{path}: can't be read as plain arrays: {error}. {_REMEDY}") from error
    for name, wanted in _SHAPES.items():
        got = arrays[name].shape
        fits = len(got) == len(wanted) and all(w in (None, g) for g, w in zip(got, wanted, strict=True))
        if not fits or arrays[name].dtype.kind not in "fiu" or not np.isfinite(arrays[name]).all():
            kind = arrays[name].dtype
            raise CheckpointError(
                f"{path}: {name} is {kind} {got}, wanted finite numbers {wanted}. {_REMEDY}"
            )
    if tuple(arrays["kintree_table"][0, 1:].astype(np.int64)) != PARENTS[1:]:
        raise CheckpointError(f"{path}: the joints hang together in another way than SMPL-X's. {_REMEDY}")
    return arrays


_REMEDY = "Wanted SMPLX_NEUTRAL_2020.npz from smpl-x.is.tue.mpg.de (licence needed)."


def _build(arrays: dict[str, NDArray[Any]], batch_size: int) -> Any:
    import smplx

    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "SMPLX_NEUTRAL.npz"
        np.savez(clean, allow_pickle=False, **arrays)
        return smplx.SMPLX(
            str(clean),
            num_betas=N_BETAS,
            num_expression_coeffs=N_EXPRESSIONS,
            use_pca=False,
            flat_hand_mean=False,
            batch_size=batch_size,
        ).eval()
