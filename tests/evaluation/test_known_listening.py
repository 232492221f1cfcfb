"""Every listening measure on corpora in which speech decides none, half or all of the motion.

The corpus, the scorer and the measures are the project's own; only the model is replaced, by a listener who
draws everything hidden anew. So the truth is known: s = 0 is chance, and more of s is more of each measure.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from omniges.evaluation.evaluation import Evaluation

pytestmark = pytest.mark.slow
SHARES = (0.0, 0.5, 1.0)
GROUPS = ("jaw", "face", "head", "wrist_height")


def load_benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "listening.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_listening", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured() -> dict[float, tuple[dict[str, float], Evaluation]]:
    """Share → (row of the documented table, all figures)."""
    torch.set_num_threads(1)
    listening = load_benchmark()
    listening.STEPS = 150
    params, heard = listening.prepare(speakers=2, train=8, test=6)
    found = {}
    for share in SHARES:
        result = listening.measure_share(params, heard, share)
        found[share] = listening.figures(result), result
    return found


Measured = dict[float, tuple[dict[str, float], Evaluation]]


def row(measured: Measured, name: str) -> list[float]:
    return [measured[share][0][name] for share in SHARES]


def test_motion_without_speech_is_at_chance(measured: Measured):
    figures, _ = measured[0.0]
    assert figures["AUC"] == pytest.approx(0.5, abs=0.1)
    assert figures["R@1"] == pytest.approx(0.1, abs=0.08)
    assert figures["ΔBC"] == pytest.approx(0, abs=0.008)
    assert figures["pause / speech"] == pytest.approx(1.0, abs=0.12)
    assert figures["swap / seed"] == pytest.approx(0, abs=1e-6)
    for group in GROUPS:
        assert figures[f"{group} explained"] == pytest.approx(0, abs=1e-6)


def test_more_speech_in_the_motion_is_more_of_every_measure(measured: Measured):
    auc, recall = row(measured, "AUC"), row(measured, "R@1")
    assert auc[0] + 0.3 < auc[1] <= auc[2] + 0.01  # the scorer saturates early
    assert recall[0] + 0.3 < recall[1] <= recall[2] + 0.05
    for name in ("swap / seed", *(f"{group} explained" for group in GROUPS)):
        none, half, whole = row(measured, name)
        assert none + 0.1 < half < whole - 0.1, name
    beats = row(measured, "ΔBC")  # this corpus's hands move between onsets
    assert beats[2] < beats[0] - 0.005
    none, half, whole = row(measured, "pause / speech")
    assert none < whole
    for group in GROUPS:  # a perfect listener reaches the known ceiling, as near as ten clips tell
        assert 0.6 < measured[1.0][0][f"{group}, of ceiling"] < 1.4, group


def test_moved_sound_is_no_longer_heard(measured: Measured):
    for share in SHARES[1:]:
        figures, _ = measured[share]
        assert figures["AUC, sound moved"] < 0.6 < 0.8 < figures["AUC"]
    assert abs(measured[1.0][0]["ΔBC, sound moved"]) < abs(measured[1.0][0]["ΔBC"])
