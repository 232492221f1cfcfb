"""The verdict in words: what the figures say, what they can't say, and how sure one may be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.reconstruction import CLAIM_CLIPS, GROUPS, AudioEffect, Interval, interval
from omniges.evaluation.summary import MEASURES, Comparison, Distance

Array = NDArray[np.float64]
Status = Literal["good", "bad", "unclear", "note"]
GROUP_NAMES = {
    "jaw": "jaw",
    "face": "facial expressions",
    "wrists": "wrists",
    "head": "head",
    "eyes": "eyes",
    "body": "body joints",
    "fingers": "fingers",
    "wrist_velocity": "wrist velocity",
    "face_velocity": "expression velocity",
    "wrist_height": "wrist height",
    "wrist_speed": "wrist speed",
    "root_velocity": "root velocity",
}
UNITS = {
    "jaw": "rad",
    "eyes": "rad",
    "face": "coefficients",
    "wrists": "m",
    "wrist_velocity": "m/s",
    "wrist_height": "m",
    "wrist_speed": "m/s",
    "head": "rad",
    "body": "m",
    "fingers": "rad",
    "root_velocity": "m/s",
    "face_velocity": "coefficients/s",
}
SINGULAR = ("jaw", "head")
FEW_CLIPS = 10
NOTHING = 1e-9
"""Smaller figures are what rounding leaves of zero."""
LISTENING = ("bc", "scorer_auc", "scorer_r1")
"""Of these more is better, and noise must have less; of others noise must only have something else."""
BLIND_RESAMPLES = 1000
NATURAL = {
    "jerk": ("Its wrists jerk {} than real ones", "m/s³"),
    "foot_sliding": ("The foot that it stands on slides {} than a real one", "m/s"),
}
"""What eyes notice first: said in the verdict where it differs from the ground truth."""


@dataclass(frozen=True)
class Line:
    """One sentence of the verdict."""

    status: Status
    text: str


def number(x: float | None, digits: int = 3) -> str:
    """Three significant digits, few exponents; a dash for what does not exist."""
    if x is None or not math.isfinite(x):
        return "–"
    if abs(x) < NOTHING:
        return "0"
    if 1e-3 <= abs(x) < 1e5:
        return f"{x:.{digits}g}" if abs(x) < 10**digits else f"{x:.0f}"
    return f"{x:.1e}"


def percent(x: float) -> str:
    return f"{100 * x:.0f} %" if abs(x) >= 0.1 else f"{100 * x:.1f} %"


def interval_words(x: Interval, form: Callable[[float], str] = percent) -> str:
    if x.n < 2:
        return "one clip, so no interval"
    return f"95 % interval {form(x.low)} to {form(x.high)}, {x.n} clips"


def verdict(result: Evaluation) -> list[Line]:
    """All sentences, most important first: does it listen, does it look real, what limits both answers."""
    short, heard = in_short(result), listens(result)
    first = [*short, *heard] if result.effects else [*heard, *short]
    lines = [*first, *looks_real(result), *moves_naturally(result), *untested(result)]
    model = result.summaries.get(result.model or "")
    if model and model.n_clips < FEW_CLIPS:
        lines.append(
            Line(
                "note",
                f"Only {plural(model.n_clips, 'clip was', 'clips were')} scored. Intervals are widened for "
                f"so few; below {CLAIM_CLIPS} clips nothing is claimed at all.",
            )
        )
    return lines


def plural(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def listed(names: Sequence[str]) -> str:
    """One, two and three: with commas, and a word before the last."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def in_short(result: Evaluation) -> list[Line]:
    """Two questions, one sentence each: does it listen, and is its motion closer to real than a real clip of
    somebody saying something else?
    """
    lines = []
    heard = [e for g, e in result.effects.items() if g in GROUPS]
    if heard:
        clear = [GROUP_NAMES[e.group] for e in heard if e.lower_by.above_zero]
        if len(clear) == len(heard):
            lines.append(Line("good", f"In short: it listens, in {listed(clear)}."))
        elif clear:
            others = [GROUP_NAMES[e.group] for e in heard if not e.lower_by.above_zero]
            text = f"In short: it listens in {listed(clear)}; in {listed(others)} that can't be shown."
            lines.append(Line("unclear", text))
        else:
            lines.append(Line("bad", "In short: it can't be shown to listen at all."))
    model, other = result.summaries.get(result.model or ""), result.summaries.get("random-clip")
    for c in result.comparisons:
        if model is None or other is None or {c.better, c.worse} != {model.label, other.label}:
            continue
        if not c.clear:
            text = "Its motion can't be told from that of a real clip of somebody saying something else"
            lines.append(Line("unclear" if c.n_clips < CLAIM_CLIPS else "good", f"{text}, by FGD."))
        elif c.better == model.label:
            lines.append(
                Line("good", "Its motion is nearer to the real one than another real clip is, by FGD.")
            )
        else:
            text = "Its motion is still further from the real one than a real clip of somebody saying"
            lines.append(Line("bad", f"{text} something else, by FGD, clear of zero."))
    return lines


def listens(result: Evaluation) -> list[Line]:
    """Does the right audio lower the error? One sentence for each headline group; then the scorer."""
    paired = [effect_line(result, result.effects[g]) for g in GROUPS if g in result.effects]
    return [*paired, *scorer_line(result)]


