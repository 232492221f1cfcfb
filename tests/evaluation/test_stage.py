"""The stages together, in a world where it is known who listens."""

import copy
import math
import re
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_world import World, generate

from omniges import tracking
from omniges.cli.summary import summary
from omniges.config import Params
from omniges.data.beat2 import read_motion
from omniges.errors import EvaluationError
from omniges.evaluation import baselines, embedder, scorer, stage
from omniges.evaluation.evaluation import Evaluation
from omniges.evaluation.report import tables, words
from omniges.files import read_json, write_json
from omniges.motion.cleanup import clean


class Lossless:
    """Stands in for the tokenizers."""

    @classmethod
    def load(cls, _: object) -> "Lossless":
        return cls()

    def encode(self, gesture: object) -> object:
        return gesture

    def decode_codes(self, codes: object) -> object:
        return codes


@pytest.fixture(scope="module")
def evaluated(world: World) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "GestureTokenizer", Lossless)
        baselines.run(world.params, world.W)
    embedder.run(world.params, world.W)
    scorer.run(world.params, world.W)
    return stage.run(world.params, world.W)


def test_who_listens_is_told_from_who_does_not(evaluated: Evaluation):
    for group in ("jaw", "face", "wrists", "head"):
        assert evaluated.effects[group].lower_by.above_zero, group
    assert 0.5 < evaluated.effects["face"].explained.value < 1.0  # s of truth and model: sqrt(.9 · .8) = .85
    auc = {name: x.measures["scorer_auc"].value for name, x in evaluated.summaries.items()}
    assert auc["model-seed0"] > 0.9
    assert auc["ground-truth"] > 0.9
    for deaf in ("mean-pose", "random-clip", "wrong-audio-seed0"):
        assert 0.3 < auc[deaf] < 0.7, deaf


def test_the_distances_put_the_model_below_the_mean_pose(evaluated: Evaluation):
    model, still = evaluated.summaries["model-seed0"].fgd, evaluated.summaries["mean-pose"].fgd
    assert model is not None
    assert still is not None
    assert model.high < still.low
    words = [c.in_words() for c in evaluated.comparisons]
    assert any("below that of mean pose" in w and "clear of zero" in w for w in words)
    assert set(evaluated.floors) == {"train_vs_test", "halves_of_test"}


def test_swapping_audio_is_compared_with_swapping_seeds(evaluated: Evaluation):
    assert evaluated.listening["swap_distance_m"] > 0
    assert evaluated.listening["swap_over_seed"] > 0.2


def test_what_is_written_names_split_n_and_encoder(evaluated: Evaluation, world: World):
    full = read_json(world.W.reports / "report.json")
    assert full["split"] == "test"
    assert "own embedder, trained on the train split" in full["encoder"]["label"]
    assert full["variants"]["model-seed0"]["fgd"]["n_clips"] == 8
    rows = pq.read_table(world.W.reports / "clips.parquet").to_pylist()
    assert len(rows) == 8 * len(evaluated.summaries)
    assert {r["clip"] for r in rows if r["variant"] == "model-seed1"} == set(world.test_clips())


def test_what_dvc_compares_is_a_dozen_plain_numbers(evaluated: Evaluation, world: World):
    """`dvc exp show` gives each a column, so they must fit a terminal; report.json has the rest."""
    headline = read_json(world.W.reports / "metrics.json")
    full = read_json(world.W.reports / "report.json")
    assert len(headline) <= 13
    assert all(type(x) in (int, float) and math.isfinite(x) for x in headline.values())
    distance = full["variants"]["model-seed0"]["fgd"]
    assert [headline[f"fgd{end}"] for end in ("", "_low", "_high")] == [
        distance[k] for k in ("value", "low", "high")
    ]
    heard = {
        f"heard_{g}": full["audio_effect"][g]["explained"]["value"] for g in ("jaw", "face", "wrists", "head")
    }
    assert heard.items() <= headline.items()
    measures = full["variants"]["model-seed0"]["measures"]
    for short, name in {
        "auc": "scorer_auc",
        "bc": "bc",
        "l1div": "l1div",
        "foot_sliding": "foot_sliding",
    }.items():
        assert headline[short] == measures[name]["value"]
    assert headline["clips"] == 8


