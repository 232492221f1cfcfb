"""Solid shapes as signed distances, and their skin as triangles. Lengths in metres.

Shapes: P points, N primitives, V vertices, F triangles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solid:
    """Round cones, each carried by a joint; together they are the union with soft seams."""

    start: Array  # [N, 3]
    end: Array  # [N, 3]
    start_radius: Array  # [N]
    end_radius: Array  # [N]
    joint: NDArray[np.int64]  # [N] that each primitive moves with
    softness: float  # metres over which seams are rounded

    def distances(self, points: Array) -> Array:
        """Distance to every primitive [P, N]; round cones approximated by a linear radius."""
        axis = self.end - self.start  # [N, 3]
        length_sq = np.maximum((axis * axis).sum(1), 1e-12)
        along = (points @ axis.T - (self.start * axis).sum(1)) / length_sq  # [P, N]
        along = np.clip(along, 0, 1)
        # |p - (start + along * axis)|^2 by expansion: no [P, N, 3] array
        start_sq = (self.start * self.start).sum(1)
        to_start_sq = (points * points).sum(1)[:, None] - 2 * points @ self.start.T + start_sq
        on_axis = points @ axis.T - (self.start * axis).sum(1)
        square = to_start_sq - 2 * along * on_axis + along * along * length_sq
        return np.sqrt(np.maximum(square, 0)) - (
            self.start_radius + along * (self.end_radius - self.start_radius)
        )

    def distance(self, points: Array) -> Array:
        """Distance to the soft union [P]: -k log sum exp(-d / k)."""
        each = self.distances(points)
        nearest = each.min(1)
        return nearest - self.softness * np.log(np.exp((nearest[:, None] - each) / self.softness).sum(1))

    def normals(self, points: Array, step: float = 1e-4) -> Array:
        """Outward unit normals [P, 3] by central differences."""
        gradient = np.stack(
            [self.distance(points + d) - self.distance(points - d) for d in np.eye(3) * step], axis=1
        )
        return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)

    def joint_weights(
        self, points: Array, n_joints: int, blend: float, keep: int = 4
    ) -> tuple[NDArray[np.int64], Array]:
        """The `keep` joints that carry each point, and their weights (sum 1): [P, keep] both."""
        each = self.distances(points)
        share = np.exp((each.min(1)[:, None] - each) / blend)
        total = np.zeros((len(points), n_joints))
        for column, joint in enumerate(self.joint):
            # the maximum, not the sum: five palm bones must not pull five times as hard as one wrist
            total[:, joint] = np.maximum(total[:, joint], share[:, column])
        joints = np.argsort(-total, axis=1, kind="stable")[:, :keep]
        weights = np.take_along_axis(total, joints, axis=1)
        weights[weights < 0.02] = 0
        return joints, weights / weights.sum(1, keepdims=True)


def skin(solid: Solid, low: Array, high: Array, cell: float) -> tuple[Array, NDArray[np.int32]]:
    """Triangles of a solid's surface inside a box: naive surface nets (Gibson 1998), then two Newton steps.

    Args:
        solid: what to wrap.
        low: [3] corner of the box; where the solid leaves the box the skin stays open.
        high: [3] the opposite corner.
        cell: edge of a grid cell.
    Returns:
        vertices [V, 3] and triangles [F, 3], counter-clockwise from outside.
    """
    axes = [np.arange(a, b + cell, cell) for a, b in zip(low, high, strict=True)]
    shape = tuple(len(axis) for axis in axes)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values = np.concatenate(
        [solid.distance(chunk) for chunk in np.array_split(grid, max(1, len(grid) // 20000))]
    ).reshape(shape)
    index, centres = _cell_vertices(values)
    vertices = np.asarray(low) + centres * cell
    triangles = _triangles(values, index)
    for _ in range(2):
        vertices = vertices - solid.normals(vertices) * solid.distance(vertices)[:, None]
    return vertices, triangles


def _cell_vertices(values: Array) -> tuple[NDArray[np.int64], Array]:
    """Number every cell that the surface crosses; its vertex is the mean of its edges' crossings."""
    corners = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    nx, ny, nz = (n - 1 for n in values.shape)
    at = {c: values[c[0] : c[0] + nx, c[1] : c[1] + ny, c[2] : c[2] + nz] for c in corners}
    inside = np.sum([at[c] < 0 for c in corners], axis=0)
    crossed = (inside > 0) & (inside < 8)
    index = np.full(crossed.shape, -1, np.int64)
    index[crossed] = np.arange(crossed.sum())
    total, count = np.zeros((int(crossed.sum()), 3)), np.zeros(int(crossed.sum()))
    for a in corners:
        for axis in range(3):
            if a[axis]:
                continue
            b = tuple(1 if n == axis else a[n] for n in range(3))
            va, vb = at[a][crossed], at[b][crossed]  # type: ignore[index]
            cut = (va < 0) != (vb < 0)
            point = np.tile(np.array(a, float), (len(va), 1))
            point[:, axis] = np.where(cut, va / np.where(cut, va - vb, 1), 0)
            total += point * cut[:, None]
            count += cut
    return index, np.argwhere(crossed) + total / count[:, None]


def _triangles(values: Array, index: NDArray[np.int64]) -> NDArray[np.int32]:
    """Two triangles for every grid edge whose ends differ in sign, between the four cells around it."""
    found = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        first = np.moveaxis(values, (axis, u, v), (0, 1, 2))
        cells = np.moveaxis(index, (axis, u, v), (0, 1, 2))
        a, b = first[:-1, 1:-1, 1:-1], first[1:, 1:-1, 1:-1]
        cut = (a < 0) != (b < 0)
        outward = (a < 0)[cut]
        quad = np.stack(
            [cells[:, :-1, :-1][cut], cells[:, 1:, :-1][cut], cells[:, 1:, 1:][cut], cells[:, :-1, 1:][cut]],
            axis=1,
        )
        quad = np.where(outward[:, None], quad, quad[:, ::-1])
        found += [quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]
    return np.concatenate(found).astype(np.int32)
