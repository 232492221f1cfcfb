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


def print_table(
    ceiling: Mapping[str, float], rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
) -> None:
    """Two tables: how much is heard, and how the motion looks. Several training seeds give their mean; the
    interval is the first one's, over clips.

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
    head = ("FGD", "AUC", "wrist speed m/s", "jerk m/s³", "foot sliding m/s", "swap m", "seed m")
    explained = [f"{group} explained" for group in EXPLAINED]
    print(
        "\n| | " + " | ".join([*explained, *head]) + " |\n" + "|---" * (len(EXPLAINED) + len(head) + 1) + "|"
    )
    for name, figures in rows:
        cells = [_interval(figures[0].get("explained", {}).get(group)) for group in EXPLAINED]
        first = figures[0]
        measures = first["measures"]
        cells.append(f"{first['fgd']['value']:.4f}")
        for measure, digits in (("scorer_auc", 3), ("wrist_speed", 2), ("jerk", 0), ("foot_sliding", 3)):
            cells.append(f"{measures[measure]['value']:.{digits}f}")
        cells += ["–" if first.get(key) is None else f"{first[key]:.3f}" for key in ("swap_m", "seed_m")]
        _print_row(name, cells)


def _print_row(name: str, cells: Sequence[str]) -> None:
    print("| " + " | ".join([name, *cells]) + " |")


def _r2(found: Sequence[Mapping[str, Any] | None]) -> str:
    present = [f for f in found if f is not None]
    if not present:
        return "–"
    value = np.mean([f["r2"] for f in present])
    span = f"{value:.2f}, {present[0]['low']:.2f} to {present[0]['high']:.2f}"
    if present[0]["share"] is None:
        return f"R² {span}"
    return f"{100 * np.mean([f['share'] for f in present]):.0f} % ({span})"


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{100 * found['value']:.0f} % ({100 * found['low']:.0f} to {100 * found['high']:.0f})"
