"""Feet that stand: where a foot rests, its ankle and its direction are held still, and the leg follows.

On the project's own skeleton. Legs are worked out part by part; of a whole clip only their ends are kept,
about 150 bytes a frame. Shapes: T frames; metres, seconds.
"""

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from omniges.motion.legs import Leg, leg_of, reach_for
from omniges.motion.parts import parts_of
from omniges.spool import Spool
from omniges.types import Motion

Array = NDArray[np.float64]
STILL_M_PER_S = 0.3  # a slower foot may rest (the contact rule of EMAGE's representation)
NEAR_M = 0.03  # a foot that rests is no higher than this over its own lowest twentieth
SMOOTH_S = 0.1  # trembling of the feet that is not taken for steps: deviation of the smoothing
SHORTEST_S = 0.2  # a shorter rest is none
SLACK_M = 0.08  # how far a resting foot is held back at most, along x, y or z; then it takes a step
STEP_S = 0.3  # how long that step takes
LIFT = 0.3  # height of such a step, share of its length
BLEND_S = 0.2  # how long a foot takes to leave its place for where the motion has it, and back
SIDES = ("left", "right")


@dataclass(frozen=True, kw_only=True)
class Track:
    """Where the ends of one leg are, all through a clip."""

    hip: Array  # [T, 3]
    ankle: Array  # [T, 3]
    foot: Array  # [T, 3]
    turn: Array  # [T, 3, 3] of the ankle, in the world
    reach_m: float  # see `Leg.reach_m`

    @classmethod
    def of(cls, motion: Motion, side: str) -> "Track":
        n, reach_m = motion.n_frames, 0.0
        hip, ankle, foot, turn = *(np.empty((n, 3)) for _ in range(3)), np.empty((n, 3, 3))
        start = 0
        for part in parts_of(motion):
            leg, span = leg_of(part, side), slice(start, start + part.n_frames)
            hip[span], ankle[span], foot[span], turn[span] = leg.hip, leg.ankle, leg.foot, leg.turns[:, 2]
            start, reach_m = span.stop, leg.reach_m
        return cls(hip=hip, ankle=ankle, foot=foot, turn=turn, reach_m=reach_m)


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A stretch of time in which a foot rests."""

    start: int  # first frame
    stop: int  # first frame after it
    ankle: Array  # [3] where its ankle rests
    turn: Array  # [3, 3] its direction in the world
    steps_on: bool  # the next stand is reached by a step of its own, not by the motion's


def lock_feet(motion: Motion) -> tuple[Motion, dict[str, Any]]:
    """Hold resting feet still by two-bone inverse kinematics.

    Only hips, knees, ankles and the pelvis's height change, and those only while a foot rests and for
    `BLEND_S` before and after. The pelvis sinks where a leg would be too short to reach its resting foot.

    Args:
        motion: T frames.

    Returns:
        the motion; share of time that each foot rests, steps added, largest shift of a foot and sink of
        the pelvis in metres.
    """
    stands, needed = {}, np.zeros(motion.n_frames)
    for side in SIDES:
        track = Track.of(motion, side)
        stands[side] = stands_of(track, motion.fps)
        needed = np.maximum(needed, sink_needed(track, stands[side]))
    sink = sink_of(needed, motion.fps)
    trans = motion.trans.copy()
    trans[:, 1] -= sink
    after, farthest = replace(motion, trans=trans), 0.0
    for side in SIDES:
        shift, vector, moved = corrections(Track.of(after, side), stands[side], motion.fps)
        if moved.any():
            after = _moved(after, side, shift, vector, moved)
            farthest = max(farthest, float(np.linalg.norm(shift, axis=1).max()))
    report = {
        "resting": {side: sum(s.stop - s.start for s in stands[side]) / motion.n_frames for side in SIDES},
        "steps_added": sum(stand.steps_on for side in SIDES for stand in stands[side]),
        "largest_shift_m": farthest,
        "largest_sink_m": float(sink.max()),
    }
    return after, report


def _moved(motion: Motion, side: str, shift: Array, vector: Array, moved: NDArray[np.bool_]) -> Motion:
    """The motion with one leg's ankle shifted and turned, see `corrections`."""
    made, start = Spool(np.float32), 0
    for part in parts_of(motion):
        span = slice(start, start + part.n_frames)
        poses, here = part.poses.copy(), np.flatnonzero(moved[span])
        if len(here):
            leg = _frames(leg_of(part, side), here)
            turn = Rotation.from_rotvec(vector[span][here]).as_matrix() @ leg.turns[:, 2]
            poses[here[:, None], list(leg.joints[:3])] = reach_for(leg, leg.ankle + shift[span][here], turn)
        made.append(poses)
        start = span.stop
    return replace(motion, poses=made.array())


def stands_of(track: Track, fps: float) -> list[Stand]:
    """When and where a foot rests: slow and low for long enough; cut where it slides out of `SLACK_M`."""
    places = np.concatenate([track.ankle, track.foot], axis=1)
    if len(places) < 2:
        return []
    calm = ndimage.gaussian_filter1d(places, SMOOTH_S * fps, axis=0, mode="nearest")
    speed = np.linalg.norm(np.gradient(calm.reshape(-1, 2, 3), 1 / fps, axis=0), axis=-1).max(1)
    height = calm[:, 4]
    rests = (speed < STILL_M_PER_S) & (height < np.percentile(height, 5) + NEAR_M)
    found = []
    for start, stop in _runs(rests):
        pieces = _pieces(places[start:stop], round(STEP_S * fps))
        for number, (first, last) in enumerate(pieces):
            if last - first >= SHORTEST_S * fps:
                span = slice(start + first, start + last)
                found.append(_stand(track, span, steps_on=number + 1 < len(pieces)))
    return _joined(found, fps)