def test_the_summary_has_what_the_report_has(
    evaluated: Evaluation, world: World, capsys: pytest.CaptureFixture[str]
):
    summary()
    said = capsys.readouterr().out
    assert f"{evaluated.summaries['mean-pose'].fgd.value:.3g}" in said
    share = evaluated.effects["jaw"].explained.value
    assert f"jaw: the right audio explains {100 * share:.0f} % of the variance, clear of zero" in said


def test_the_report_keeps_to_its_schema(evaluated: Evaluation, world: World):
    full = read_json(world.W.reports / "report.json")
    schema = read_json(Path(tables.__file__).with_name("report.schema.json"))
    jsonschema.Draft202012Validator(schema).validate(full)
    full["variants"]["model-seed0"]["fgd"]["value"] = 1e10
    del full["encoder"]["sha256"]
    assert not jsonschema.Draft202012Validator(schema).is_valid(full)


def test_what_cannot_tell_truth_from_noise_is_named(evaluated: Evaluation, world: World):
    """BC is blind by its nature; the scorer is not."""
    blind = words.blind(evaluated)
    assert "bc" in blind
    assert "scorer_auc" not in blind
    page = (world.W.reports / "index.html").read_text("utf-8")
    assert "can't tell ground truth from smooth noise (n = 8 clips, paired): " in page


def test_sliding_feet_are_said_and_those_of_real_motion_are_not(evaluated: Evaluation):
    """Ground truth and smooth noise in the model's place."""

    def said(name: str) -> str:
        posing = copy.copy(evaluated)
        posing.scores = evaluated.scores | {"model-seed0": evaluated.scores[name]}
        return " ".join(line.text for line in words.moves_naturally(posing))

    assert said("ground-truth") == ""
    assert "slides more than a real one" in said("smooth-noise")


