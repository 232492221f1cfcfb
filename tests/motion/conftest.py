from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omniges.motion.layout import N_BETAS, N_EXPRESSIONS, N_JOINTS
from omniges.types import Motion


def read_clip(tree: Path, clip: str) -> Motion:
    with np.load(tree / "smplxflame_30" / f"{clip}.npz", allow_pickle=False) as file:
        return Motion(
            poses=file["poses"].reshape(-1, N_JOINTS, 3),
            trans=file["trans"],
            expressions=file["expressions"],
            betas=file["betas"],
            fps=30.0,
        )


@pytest.fixture(params=["2_scott_0_1_1", "2_scott_0_3_3"])
def real_clip(beat2_sample: Path, request: pytest.FixtureRequest) -> Motion:
    return read_clip(beat2_sample, request.param)


@pytest.fixture
def clip_1(beat2_sample: Path) -> Motion:
    return read_clip(beat2_sample, "2_scott_0_1_1")


@pytest.fixture
def make_motion() -> Callable[..., Motion]:
    """A clip with any rotations, half turns included, walking about."""

    def make(n_frames: int = 50, fps: float = 30.0, seed: int = 0) -> Motion:
        rng = np.random.default_rng(seed)
        poses = Rotation.random(n_frames * N_JOINTS, rng=rng).as_rotvec().reshape(n_frames, N_JOINTS, 3)
        return Motion(
            poses=poses.astype(np.float32),
            trans=np.cumsum(rng.normal(0, 0.01, (n_frames, 3)), axis=0) + np.array([5.0, 1.3, -2.0]),
            expressions=rng.normal(0, 1, (n_frames, N_EXPRESSIONS)),
            betas=rng.normal(0, 1, N_BETAS).astype(np.float32),
            fps=fps,
        )

    return make
