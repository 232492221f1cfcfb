"""One panel of a picture: a body on its floor, its face enlarged in a corner, its name and the time.

Shapes: T frames, V vertices, H x W pixels.
"""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from omniges.rendering.face import HEAD, face_weights
from omniges.rendering.figure import joint_blocks, make_figure
from omniges.rendering.raster import SAMPLES, Camera, Canvas, draw_triangles, light_vertices, resolve
from omniges.types import Motion

SOLE_M = 0.045
"""From the lowest ankle or toe joint to the ground."""

HUES = (0.58, 0.07, 0.40, 0.85, 0.13, 0.50, 0.95, 0.30)
"""Shirts of the panels from left to right, as hues."""

LIGHTS = np.asarray([[0.45, 0.75, 0.50], [-0.70, 0.20, 0.60]], np.float32)
LIGHTS /= np.linalg.norm(LIGHTS, axis=1, keepdims=True)
FLOOR_JOINTS = (7, 8, 10, 11)

Picture = NDArray[np.uint8]
Posed = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Vertices and normals."""


@dataclass(frozen=True)
class Stage:
    """What stays the same over a clip: where the floor is and where the body stands."""

    floor_y: float
    centre: NDArray[np.float64]  # [2] x, z metres, middle of the pelvis's path
    reach_m: float  # how far the pelvis goes from there, sideways

    @classmethod
    def of(cls, joints: Iterable[NDArray[np.floating]]) -> "Stage":
        """The stage under a body; joints: [t, 55, 3] metres, block after block of a clip."""
        # A copy, since a view would keep all joints of its block.
        both = [(block[:, FLOOR_JOINTS, 1].min(1), block[:, 0].copy()) for block in joints]
        floor = float(np.percentile(np.concatenate([lowest for lowest, _ in both]), 5)) - SOLE_M
        low, high = np.percentile(np.concatenate([pelvis for _, pelvis in both]), (2, 98), axis=0)
        return cls(floor, 0.5 * (low + high)[[0, 2]], float(0.5 * (high - low)[0]))


def shirt_color(index: int) -> tuple[float, float, float]:
    """The shirt of panel `index`, 0..1."""
    return colorsys.hls_to_rgb(HUES[index % len(HUES)], 0.50, 0.45)


@dataclass(frozen=True)
class Actor:
    """A motion that panels show, and what all of it decides for every part."""

    motion: Motion
    label: str
    index: int  # from the left; decides the colour
    smplx_model: Path | str | None
    stage: Stage
    face: NDArray[np.float32]  # [T, M] weights of the mannequin's face

    @classmethod
    def of(cls, motion: Motion, label: str, index: int, smplx_model: Path | str | None) -> "Actor":
        """Look at a whole motion once."""
        stage = Stage.of(joint_blocks(motion, smplx_model))
        return cls(motion, label, index, smplx_model, stage, face_weights(motion))


class Panel:
    """Draws frames `first` to `stop` of one motion; a thread uses a panel of its own."""

    def __init__(self, actor: Actor, width: int, height: int, first: int, stop: int) -> None:
        self.first, self.width, self.height = first, width, height
        index, part = actor.index, actor.motion.part(first, stop)
        self.figure = make_figure(part, actor.smplx_model, shirt_color(index), actor.face[first:stop])
        self.stage = actor.stage
        self.lit = np.empty_like(self.figure.colors)
        self.camera = self._body_camera()
        self.canvas = Canvas.of(width, height)
        self.inset = round(0.27 * height)
        self.inset_canvas = Canvas.of(self.inset, self.inset)
        self.margin = max(4, height // 48)
        self.background = self._background(index)
        self.label = actor.label
        self.inset_background = _gradient(self.inset, self.inset, (251, 251, 252), (231, 234, 239))
        self.inset_mask = _rounded(self.inset, self.inset // 8)

    def _body_camera(self) -> Camera:
        x, z = self.stage.centre
        distance = 3.55 + 1.4 * max(0.0, self.stage.reach_m - 0.25)
        aside = (
            0.055 * distance
        )  # the face's picture stands on the right, so the body stands left of the middle
        target = np.asarray([x + aside, self.stage.floor_y + 0.90, z], np.float32)
        return Camera.looking(
            target + np.array([0.0, 0.30, distance]),
            target,
            fov_y=0.58,
            width=self.width,
            height=self.height,
        )

    def _background(self, index: int) -> Picture:
        picture = _gradient(self.width, self.height, (244, 246, 249), (222, 226, 232))
        x, z = self.stage.centre
        horizon = int(self.camera.project(np.array([x, self.stage.floor_y, z - 1.3]))[1])
        picture[horizon:] = _gradient(self.width, self.height - horizon, (206, 211, 219), (190, 196, 206))
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        color = tuple(round(255 * c) for c in shirt_color(index))
        draw.rectangle((0, 0, self.margin // 2, self.height // 11), fill=color)
        return np.array(image)

    def paint(self, frame: int) -> Picture:
        """The panel at one frame of the motion, [H, W, 3]."""
        frame -= self.first
        posed = self.figure.pose(frame)
        picture = self.background.copy()
        self._shadow(picture, frame)
        self._draw(picture, self.camera, self.canvas, posed, self.figure.triangles)
        self._paste_face(picture, frame, posed)
        write_text(picture, (round(self.margin * 1.5), self.margin), self.label, max(11, self.height // 26))
        return picture

    def _draw(
        self, picture: Picture, camera: Camera, canvas: Canvas, posed: Posed, triangles: NDArray[np.int32]
    ) -> None:
        vertices, normals = posed
        light_vertices(vertices, normals, self.figure.colors, camera.position, LIGHTS, self.lit)
        canvas.clear()
        focal = np.float32(camera.focal * SAMPLES)
        filled = draw_triangles(
            vertices,
            self.lit,
            triangles,
            camera.position,
            camera.rotation,
            focal,
            canvas.color,
            canvas.depth,
        )
        resolve(canvas.color, canvas.depth, filled, picture)

    def _shadow(self, picture: Picture, frame: int) -> None:
        """A soft dark patch under hips and feet."""
        feet = [self.figure.joints[frame, joint] for joint in FLOOR_JOINTS[2:]]
        middle = (feet[0] + feet[1]) / 2
        for place, radius_m, strength in ((middle, 0.40, 0.20), (feet[0], 0.15, 0.26), (feet[1], 0.15, 0.26)):
            ground = np.array([place[0], self.stage.floor_y, place[2]])
            u, v = self.camera.project(ground)
            across = self.camera.project(ground + np.array([radius_m, 0, 0]))[0] - u
            _darken(picture, float(u), float(v), float(across), float(across) * 0.22, strength)

    def _paste_face(self, picture: Picture, frame: int, posed: Posed) -> None:
        turn, place = self.figure.head_turns[frame], self.figure.joints[frame, HEAD]
        target = place + turn @ [0, 0.045, 0.03]
        toward = turn @ [0, 0, 1.0]
        toward = toward * [1, 0.35, 1] + [
            0,
            0.05,
            0.6,
        ]  # stay nearly level and in front: the viewer keeps a sense of where the head turns
        camera = Camera.looking(
            target + 0.62 * toward / np.linalg.norm(toward),
            target,
            fov_y=0.42,
            width=self.inset,
            height=self.inset,
        )
        face = self.inset_background.copy()
        self._draw(face, camera, self.inset_canvas, posed, self.figure.head_triangles)
        x0, y0 = self.width - self.inset - self.margin, self.margin
        under = picture[y0 : y0 + self.inset, x0 : x0 + self.inset]
        under[:] = np.where(self.inset_mask[..., None], face, under)


def write_text(picture: Picture, place: tuple[int, int], text: str, size: int) -> None:
    """Dark text at a pixel (x, y), in place; only the text's own box is touched."""
    font = ImageFont.load_default(size)
    wide, high = (round(v) + 2 for v in font.getbbox(text)[2:])
    box = picture[place[1] : place[1] + high, place[0] : place[0] + wide]
    image = Image.fromarray(np.ascontiguousarray(box))
    ImageDraw.Draw(image).text((0, 0), text, fill=(38, 44, 56), font=font)
    box[:] = np.asarray(image)


def _gradient(width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Picture:
    share = np.linspace(0, 1, max(height, 1))[:, None, None]
    return np.broadcast_to(np.array(top) * (1 - share) + np.array(bottom) * share, (height, width, 3)).astype(
        np.uint8
    )


def _rounded(size: int, radius: int) -> NDArray[np.bool_]:
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size - 1, size - 1), radius, fill=255)
    return np.array(mask) > 127


def _darken(picture: Picture, u: float, v: float, across: float, deep: float, strength: float) -> None:
    """Multiply a Gaussian ellipse into a picture, in place."""
    height, width = picture.shape[:2]
    x0, x1 = max(0, int(u - 2 * across)), min(width, int(u + 2 * across) + 1)
    y0, y1 = max(0, int(v - 2 * deep)), min(height, int(v + 2 * deep) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    x, y = (np.arange(x0, x1) - u) / across, (np.arange(y0, y1) - v) / max(deep, 1e-6)
    shade = 1 - strength * np.exp(-1.5 * (x[None, :] ** 2 + y[:, None] ** 2))
    picture[y0:y1, x0:x1] = (picture[y0:y1, x0:x1] * shade[..., None]).astype(np.uint8)
