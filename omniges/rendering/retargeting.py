"""Which bone of another rig a joint drives; the tables are data, `rendering/data/*.json`."""

import json
from importlib import resources
from typing import Literal

from omniges.motion.layout import JOINT_NAMES

Rig = Literal["mixamo", "unreal"]


def bone_names(rig: Rig) -> dict[str, str | None]:
    """Joint -> bone of the rig, prefix included; None where the rig has no such bone. All 55 joints are
    keys.
    """
    text = resources.files("omniges.rendering").joinpath("data", f"{rig}.json").read_text("utf-8")
    table = json.loads(text)
    return {
        joint: None if table["bones"][joint] is None else table["prefix"] + table["bones"][joint]
        for joint in JOINT_NAMES
    }
