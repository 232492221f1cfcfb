"""From blocks of gesture to a body that walks on from where the last block left it, of any length."""

import numpy as np

from omniges.motion.features import features_from_gesture, features_to_motion
from omniges.motion.layout import N_BETAS, TRANS_SLICE
from omniges.sampling.streaming import GestureBlock
from omniges.spool import Spool
from omniges.types import Motion


class Walk:
    """Turns consecutive blocks into SMPL-X motion; frame 0 of the first stands at the origin.

    Args:
        fps: frames a second.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._origin = np.zeros(2)  # x and z, metres, of the next block's first frame but for its own step
        self._moved = False

    def motion(self, block: GestureBlock) -> Motion:
        """The block's motion, T >= 1 frames."""
        side = block.side.numpy()
        values = features_from_gesture(block.gesture.numpy(), side)
        origin = self._origin
        if self._moved:
            origin = origin + values[0, TRANS_SLICE][[0, 2]].astype(np.float64)
        motion = features_to_motion(values, side, origin, self.fps)
        self._origin, self._moved = motion.trans[-1, [0, 2]], True
        return motion


class MotionSpool:
    """Blocks of one motion, which lie on disk until they are one whole.

    Args:
        fps: frames a second.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._poses, self._trans, self._expressions = Spool(np.float32), Spool(np.float64), Spool(np.float64)

    def append(self, block: Motion) -> None:
        """Add the next frames."""
        self._poses.append(block.poses)
        self._trans.append(block.trans)
        self._expressions.append(block.expressions)

    def motion(self) -> Motion:
        """All frames so far, of the mean body."""
        return Motion(
            poses=self._poses.array(),
            trans=self._trans.array(),
            expressions=self._expressions.array(),
            betas=np.zeros(N_BETAS, np.float32),
            fps=self.fps,
        )
