"""The report's plots as SVG text; matplotlib, no network, same bytes for the same figures.

Each function returns the SVG of one figure about 120 mm wide, which fits a phone and stands in two columns on
a desk.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.report.words import GROUP_NAMES

COLOURS = {"model": "#1f6f8b", "wrong-audio": "#d1495b", "ground-truth": "#22333b", "baseline": "#9a8c98"}
WIDTH_IN = 4.7
Array = NDArray[np.float64]


def figure(height_in: float) -> tuple[Any, Any]:
    """An empty figure in the report's style, drawn without pyplot (which keeps state and picks a window
    system).
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "omniges", "svg.fonttype": "path"}
    )
    drawn = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = drawn.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)
    return drawn, axes


def svg(drawn: Any) -> str:
    """The figure as an <svg> element that scales with its column."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def intervals(
    rows: Sequence[tuple[str, float, float, float, str]],
    xlabel: str,
    marks: dict[str, float],
    zero: bool = False,
    shown: tuple[float, float] | None = None,
) -> str:
    """Points with intervals, one row each.

    Args:
        rows: (label, value, low, high, role), from top to bottom.
        xlabel: what is drawn, with its unit.
        marks: named vertical lines.
        zero: draw a line at zero.
        shown: what the axis shows at least, so that plots of two runs can be held side by side.
    """
    drawn, axes = figure(0.9 + 0.27 * len(rows) + (0.2 if marks else 0))
    for y, (_, value, low, high, role) in enumerate(rows):
        colour = COLOURS.get(role, COLOURS["baseline"])
        if np.isfinite(low) and np.isfinite(high):
            axes.plot([low, high], [y, y], color=colour, lw=2.2, solid_capstyle="round")
        axes.plot([value], [y], "o", color=colour, ms=5.5)
    axes.set_yticks(range(len(rows)), [r[0] for r in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if zero:
        axes.axvline(0, color="#444", lw=0.9)
    for style, (name, x) in zip(("--", ":", "-."), marks.items(), strict=False):
        axes.axvline(x, color="#b5651d", lw=1.1, ls=style, label=name)
    if marks:
        axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    if shown is not None:
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, shown[0]), max(high, shown[1]))
    axes.set_xlabel(xlabel)
    axes.grid(axis="x", color="#ddd", lw=0.6)
    return svg(drawn)


def fgd(result: Evaluation) -> str | None:
    """FGD of every variant with its interval, and the floors."""
    rows = [(x.label, x.fgd.value, x.fgd.low, x.fgd.high, x.role) for x in result.summaries.values() if x.fgd]
    if not rows:
        return None
    names = {"halves_of_test": "halves of real test", "train_vs_test": "real train vs test"}
    marks = {names[k]: v for k, v in result.floors.items() if k in names}
    return intervals(sorted(rows, key=lambda r: r[1]), "FGD, 95 % interval over clips", marks)


def audio_effect(result: Evaluation) -> str | None:
    """Variance that the right audio explains, by group."""
    rows = [
        (
            GROUP_NAMES.get(g, g),
            100 * e.explained.value,
            100 * e.explained.low,
            100 * e.explained.high,
            "model",
        )
        for g, e in result.effects.items()
    ]
    title = "variance explained by the right audio, %"
    return intervals(rows, title, {}, zero=True, shown=(-10, 100)) if rows else None


def listening(result: Evaluation) -> str | None:
    """AUC of the contrastive scorer by variant."""
    rows = [
        (x.label, m.value, m.low, m.high, x.role)
        for x in result.summaries.values()
        if (m := x.measures.get("scorer_auc"))
    ]
    title = "AUC, own audio against wrong audio"
    return intervals(rows, title, {"chance": 0.5}, shown=(0.3, 1.03)) if rows else None


def errors(result: Evaluation, names: Sequence[str]) -> str | None:
    """Error by group relative to the mean pose's: 1 is standing still, √2 is a perfect but deaf sampler."""
    still = result.summaries.get("mean-pose")
    names = [n for n in names if result.summaries[n].role in ("model", "wrong-audio")]
    if still is None or not names:
        return None
    groups = [g for g in still.rms_errors if still.rms_errors[g].value > 0]
    drawn, axes = figure(0.9 + 0.3 * len(groups))
    for k, name in enumerate(names):
        x = result.summaries[name]
        values = [
            x.rms_errors[g].value / still.rms_errors[g].value if g in x.rms_errors else np.nan for g in groups
        ]
        place = np.arange(len(groups)) + (k - (len(names) - 1) / 2) * 0.36
        axes.barh(place, values, height=0.34, color=COLOURS[x.role], label=x.label)
        for y, g in zip(place, groups, strict=True):
            found = x.rms_errors.get(g)
            if found is not None and np.isfinite([found.low, found.high]).all():
                ends = [max(end, 0.0) / still.rms_errors[g].value for end in (found.low, found.high)]
                axes.plot(ends, [y, y], color="#22333b", lw=1.0, solid_capstyle="butt")
    axes.axvline(1, color="#444", lw=0.9)
    axes.set_yticks(range(len(groups)), [GROUP_NAMES.get(g, g) for g in groups])
    axes.invert_yaxis()
    axes.set_xlabel("RMS error / that of the mean pose, 95 % intervals")
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return svg(drawn)


