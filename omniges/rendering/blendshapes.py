"""Face motion as ARKit's 52 blendshape weights, as far as an open mapping allows. docs/exports.md says how
far that is.

Three sources, in this order; the result names the one that was used:

* `matrix`: a linear map ARKit -> FLAME that the user has (51 x 103, as published beside BEAT2), inverted
  within 0..1;
* `own-basis`: expressions made with the project's own corpus, whose basis is known, so the inverse is exact;
* `jaw-and-eyes`: FLAME's basis is licensed and not shipped; without a matrix only the jaw and eye joints can
  be read.

Shapes: T frames, K = 52 blendshapes.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omniges.corpus.controls import FACE_CHANNELS
from omniges.corpus.face import expression_basis
from omniges.errors import DataError
from omniges.files import atomic_path
from omniges.motion.layout import EYES, JAW, N_EXPRESSIONS
from omniges.motion.parts import PART_FRAMES, parts_of
from omniges.spool import passed
from omniges.types import Motion

_SIDED = (
    *(
        "browDown",
        "browOuterUp",
        "cheekSquint",
        "eyeBlink",
        "eyeLookDown",
        "eyeLookIn",
        "eyeLookOut",
        "eyeLookUp",
    ),
    *("eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile"),
    *("mouthStretch", "mouthUpperUp", "noseSneer"),
)
_SINGLE = (
    *(
        "browInnerUp",
        "cheekPuff",
        "jawForward",
        "jawLeft",
        "jawOpen",
        "jawRight",
        "mouthClose",
        "mouthFunnel",
    ),
    *("mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    *("mouthShrugUpper", "tongueOut"),
)
ARKIT_NAMES: tuple[str, ...] = tuple(
    sorted([f"{name}{side}" for name in _SIDED for side in ("Left", "Right")] + list(_SINGLE))
)
MATRIX_NAMES: tuple[str, ...] = tuple(name for name in ARKIT_NAMES if name != "tongueOut")
"""Rows of a 51-row matrix, unless its file names them: ARKit's names in alphabetical order without the
tongue.
"""

JAW_REST_RAD, JAW_OPEN_RAD, GAZE_FULL_RAD = 0.012, 0.055, 0.5
"""jawOpen = (jaw - rest) / open: BEAT2's jaw joint stays below 0.07 rad, so this is a display gain, no
anatomy.
"""

OWN_SHARE = 0.8
"""Share of the expressions' change that must lie in the own basis (9 of 100 dimensions) to be read by it."""

OWN_TO_ARKIT: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen",),
    "spread": ("mouthStretchLeft", "mouthStretchRight"),
    "rounded": ("mouthPucker", "mouthFunnel"),
    "closed": ("mouthClose", "mouthPressLeft", "mouthPressRight"),
    "teeth": ("mouthRollLower", "mouthUpperUpLeft", "mouthUpperUpRight"),
    "brow": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "squint": ("eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
}
Source = Literal["matrix", "own-basis", "jaw-and-eyes"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blendshapes:
    """Weights of one clip, in the order of `ARKIT_NAMES`."""

    weights: Floats  # [T, 52] in 0..1
    source: Source


@dataclass(frozen=True)
class ArkitMatrix:
    """A linear map from blendshape weights to 100 expressions and 3 jaw angles."""

    names: tuple[str, ...]
    rows: Floats  # [len(names), 103]

    @classmethod
    def load(cls, path: Path) -> "ArkitMatrix":
        """Read .npy (51 rows in alphabetical order) or .npz with `matrix` and `names`.

        Raises:
            DataError: no such file, another shape, or unknown names.
        """
        try:
            stored = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: no blendshape matrix ({error}). Give a .npy of 51 x 103 numbers."
            ) from error
        names, rows = MATRIX_NAMES, stored
        if isinstance(stored, np.lib.npyio.NpzFile):
            names, rows = tuple(str(name) for name in stored["names"]), stored["matrix"]
        unknown = sorted(set(names) - set(ARKIT_NAMES))
        if rows.shape != (len(names), N_EXPRESSIONS + 3) or unknown:
            raise DataError(
                f"{path}: got a matrix {rows.shape} with {len(names)} names, unknown ones {unknown}; "
                f"wanted [names, {N_EXPRESSIONS + 3}] with ARKit's names."
            )
        return cls(names, np.asarray(rows, np.float64))


def arkit_weights(motion: Motion, matrix: ArkitMatrix | None = None) -> Blendshapes:
    """Blendshape weights of a clip; eyes always come from the eye joints.

    Args:
        motion: T frames.
        matrix: the user's map, where there is one.
    """
    source, parts = arkit_parts(motion, matrix)
    return Blendshapes(np.concatenate([np.zeros((0, len(ARKIT_NAMES))), *parts]), source)


def arkit_parts(motion: Motion, matrix: ArkitMatrix | None = None) -> tuple[Source, Iterator[Floats]]:
    """The source, and the weights [t, 52] of `arkit_weights` part by part."""
    own = None if matrix is not None else own_controls(motion.expressions)
    if matrix is not None:
        return "matrix", (_by_matrix(part, matrix) for part in parts_of(motion))
    return "jaw-and-eyes" if own is None else "own-basis", _by_joints(motion, own)