def _stand(track: Track, span: slice, *, steps_on: bool) -> Stand:
    """The place in the middle of where the foot was, and the mean of its directions."""
    ankle = track.ankle[span]
    return Stand(
        start=span.start,
        stop=span.stop,
        ankle=(ankle.min(0) + ankle.max(0)) / 2,
        turn=Rotation.from_matrix(track.turn[span]).mean().as_matrix(),
        steps_on=steps_on,
    )


def _joined(stands: list[Stand], fps: float) -> list[Stand]:
    """The last stand steps nowhere, nor does one whose follower was too short to count."""
    return [
        replace(stand, steps_on=stand.steps_on and nxt is not None and nxt.start - stand.stop <= STEP_S * fps)
        for stand, nxt in zip_longest(stands, stands[1:])
    ]


def _pieces(places: Array, gap: int) -> list[tuple[int, int]]:
    """Cut [T, 6] where a coordinate has moved by more than twice the slack; `gap` frames lie between."""
    pieces, start = [], 0
    low = high = places[0]
    for t, place in enumerate(places):
        if t < start:
            continue
        if t == start:
            low = high = place
        low, high = np.minimum(low, place), np.maximum(high, place)
        if (high - low).max() > 2 * SLACK_M:
            pieces.append((start, t))
            start = t + gap
    if start < len(places):
        pieces.append((start, len(places)))
    return pieces


def sink_needed(track: Track, stands: list[Stand]) -> Array:
    """[T] metres that the pelvis has to sink for a leg to reach where its foot rests; 0 elsewhere."""
    needed = np.zeros(len(track.hip))
    for stand in stands:
        span = slice(stand.start, stand.stop)
        away = stand.ankle - track.hip[span]
        flat = np.minimum(np.linalg.norm(away[:, [0, 2]], axis=1), track.reach_m)
        deepest = np.sqrt(track.reach_m**2 - flat**2)
        needed[span] = np.maximum(0, -away[:, 1] - deepest)
    return needed


def sink_of(needed: Array, fps: float) -> Array:
    """[T] metres, smooth, and nowhere less than `needed` [T]."""
    width = 2 * round(BLEND_S * fps) + 1
    # A mean over `width` frames of the greatest within `width` frames is nowhere below what is needed.
    greatest = ndimage.maximum_filter1d(needed, width, mode="nearest")
    return ndimage.uniform_filter1d(greatest, width, mode="nearest")


def corrections(track: Track, stands: list[Stand], fps: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """How an ankle has to be moved, [T, 3] metres, and turned, [T, 3] rotation vectors in the world; and
    which frames [T] are touched.
    """
    n = len(track.hip)
    shift, vector, touched = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n, bool)
    for i, stand in enumerate(stands):
        span = slice(stand.start, stand.stop)
        touched[span] = True
        shift[span] = stand.ankle - track.ankle[span]
        vector[span] = Rotation.from_matrix(stand.turn @ track.turn[span].transpose(0, 2, 1)).as_rotvec()
        before = stand.start - (stands[i - 1].stop if i else 0)
        after = (stands[i + 1].start if i + 1 < len(stands) else n) - stand.stop
        for frames, edge in (
            (np.arange(stand.start - 1, stand.start - 1 - _blend(before, fps, i > 0), -1), stand.start),
            (np.arange(stand.stop, stand.stop + _blend(after, fps, i + 1 < len(stands))), stand.stop - 1),
        ):
            weight = _fade(np.arange(1, len(frames) + 1) / (len(frames) + 1))[:, None]
            touched[frames] = True
            shift[frames] += weight * shift[edge]
            vector[frames] += weight * vector[edge]
        if stand.steps_on:
            _lift(
                shift,
                stand.stop,
                stands[i + 1].start,
                float(np.linalg.norm(stands[i + 1].ankle - stand.ankle)),
            )
    return shift, vector, touched


def _blend(gap: int, fps: float, neighbour: bool) -> int:
    """Frames over which a correction fades: a short gap to a neighbour is crossed by both together."""
    blend = round(BLEND_S * fps)
    return min(gap, blend) if not neighbour or gap >= 2 * blend else gap


def _fade(share: Array) -> Array:
    """1 at 0, 0 at 1, level at both."""
    return 1 - share**2 * (3 - 2 * share)


def _lift(shift: Array, start: int, stop: int, length_m: float) -> None:
    share = (np.arange(stop - start) + 1) / (stop - start + 1)
    shift[start:stop, 1] += LIFT * length_m * np.sin(np.pi * share) ** 2


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _frames(leg: Leg, which: NDArray[np.intp]) -> Leg:
    arrays = ("pelvis_turn", "hip", "turns", "knee", "ankle", "foot")
    return replace(leg, **{name: getattr(leg, name)[which] for name in arrays})