def spectra(result: Evaluation, names: Sequence[str]) -> str | None:
    """Power of the wrists' speed and jerk by frequency, mean over clips."""
    drawn, axes = figure(4.6)
    drawn.delaxes(axes)
    rows = drawn.subplots(2, 1, sharex=True)
    for row, (signal, unit) in zip(rows, (("speed", "(m/s)²/Hz"), ("jerk", "(m/s³)²/Hz")), strict=True):
        row.spines[["top", "right"]].set_visible(False)
        for name in names:
            found = [c.spectra[signal] for c in result.scores[name].clips]
            x = result.summaries[name]
            if found and max(p.max() for _, p in found) > 0:
                power = np.mean([p for _, p in found], axis=0)
                row.semilogy(found[0][0], power + 1e-12, color=COLOURS[x.role], label=x.label, lw=1.6)
        row.set_ylabel(f"wrist {signal}, {unit}")
    rows[1].set_xlabel("Hz")
    if not rows[0].lines:
        return None
    rows[0].legend(frameon=False, fontsize=8)
    return svg(drawn)


def embedding_map(result: Evaluation, names: Sequence[str]) -> str | None:
    """Embedder features on the two main axes of the ground truth's. A clip's first and last feature see its
    ends, not its motion: they lie far off, for any motion, and would squeeze all others.
    """

    def inner(name: str) -> Array:
        clips = [c.features for c in result.scores[name].clips]
        return np.concatenate([x[1:-1] if len(x) > 4 else x for x in clips]).astype(np.float64)

    real = inner("ground-truth")
    if len(real) < 3:
        return None
    mean = real.mean(0)
    axes_of = np.linalg.svd(real - mean, full_matrices=False)[2][:2]
    drawn, axes = figure(3.4)
    seen: list[Array] = []
    for name in names:
        x = result.summaries[name]
        points = inner(name)
        points = points[:: max(1, len(points) // 600)]
        xy = (points - mean) @ axes_of.T
        if x.role != "baseline":
            seen.append(xy)
        size, alpha = (10, 0.35) if x.role != "baseline" else (22, 0.8)
        axes.scatter(
            *xy.T, s=size, alpha=alpha, color=COLOURS[x.role], label=x.label, linewidths=0, rasterized=False
        )
    _frame(axes, np.concatenate(seen))
    axes.set_xlabel("first axis of real motion")
    axes.set_ylabel("second axis")
    legend = axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
    return svg(drawn)


def _frame(axes: Any, points: Array) -> None:
    """Show what the middle 98 % of [N, 2] points need: one far point must not squeeze all others."""
    low, high = np.quantile(points, [0.01, 0.99], axis=0)
    margin = 0.12 * (high - low) + 1e-9
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def beats(
    envelope: tuple[Array, Array],
    onsets_s: Array,
    speeds: Mapping[str, tuple[Array, Array, Array, str]],
    span_s: float,
) -> str:
    """Loudness and onsets above wrist speed and its beats.

    Args:
        envelope: (seconds, amplitude).
        onsets_s: audio onsets.
        speeds: label → (seconds, m/s, beats in seconds, role).
        span_s: how much is drawn.
    """
    drawn, axes = figure(0.9 + 1.0 * (1 + len(speeds)))
    drawn.delaxes(axes)
    rows = drawn.subplots(1 + len(speeds), 1, sharex=True)
    time_s, amplitude = envelope
    rows[0].fill_between(time_s, -amplitude, amplitude, color="#8d99ae", lw=0)
    for onset in onsets_s[onsets_s < span_s]:
        rows[0].axvline(onset, color="#d1495b", lw=0.8)
    rows[0].set_ylabel("sound")
    rows[0].set_yticks([])
    for row, (label, (seconds, speed, beat_s, role)) in zip(rows[1:], speeds.items(), strict=True):
        row.plot(seconds, speed, color=COLOURS[role], lw=1.3)
        for beat in beat_s[beat_s < span_s]:
            row.axvline(beat, color="#bbb", lw=0.8, zorder=0)
        row.set_ylabel("m/s")
        row.set_title(label, fontsize=8.5, loc="left", pad=2)
        row.set_ylim(0, 1.05 * max(each.max() for _, each, _, _ in speeds.values()) + 1e-9)
    for row in rows:
        row.spines[["top", "right"]].set_visible(False)
        row.set_xlim(0, span_s)
    rows[-1].set_xlabel("seconds; red: audio onsets, grey: right wrist's beats")
    return svg(drawn)
