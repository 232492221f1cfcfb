"""Two runs: told apart where they differ, never where they don't, and never across other scales."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_world import World
from typer.testing import CliRunner

from omniges.cli import _build
from omniges.errors import EvaluationError
from omniges.evaluation.compare import Side, compare_runs, read_side

CLIPS = [f"1_a_{i}" for i in range(12)]
RNG = np.random.default_rng(0)
HARD = {clip: float(x) for clip, x in zip(CLIPS, RNG.uniform(1, 3, 12), strict=True)}  # clips differ a lot


def side(label: str, error: float, seed: int, **changes: object) -> Side:
    """A run whose every error is its clip's difficulty times `error`, with little noise of its own."""
    rng = np.random.default_rng(seed)
    right = {clip: HARD[clip] * (error + 0.02 * rng.standard_normal()) for clip in CLIPS}
    made = Side(
        label=label,
        split="test",
        encoder="abc whole clips",
        scorer="def",
        fgd=error,
        fgd_draws=error + 0.02 * np.random.default_rng(seed).standard_normal(200),
        resampled=(0, tuple(CLIPS)),
        values={"error/jaw": right, "l1div": dict(HARD), "wrist_speed": dict(HARD)},
        wrong={"error/jaw": {c: 2 * HARD[c] for c in CLIPS}},
        still={"error/jaw": dict(HARD)},
        truth={"l1div": dict(HARD), "wrist_speed": dict(HARD)},
    )
    return replace(made, **changes)


def named(found, name: str):
    return next(x for x in found.differences if x.name == name)


def test_a_small_difference_is_seen_through_large_differences_between_clips():
    found = compare_runs(side("old", 1.0, 1), side("new", 0.9, 2), 0, 500)
    jaw = named(found, "squared error of jaw")
    assert jaw.by.value == pytest.approx(-0.1 * np.mean(list(HARD.values())), abs=0.02)
    assert jaw.winner == "b"
    assert named(found, "share of jaw that the audio explains").winner == "b"
    assert named(found, "FGD").winner == "b"
    assert any(line.startswith("new is better, clear of zero, in: FGD") for line in found.in_words())


def test_runs_that_differ_by_noise_alone_cannot_be_told_apart():
    """Twenty pairs of equal runs: 95 % intervals miss zero about once, never in half of them."""
    missed = sum(
        named(compare_runs(side("a", 1.0, 2 * i), side("b", 1.0, 2 * i + 1), i, 300), "FGD").winner is None
        and named(
            compare_runs(side("a", 1.0, 2 * i), side("b", 1.0, 2 * i + 1), i, 300), "squared error of jaw"
        ).winner
        is None
        for i in range(20)
    )
    assert missed >= 16
    same = compare_runs(side("a", 1.0, 3), side("b", 1.0, 3), 0, 300)
    assert same.in_words()[0] == "a and b can't be told apart: every interval covers zero."


def test_other_encoders_scorers_clips_and_splits_are_never_put_side_by_side():
    a = side("a", 1.0, 1)
    for change, why in (
        ({"encoder": "abc windows of 64 frames"}, "another encoder"),
        ({"resampled": (1, tuple(CLIPS))}, "other clips or another bootstrap"),
        ({"fgd": None}, "not in both"),
    ):
        found = compare_runs(a, side("b", 0.5, 2, **change), 0, 50)
        assert "FGD" not in {x.name for x in found.differences}
        assert why in found.left_out[0]
    with pytest.raises(EvaluationError, match="wanted one split"):
        compare_runs(a, side("b", 1.0, 2, split="val"), 0, 50)
    other = {"l1div": {c: 2 * x for c, x in HARD.items()}, "wrist_speed": dict(HARD)}
    with pytest.raises(EvaluationError, match="different ground truth"):
        compare_runs(a, side("b", 1.0, 2, truth=other), 0, 50)
    with pytest.raises(EvaluationError, match="no scored clip in common"):
        compare_runs(a, side("b", 1.0, 2, values={"l1div": {"other": 1.0}}), 0, 50)


def test_few_clips_claim_nothing():
    few = {"values": {"error/jaw": {c: HARD[c] for c in CLIPS[:4]}}}
    found = compare_runs(side("a", 1.0, 1, **few), side("b", 0.5, 2), 0, 50)
    assert "too few to claim" in found.in_words()[0]
    assert named(found, "squared error of jaw").winner is None


def test_the_command_scores_two_folders_and_says_which_is_better(world: World, tmp_path: Path):
    """The pretended model against its own results with wrong audio, by FGD's network of random weights."""
    import torch

    from omniges.evaluation.fgd_network import FgdNetwork

    torch.manual_seed(0)
    torch.save({"model_state": FgdNetwork().state_dict()}, tmp_path / "network.bin")
    right, wrong = (world.W.generated / f"{name}-seed0" for name in ("model", "wrong-audio"))
    options = ["--embedder", str(tmp_path / "network.bin"), "--bootstrap-fgd", "5", "--bootstrap", "200"]
    run = CliRunner().invoke(
        _build(),
        [
            *("compare", str(wrong), str(right), "--reference", str(world.W.raw)),
            *(*options, "--out", str(tmp_path / "out"), "--json", str(tmp_path / "found.json")),
        ],
    )
    assert run.exit_code == 0, run.output
    assert "model-seed0 is better, clear of zero, in:" in run.output.replace("\n", " ")
    assert "squared error of jaw" in (tmp_path / "found.json").read_text()
    again = read_side(tmp_path / "out" / "model-seed0", "again")
    assert again.fgd is not None
    assert len(again.values["error/jaw"]) == 8


def test_what_is_no_report_is_refused(tmp_path: Path):
    with pytest.raises(EvaluationError, match=r"no report\.json"):
        read_side(tmp_path, "x")
