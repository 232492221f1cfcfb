"""The picture of one part's report: SVG without network, same bytes for the same figures."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

COLOURS = {"train": "#9a8c98", "val": "#1f6f8b"}
MARK = "#d1495b"
PANELS = (
    ("degrees", "rotation error, degrees"),
    ("joints_mm", "joint error, mm"),
    ("abs_error", "expression error"),
    ("velocity_mm_per_s", "velocity error, mm/s"),
    ("velocity_error_per_s", "velocity error, 1/s"),
    ("fgd", "FGD to ground truth"),
    ("trans_drift_mm", "drift on the floor, mm"),
    ("foot_slide_mm_per_s", "slide of standing feet, mm/s"),
)
"""Errors that get a panel over the number of quantizers kept, where the part has them."""
COLUMNS, PANEL_IN = 3, (3.0, 2.3)
Draw = Callable[[Any], None]


def report_svg(report: Mapping[str, Any]) -> str:
    """Every figure of a part's report.json as one picture.

    Args:
        report: with `part`, `history` and, by split, `reconstruction`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    splits = {name: found for name, found in report["reconstruction"].items() if found is not None}
    draws = [*_error_panels(splits), *_code_panels(splits), *_joint_panels(splits)]
    if report["history"]:
        draws.append(partial(_loss, history=report["history"]))
    rows = -(-len(draws) // COLUMNS)
    style: Any = {
        "font.size": 8,
        "svg.hashsalt": "omniges",
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
    }
    with matplotlib.rc_context(style):  # no pyplot: it keeps state and picks a window system
        drawn = Figure(figsize=(COLUMNS * PANEL_IN[0], rows * PANEL_IN[1] + 0.3), layout="constrained")
        drawn.suptitle(f"tokenizer {report['part']}")
        for axes, draw in zip(drawn.subplots(rows, COLUMNS, squeeze=False).flat, draws, strict=False):
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes)
        for axes in drawn.axes[len(draws) :]:
            axes.set_axis_off()
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _error_panels(splits: Mapping[str, Any]) -> list[Draw]:
    measured = {name for found in splits.values() for name in found["by_quantizers_kept"]}
    return [
        partial(_error, splits=splits, name=name, label=label) for name, label in PANELS if name in measured
    ]


def _error(axes: Any, splits: Mapping[str, Any], name: str, label: str) -> None:
    for split, found in splits.items():
        values = found["by_quantizers_kept"].get(name, [None])
        if None not in values:
            axes.plot(
                range(1, len(values) + 1), values, "o-", ms=3, lw=1.2, color=COLOURS[split], label=split
            )
    val = splits.get("val", {})
    floors = {"fgd": "fgd_of_train_split", "foot_slide_mm_per_s": "true_foot_slide_mm_per_s"}
    floor = val.get(floors.get(name, ""))
    if floor is not None:
        axes.axhline(floor, color=MARK, lw=0.9, ls="--")
        words = {"fgd": "val against train, both real", "foot_slide_mm_per_s": "ground truth"}
        axes.text(1, floor, words[name], color=MARK, va="bottom", fontsize=7)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("quantizers kept")
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=7)


def _code_panels(splits: Mapping[str, Any]) -> list[Draw]:
    labels = {"used_share": "share of codes in use", "perplexity": "perplexity"}
    return [partial(_bars, splits=splits, name=name, label=label) for name, label in labels.items() if splits]


def _bars(axes: Any, splits: Mapping[str, Any], name: str, label: str) -> None:
    for i, (split, found) in enumerate(splits.items()):
        values = found["codes"][name]
        places = [q + 1 + 0.36 * (i - (len(splits) - 1) / 2) for q in range(len(values))]
        axes.bar(places, values, 0.34, color=COLOURS[split], label=split)
    axes.set_xlabel("quantizer")
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=2)


def _joint_panels(splits: Mapping[str, Any]) -> list[Draw]:
    found = splits.get("val") or splits.get("train")
    if not found:
        return []
    labels = {"degrees": "degrees", "joints_mm": "mm"}
    return [
        partial(_joints, by_joint=found["by_joint"][name], unit=label)
        for name, label in labels.items()
        if name in found["by_joint"]
    ]


def _joints(axes: Any, by_joint: Mapping[str, float], unit: str) -> None:
    names: Sequence[str] = list(by_joint)
    axes.barh(range(len(names)), list(by_joint.values()), color=COLOURS["val"])
    axes.set_yticks(range(len(names)), names, fontsize=4.5 if len(names) > 16 else 6)
    axes.invert_yaxis()
    axes.set_xlabel(f"error by joint, {unit}")


def _loss(axes: Any, history: Sequence[Mapping[str, Any]]) -> None:
    steps = [point["step"] for point in history]
    for name, colour in (("loss", COLOURS["val"]), ("reconstruction", COLOURS["train"])):
        axes.plot(steps, [point["values"][name] for point in history], lw=1.2, color=colour, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False, fontsize=7)
