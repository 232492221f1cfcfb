"""Triangles to pixels on the CPU, compiled by numba; no OpenGL, no display.

Shapes: V vertices, F triangles, H x W pixels; the canvas holds S x S samples a pixel (S = `SAMPLES`).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

SAMPLES = 2
NEAR = 0.05
"""Metres; triangles that reach closer to the camera are not drawn."""

Floats = NDArray[np.float32]
Point = NDArray[np.floating]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Pixel x grows to the right, y downwards."""

    position: Floats  # [3] metres
    rotation: Floats  # [3, 3], rows: right, up, backwards
    focal: float  # pixels
    width: int
    height: int

    @classmethod
    def looking(cls, position: Point, target: Point, *, fov_y: float, width: int, height: int) -> "Camera":
        """A camera at `position` that looks at `target` with +y up.

        Args:
            position: [3] metres.
            target: [3] metres.
            fov_y: vertical field of view, radians.
            width: pixels.
            height: pixels.
        """
        back = np.asarray(position, np.float64) - target
        back = back / np.linalg.norm(back)
        right = np.cross([0.0, 1.0, 0.0], back)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(back, right), back])
        focal = 0.5 * height / np.tan(0.5 * fov_y)
        return cls(np.asarray(position, np.float32), rotation.astype(np.float32), float(focal), width, height)

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels [..., 2] of points [..., 3] in front of the camera."""
        seen = (np.asarray(points, np.float64) - self.position) @ self.rotation.T.astype(np.float64)
        return self.focal * seen[..., :2] / -seen[..., 2:] * [1, -1] + [0.5 * self.width, 0.5 * self.height]


@dataclass
class Canvas:
    """Colour and depth samples of one picture, reused from frame to frame."""

    color: Floats  # [S H, S W, 3]
    depth: Floats  # [S H, S W] 1 / metres; 0 is empty

    @classmethod
    def of(cls, width: int, height: int) -> "Canvas":
        shape = (SAMPLES * height, SAMPLES * width)
        return cls(np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))

    def clear(self) -> None:
        self.depth.fill(0)


@njit(nogil=True, cache=True)
def pose_vertices(
    rest: Floats,
    normals: Floats,
    joints: NDArray[np.int32],
    weights: Floats,
    bones: Floats,
    out: Floats,
    out_normals: Floats,
) -> None:
    """Linear blend skinning. rest, normals and both outs [V, 3]; joints, weights [V, 4]; bones [55, 3, 4]."""
    blend = np.empty((3, 4), np.float32)
    for v in range(rest.shape[0]):
        blend[:] = 0
        for k in range(joints.shape[1]):
            w = weights[v, k]
            if w > 0:
                blend += w * bones[joints[v, k]]
        for a in range(3):
            out[v, a] = (
                blend[a, 0] * rest[v, 0] + blend[a, 1] * rest[v, 1] + blend[a, 2] * rest[v, 2] + blend[a, 3]
            )
            out_normals[v, a] = (
                blend[a, 0] * normals[v, 0] + blend[a, 1] * normals[v, 1] + blend[a, 2] * normals[v, 2]
            )


@njit(nogil=True, cache=True)
def light_vertices(
    vertices: Floats, normals: Floats, colors: Floats, eye: Floats, lights: Floats, out: Floats
) -> None:
    """Sky light, key and fill lamps, a rim at the edges. lights: [2, 3] unit, towards the lamps."""
    for v in range(vertices.shape[0]):
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        inverse = 1 / max(1e-9, np.sqrt(nx * nx + ny * ny + nz * nz))
        nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
        ex, ey, ez = eye[0] - vertices[v, 0], eye[1] - vertices[v, 1], eye[2] - vertices[v, 2]
        inverse = 1 / max(1e-9, np.sqrt(ex * ex + ey * ey + ez * ez))
        facing = max(0.0, (nx * ex + ny * ey + nz * ez) * inverse)
        key = max(0.0, nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2])
        fill = max(0.0, nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2])
        shade = 0.50 + 0.10 * ny + 0.50 * key + 0.24 * fill
        rim = 0.22 * (1 - facing) ** 3
        for c in range(3):
            out[v, c] = min(1.0, colors[v, c] * shade + rim)


@njit(nogil=True, cache=True)
def draw_triangles(
    vertices: Floats,
    colors: Floats,
    triangles: NDArray[np.int32],
    position: Floats,
    rotation: Floats,
    focal: "np.float32 | float",
    color: Floats,
    depth: Floats,
) -> tuple[int, int, int, int]:
    """Fill the samples that front-facing triangles cover; the nearest wins.

    Returns:
        first row, end, first column and end of the samples that may be filled.
    """
    high, wide = depth.shape
    left, right, top, bottom = wide, 0, high, 0
    seen = np.empty((vertices.shape[0], 3), np.float32)
    for v in range(vertices.shape[0]):
        x, y, z = vertices[v, 0] - position[0], vertices[v, 1] - position[1], vertices[v, 2] - position[2]
        away = -(rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z)
        inverse = 1 / away if away > NEAR else 0.0
        seen[v, 0] = 0.5 * wide + focal * inverse * (
            rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
        )
        seen[v, 1] = 0.5 * high - focal * inverse * (
            rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
        )
        seen[v, 2] = inverse
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        if seen[a, 2] == 0 or seen[b, 2] == 0 or seen[c, 2] == 0:
            continue
        ax, ay, bx, by, cx, cy = seen[a, 0], seen[a, 1], seen[b, 0], seen[b, 1], seen[c, 0], seen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -1e-9:  # y points down, so a front face turns the other way
            continue
        x0, x1 = (
            max(0, int(np.ceil(min(ax, bx, cx) - 0.5))),
            min(wide - 1, int(np.floor(max(ax, bx, cx) - 0.5))),
        )
        y0, y1 = (
            max(0, int(np.ceil(min(ay, by, cy) - 0.5))),
            min(high - 1, int(np.floor(max(ay, by, cy) - 0.5))),
        )
        if x0 > x1 or y0 > y1:
            continue
        left, right, top, bottom = min(left, x0), max(right, x1 + 1), min(top, y0), max(bottom, y1 + 1)
        inverse = 1 / area
        step_a, step_b = (by - cy) * inverse, (cy - ay) * inverse  # of the weights, from sample to sample
        near_a, near_b, near_c = seen[a, 2], seen[b, 2], seen[c, 2]
        for y in range(y0, y1 + 1):
            px, py = x0 + 0.5, y + 0.5
            first_a = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
            first_b = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
            for x in range(x0, x1 + 1):
                wa, wb = first_a + (x - x0) * step_a, first_b + (x - x0) * step_b
                wc = 1 - wa - wb
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                near = wa * near_a + wb * near_b + wc * near_c
                if near > depth[y, x]:
                    depth[y, x] = near
                    for k in range(3):
                        color[y, x, k] = wa * colors[a, k] + wb * colors[b, k] + wc * colors[c, k]
    return top, bottom, left, right


@njit(nogil=True, cache=True)
def resolve(
    color: Floats, depth: Floats, filled: tuple[int, int, int, int], picture: NDArray[np.uint8]
) -> None:
    """Average each pixel's samples over `picture` [H, W, 3], in place; empty samples let it show through.

    Args:
        color: [S H, S W, 3].
        depth: [S H, S W]; 0 is empty.
        filled: what `draw_triangles` gave.
        picture: [H, W, 3].
    """
    top, bottom, left, right = filled
    for y in range(top // SAMPLES, -(-bottom // SAMPLES)):
        for x in range(left // SAMPLES, -(-right // SAMPLES)):
            covered = 0
            red = green = blue = np.float32(0)
            for i in range(SAMPLES):
                for j in range(SAMPLES):
                    if depth[SAMPLES * y + i, SAMPLES * x + j] > 0:
                        covered += 1
                        red += color[SAMPLES * y + i, SAMPLES * x + j, 0]
                        green += color[SAMPLES * y + i, SAMPLES * x + j, 1]
                        blue += color[SAMPLES * y + i, SAMPLES * x + j, 2]
            if covered:
                rest = 1 - covered / (SAMPLES * SAMPLES)
                scale = np.float32(255 / (SAMPLES * SAMPLES))
                picture[y, x, 0] = np.uint8(min(255.0, red * scale + rest * picture[y, x, 0]))
                picture[y, x, 1] = np.uint8(min(255.0, green * scale + rest * picture[y, x, 1]))
                picture[y, x, 2] = np.uint8(min(255.0, blue * scale + rest * picture[y, x, 2]))