def _by_matrix(motion: Motion, matrix: ArkitMatrix) -> Floats:
    weights = np.zeros((motion.n_frames, len(ARKIT_NAMES)))
    both = np.concatenate([motion.expressions, motion.poses[:, JAW]], axis=1)
    weights[:, [ARKIT_NAMES.index(name) for name in matrix.names]] = boxed_least_squares(matrix.rows, both)
    return weights


def _by_joints(motion: Motion, own: Floats | None) -> Iterator[Floats]:
    """Jaw and eyes from their joints, all else from the own controls [T, 9] where there are some."""
    start = 0
    for part in parts_of(motion):
        weights = np.zeros((part.n_frames, len(ARKIT_NAMES)))
        if own is not None:
            for column, names in enumerate(OWN_TO_ARKIT.values()):
                control = own[start : start + part.n_frames, column, None]
                weights[:, [ARKIT_NAMES.index(name) for name in names]] = control
        jaw = np.clip((part.poses[:, JAW, 0] - JAW_REST_RAD) / JAW_OPEN_RAD, 0, 1)
        weights[:, ARKIT_NAMES.index("jawOpen")] = jaw
        _look(weights, part)
        yield weights
        start += part.n_frames


def own_controls(expressions: Floats) -> Floats | None:
    """The nine channels that drove the own corpus's expressions, [T, 9] in 0..1; None for expressions of
    another basis.

    Each channel's 5th percentile counts as rest, since the speaker's resting face isn't known.
    """
    basis = expression_basis()  # [9, 100], orthogonal rows
    assert tuple(OWN_TO_ARKIT) == (*FACE_CHANNELS, "blink")
    inverse = basis.T / (basis * basis).sum(1)  # [100, 9]
    total = within = 0.0
    controls = []
    for start in range(0, len(expressions), PART_FRAMES):  # all changes would take much memory
        block = np.asarray(expressions[start : start + PART_FRAMES + 1])
        change = np.diff(block, axis=0)
        inside = (change @ inverse) @ basis
        total, within = total + float((change * change).sum()), within + float((inside * inside).sum())
        controls.append(block[:PART_FRAMES] @ inverse)
        passed(expressions[start : start + PART_FRAMES])
    if total == 0 or within < OWN_SHARE * total:
        return None
    whole = np.concatenate(controls)
    return np.clip(whole - np.percentile(whole, 5, axis=0), 0, 1)


def _look(weights: Floats, motion: Motion) -> None:
    """Gaze from the eye joints: x turns down, y turns towards the body's left."""
    for side, joint, inwards in (("Left", EYES[0], -1), ("Right", EYES[1], 1)):
        down, left = motion.poses[:, joint, 0] / GAZE_FULL_RAD, motion.poses[:, joint, 1] / GAZE_FULL_RAD
        for name, value in (("Down", down), ("Up", -down), ("In", inwards * left), ("Out", -inwards * left)):
            weights[:, ARKIT_NAMES.index(f"eyeLook{name}{side}")] = np.clip(value, 0, 1)


def boxed_least_squares(rows: Floats, wanted: Floats, rounds: int = 400) -> Floats:
    """Weights w in 0..1 that minimise |w @ rows - wanted|, by accelerated projected gradient (Beck and
    Teboulle 2009).

    Args:
        rows: [K, D].
        wanted: [T, D].
        rounds: steps of the method.
    Returns:
        [T, K].
    """
    gram, target = rows @ rows.T, wanted @ rows.T
    step = 1 / max(float(np.linalg.eigvalsh(gram)[-1]), 1e-12)
    weights = ahead = np.zeros((len(wanted), len(rows)))
    momentum = 1.0
    for _ in range(rounds):
        new = np.clip(ahead - step * (ahead @ gram - target), 0, 1)
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum * momentum))
        ahead = new + (momentum - 1) / following * (new - weights)
        weights, momentum = new, following
    return weights


def write_arkit_json(path: Path, motion: Motion, matrix: ArkitMatrix | None = None) -> Source:
    """Write `{names, fps, source, frames: [{time, weights}]}`, the form in which BEAT stores faces;
    returns the source.
    """
    source, parts = arkit_parts(motion, matrix)
    head = json.dumps(
        {"names": list(ARKIT_NAMES), "fps": motion.fps, "source": source}, separators=(",", ":")
    )
    with atomic_path(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(head.removesuffix("}") + ',"frames":[')
        start = 0
        for weights in parts:
            frames = [
                {"time": round((start + i) / motion.fps, 6), "weights": [round(float(w), 5) for w in row]}
                for i, row in enumerate(weights)
            ]
            text = json.dumps(frames, separators=(",", ":"))
            stream.write(("," if start else "") + text[1:-1])
            start += len(frames)
        stream.write("]}\n")
    return source
