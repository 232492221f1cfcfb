"""Figures as a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

GROUPS = {
    "jaw": "jaw",
    "expressions": "face",
    "wrist_height": "wrist height",
    "head": "head",
}
EXPLAINED = ("jaw", "face", "wrists", "head")
MOTION = (
    ("FGD", "fgd.value", 4),
    ("AUC", "measures.scorer_auc.value", 3),
    ("wrist speed m/s", "measures.wrist_speed.value", 2),
    ("jerk m/s³", "measures.jerk.value", 0),
    ("foot sliding m/s", "measures.foot_sliding.value", 3),
    ("swap m", "swap_m", 3),
    ("seed m", "seed_m", 3),
    ("swap of means m", "swap_of_means_m", 3),
    ("seed of means m", "seed_of_means_m", 3),
)
"""Column, place among the figures, digits."""


def print_table(
    ceiling: Mapping[str, float], rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
) -> None:
    """Two tables: how much is heard, and how the motion looks. One training has intervals over clips; several
    have their mean, and the least and the greatest of them (the interval of R² is the first one's).

    Args:
        ceiling: group → best R².
        rows: name and the figures of each training seed.
    """
    print("ceiling: " + ", ".join(f"{label} {ceiling[group]:.2f}" for group, label in GROUPS.items()))
    print(
        "\n| R² of the mean over 16 seeds / ceiling (R², 95 % over clips) | "
        + " | ".join(GROUPS.values())
        + " |"
    )
    print("|---" * (len(GROUPS) + 1) + "|")
    for name, figures in rows:
        print(
            f"| {name} | " + " | ".join(_r2([f["r2"].get(group) for f in figures]) for group in GROUPS) + " |"
        )
    titles = [f"{group} explained" for group in EXPLAINED] + [title for title, *_ in MOTION]
    print("\n| | " + " | ".join(titles) + " |\n" + "|---" * (len(titles) + 1) + "|")
    for name, figures in rows:
        cells = [_explained([f.get("explained", {}).get(group) for f in figures]) for group in EXPLAINED]
        cells += [_span([_at(f, key) for f in figures], digits) for _, key, digits in MOTION]
        print("| " + " | ".join([name, *cells]) + " |")


def _at(figures: Mapping[str, Any], dotted: str) -> float | None:
    found: Any = figures
    for key in dotted.split("."):
        found = None if found is None else found.get(key)
    return found


def _span(found: Sequence[float | None], digits: int) -> str:
    """The mean over training seeds, with the least and the greatest where there are several."""
    present = [value for value in found if value is not None]
    if not present:
        return "–"
    mean, least, greatest = (
        f"{value:.{digits}f}" for value in (np.mean(present), min(present), max(present))
    )
    return mean if least == greatest else f"{mean} ({least} to {greatest})"


def _r2(found: Sequence[Mapping[str, Any] | None]) -> str:
    present = [f for f in found if f is not None]
    if not present:
        return "–"
    value = np.mean([f["r2"] for f in present])
    span = f"{value:.2f}, {present[0]['low']:.2f} to {present[0]['high']:.2f}"
    if present[0]["share"] is None:
        return f"R² {span}"
    return f"{_span([100 * f['share'] for f in present], 0)} % (R² {span})"


def _explained(found: Sequence[Mapping[str, Any] | None]) -> str:
    """Per cent, with the interval over clips; of several training seeds as `_span`."""
    present = [f for f in found if f is not None]
    if len(present) != 1:
        return _span([100 * f["value"] for f in present], 0)
    only = present[0]
    return f"{100 * only['value']:.0f} % ({100 * only['low']:.0f} to {100 * only['high']:.0f})"
