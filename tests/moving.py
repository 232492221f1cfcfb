"""A clip in closed form, for tests of rendering and exports."""

import numpy as np

from omniges.types import Motion


def moving(seconds=2.0, fps=30.0, seed=0):
    """Every joint swings on its own; the pelvis walks a little. Closed form, no corpus."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fps)) / fps
    phase, size = rng.uniform(0, 2 * np.pi, (55, 3)), rng.normal(0, 0.35, (55, 3))
    poses = size * np.sin(2 * np.pi * 0.8 * t[:, None, None] + phase)
    poses[:, 22] = np.stack([0.03 + 0.03 * np.sin(9 * t), 0 * t, 0 * t], axis=1)
    trans = np.stack([0.2 * np.sin(t), 1.3 + 0.02 * np.cos(3 * t), 0.1 * t], axis=1)
    return Motion(
        poses=poses.astype(np.float32),
        trans=trans,
        expressions=np.zeros((len(t), 100)),
        betas=np.zeros(300, np.float32),
        fps=fps,
    )