def untested(result: Evaluation) -> list[Line]:
    """What could not be asked."""
    if result.effects:
        return []
    text = "Whether the right audio brings it nearer to the truth than wrong audio does was not tested:"
    return [Line("note", f"{text} there are no results with wrong audio.")]


def effect_line(result: Evaluation, effect: AudioEffect) -> Line:
    name = GROUP_NAMES.get(effect.group, effect.group)
    x = effect.explained
    whose = "its" if effect.group in SINGULAR else "their"
    span = f"{percent(x.value)} of {whose} variance ({interval_words(x)})"
    share = result.share_of_ceiling().get(effect.group)
    ceiling = f", {percent(share)} of what this corpus lets anybody hear" if share is not None else ""
    if effect.lower_by.above_zero:
        return Line(
            "good",
            f"Speech moves the {name}: the right audio explains {span}{ceiling}. Clear of zero: yes.",
        )
    if effect.lower_by.below_zero:
        return Line("bad", f"Right audio brings the {name} further from the truth than wrong audio: {span}.")
    return Line("unclear", f"Speech can't be said to move the {name}: {span}. Clear of zero: no.")


def looks_real(result: Evaluation) -> list[Line]:
    """FGD against the mean pose and against the floor."""
    found = []
    model, still = result.summaries.get(result.model or ""), result.summaries.get("mean-pose")
    if model is None or model.fgd is None:
        return [Line("note", "No FGD could be computed; the table says why.")]
    for c in result.comparisons:
        if still is not None and {c.better, c.worse} == {model.label, still.label}:
            found.append(still_line(c, model.label))
    floor = result.floors.get("halves_of_test")
    if floor is not None:
        relation = "above" if model.fgd.value > floor else "at or below"
        found.append(
            Line(
                "note",
                "Its FGD, the distance between the distributions of its motion and of real motion, is "
                f"{number(model.fgd.value)} ({fgd_interval(model.fgd)}). "
                f"That is {relation} {number(floor)}, the distance between two "
                "halves of the real test clips: smaller differences mean little.",
            )
        )
    return found


def moves_naturally(result: Evaluation) -> list[Line]:
    """Where jerk or sliding feet differ from the ground truth's, clear of zero: a sentence each."""
    found = []
    for name, (text, unit) in NATURAL.items():
        own, real = _paired(result, result.model or "", "ground-truth", name)
        if not len(own):
            continue
        x = interval(own - real, 0, BLIND_RESAMPLES)
        if x.clear_of_zero:
            more = text.format("more" if x.above_zero else "less")
            means = f"{number(own.mean())} against {number(real.mean())} {unit}"
            span = f"95 % interval of the difference {number(x.low)} to {number(x.high)}, {x.n} clips"
            found.append(Line("bad", f"{more}: {means} ({span})."))
    return found


def _paired(result: Evaluation, a: str, b: str, name: str) -> tuple[Array, Array]:
    """[clips] of a measure for two variants, over the clips that both have."""
    first, second = result.scores.get(a), result.scores.get(b)
    if first is None or second is None:
        return np.zeros(0), np.zeros(0)
    others = {c.clip: c.values for c in second.clips}
    pairs = [
        (c.values[name], others[c.clip][name])
        for c in first.clips
        if name in c.values and name in others.get(c.clip, {})
    ]
    return np.array([x for x, _ in pairs]), np.array([y for _, y in pairs])


def fgd_interval(x: Distance) -> str:
    return interval_words(Interval(x.value, x.low, x.high, x.n_clips), number)


def still_line(c: Comparison, label: str) -> Line:
    """Model against mean pose."""
    span = f"{number(c.difference)} (95 % interval {number(c.low)} to {number(c.high)}, {c.n_clips} clips)"
    if not c.clear:
        return Line("unclear", c.in_words() + ".")
    if c.better == label:
        return Line("good", f"It is nearer to real motion than standing still is: FGD lower by {span}.")
    return Line("bad", f"It is further from real motion than standing still is: FGD higher by {span}.")


def scorer_line(result: Evaluation) -> list[Line]:
    """The contrastive scorer's AUC between floor and ceiling."""
    model, truth = result.summaries.get(result.model or ""), result.summaries.get("ground-truth")
    if not model or not truth or "scorer_auc" not in model.measures or "scorer_auc" not in truth.measures:
        return []
    own, ceiling = model.measures["scorer_auc"], truth.measures["scorer_auc"]
    text = (
        "A scorer trained on real clips tells from its motion alone which sound it belongs to, among sound "
        f"of the same speaker: AUC {own.value:.3f} ({interval_words(own, '{:.3f}'.format)}). Chance is .5; "
        f"real motion reaches {ceiling.value:.3f}."
    )
    if ceiling.low <= 0.5:
        return [
            Line("note", text + " The scorer itself has learnt nothing here, so this figure says nothing.")
        ]
    if own.low > 0.5 and own.n >= CLAIM_CLIPS:
        return [Line("good", text)]
    return [Line("unclear", text.replace("tells from", "can't surely tell from", 1))]


def blind(result: Evaluation) -> list[str]:
    """Measures by which, on this corpus, smooth noise does at least as well as the ground truth, or can't be
    told from it: names of `summary.MEASURES`.
    """
    found = []
    for name in MEASURES:
        truth, noise = _paired(result, "ground-truth", "smooth-noise", name)
        if not len(truth):
            continue
        difference = interval(truth - noise, 0, BLIND_RESAMPLES)
        told = difference.above_zero if name in LISTENING else difference.clear_of_zero
        if not told:
            found.append(name)
    return found