def test_the_page_is_whole_and_needs_no_network(evaluated: Evaluation, world: World):
    page = (world.W.reports / "index.html").read_text("utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)[^"']+""", page.replace("xlink:", ""))
    assert "@import" not in page
    assert page.count("<svg") >= 6
    for said in (
        "split test, n = 8 clips",
        "own embedder",
        "UNTRAINED",
        "can't tell ground truth from smooth noise",
    ):
        assert said in page.replace("&#39;", "'"), said
    for plot in (world.W.reports / "plots").glob("*.svg"):
        assert plot.stat().st_size > 5000, plot


def test_baselines_are_what_they_say(evaluated: Evaluation, world: World):
    clip = world.test_clips()[0]
    still = read_motion(baselines.folder(world.W, "mean-pose") / f"{clip}.npz")
    assert np.ptp(still.poses, axis=0).max() < 1e-6
    assert still.n_frames == len(world.controls[clip])
    truth = read_motion(world.W.raw / "smplxflame_30" / f"{clip}.npz")
    made = read_motion(baselines.folder(world.W, "ground-truth") / f"{clip}.npz")
    np.testing.assert_allclose(made.poses, truth.poses, atol=2e-3)
    rebuilt = read_motion(baselines.folder(world.W, "reconstruction") / f"{clip}.npz")
    assert np.ptp(rebuilt.poses[:, 22], axis=0).max() < 1e-6  # no ground-truth jaw sneaks in
    with np.errstate(all="raise"):
        assert evaluated.summaries["reconstruction"].rms_errors["jaw"].value > 0.01


def test_the_latent_flow_is_a_baseline_where_it_is_switched_on(evaluated: Evaluation, world: World):
    found = evaluated.summaries["latent-flow"]
    assert (found.label, found.role, found.n_clips) == ("latent flow", "baseline", 8)
    assert (
        0.5
        < found.measures["scorer_auc"].value
        <= evaluated.summaries["model-seed0"].measures["scorer_auc"].value
    )
    assert any("latent flow" in c.in_words() for c in evaluated.comparisons)
    full = read_json(world.W.reports / "report.json")
    assert full["variants"]["latent-flow"]["fgd"]["value"] == found.fgd.value
    assert full["made"]["latent_flow_sha256"] == "c0ffee"
    assert tables.tracked(evaluated)["fgd_latent_flow"] == found.fgd.value
    page = (world.W.reports / "index.html").read_text("utf-8")
    assert re.search(r"<t[hd][^>]*>\s*latent flow", page)

    section = world.params.baselines.latent_flow.model_copy(update={"train": False})
    off = _with(world.params, "baselines", latent_flow=section)
    assert "latent-flow" not in {v.name for v in stage.variants_of(off, world.W)}
    assert "latent_flow_sha256" not in stage.made_by(off, world.W, evaluated)


def _with(params: Params, section: str, **changes: object) -> Params:
    return params.model_copy(update={section: getattr(params, section).model_copy(update=changes)})


def test_only_the_models_results_are_cleaned_up_and_their_labels_say_so(evaluated: Evaluation, world: World):
    some = _with(world.params, "evaluate", clean=["limits", "feet"])
    plain = {v.name: v for v in stage.variants_of(world.params, world.W)}
    cleaned = {v.name: v for v in stage.variants_of(some, world.W)}
    (reference, *_) = stage.read_references(world.params, world.W)
    for name, variant in cleaned.items():
        before, after = plain[name].read(reference).motion, variant.read(reference).motion
        if variant.role in ("model", "wrong-audio"):
            assert variant.label == f"{plain[name].label}, cleaned up (limits, feet)"
            np.testing.assert_array_equal(after.poses, clean(before, ["limits", "feet"])[0].poses)
        else:
            assert variant.label == plain[name].label
            np.testing.assert_array_equal(after.poses, before.poses)


def test_rendering_is_handed_in(evaluated: Evaluation, world: World, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def render(path: Path, motions: dict, wave: np.ndarray, **options: object) -> None:
        calls.append((list(motions), len(wave), options["height"]))
        path.write_bytes(b"mp4")

    page_before = (world.W.reports / "index.html").read_text("utf-8")
    stage.run(world.params, world.W, render=render)
    assert calls[0][0] == ["ground truth", "model, seed 0", "model with wrong audio, seed 0"]
    assert calls[0][2] == world.params.evaluate.video_height
    page = (world.W.reports / "index.html").read_text("utf-8")
    assert "data:video/mp4;base64,bXA0" in page
    assert "data:video" not in page_before


def test_a_missing_and_a_broken_result_are_named_and_the_rest_is_scored(evaluated: Evaluation, world: World):
    gone, broken = world.test_clips()[:2]
    folder = world.W.generated / "model-seed0"
    try:
        (folder / f"{gone}.npz").unlink()
        (folder / f"{broken}.npz").write_bytes(b"PK rubbish")
        result = stage.run(world.params, world.W)
        assert result.summaries["model-seed0"].n_clips == 6
        assert {f.clip for f in result.scores["model-seed0"].faults} == {gone, broken}
        assert gone in (world.W.reports / "index.html").read_text("utf-8")
    finally:
        generate(world, 0, 0.8)


def test_figures_and_page_join_the_run_that_trained_the_model(
    evaluated: Evaluation, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")
    tracked = world.params.model_copy(
        update={"tracking": world.params.tracking.model_copy(update={"trackers": ["mlflow"]})}
    )
    with tracking.start_run(tracked, world.W, "train") as trained:
        trained.log_metrics({"loss": 1.0})
    write_json(world.W.a2g / tracking.RUN_FILE, {"run": trained.id})
    made = {"model_sha256": "a", "data_sha256": "b", "commit": "c"}
    stage.track(tracked, world.W, evaluated, made)
    client = MlflowClient(tracking.tracking_uri())
    run = client.get_run(str(trained.id))
    assert run.data.metrics["evaluate.fgd"] == evaluated.summaries["model-seed0"].fgd.value
    assert {"loss", "evaluate.fgd_low", "evaluate.heard_jaw_low"} <= set(run.data.metrics)
    held = {x.path for x in client.list_artifacts(str(trained.id))}
    assert {"index.html", "report.json", "clips.parquet", "plots", "videos"} <= held


def test_nothing_to_score_is_an_error(evaluated: Evaluation, world: World):
    folder = world.W.generated / "model-seed0"
    aside = folder.with_name("aside")
    folder.rename(aside)
    (world.W.generated / "model-seed1").rename(world.W.generated / "aside1")
    try:
        with pytest.raises(EvaluationError, match="generate"):
            stage.run(world.params, world.W)
    finally:
        aside.rename(folder)
        (world.W.generated / "aside1").rename(world.W.generated / "model-seed1")
