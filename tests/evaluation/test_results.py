"""Anybody's results: what other code leaves out is handled and said, and rubbish is never scored."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_world import World, motion_from
from typer.testing import CliRunner

from omniges.cli.evaluate import evaluate
from omniges.data.beat2 import read_motion, write_motion
from omniges.errors import DataError, EvaluationError
from omniges.evaluation import own_scorer, standalone
from omniges.evaluation.embedder import Embedder
from omniges.evaluation.evaluation import Options
from omniges.evaluation.fgd_network import FgdNetwork
from omniges.evaluation.results import read_result
from omniges.evaluation.scoring import Reference
from omniges.files import read_json
from omniges.motion.resample import resample_motion
from omniges.types import Motion

OPTIONS = Options(seed=0, bootstrap=50, bootstrap_fgd=5)


@pytest.fixture
def truth() -> Motion:
    rng = np.random.default_rng(0)
    return motion_from(rng.standard_normal((120, 3)).cumsum(0) * 0.1, rng)


REFERENCE = Reference(
    clip="1_name_test_0", speaker=1, split="test", motion=lambda: None, onsets_s=None, words=None, mfcc=None
)


def task(world: World, results: Path, out: Path) -> standalone.Task:
    return standalone.Task(
        results=results, root=world.W.raw, out=out, split="test", embedder=None, options=OPTIONS
    )


def save(folder: Path, **arrays: object) -> None:
    np.savez(folder / "1_name_test_0.npz", **arrays)


def test_other_frame_rates_are_brought_to_the_references(tmp_path: Path, truth: Motion):
    half = resample_motion(truth, 15.0)
    write_motion(tmp_path / "1_name_test_0.npz", half)
    result = read_result(tmp_path, REFERENCE, truth)
    assert result.motion.n_frames == truth.n_frames
    np.testing.assert_array_equal(result.motion.poses[::2], half.poses)
    assert any("15 fps" in note for note in result.notes)


def test_what_is_missing_is_said(tmp_path: Path, truth: Motion):
    save(tmp_path, poses=truth.poses.reshape(-1, 165)[:60])
    result = read_result(tmp_path, REFERENCE, truth)
    assert not result.has_expressions
    assert {n.split(":")[0] for n in result.notes} == {
        "no translation",
        "no expressions",
        "no mocap_frame_rate",
        "60 of 120 frames",
    }


def test_emage_names_are_found(tmp_path: Path, truth: Motion):
    write_motion(tmp_path / "res_1_name_test_0.npz", truth)
    assert read_result(tmp_path, REFERENCE, truth).motion.n_frames == 120


@pytest.mark.parametrize(("given", "says"), [(50, "50 of 100 expressions"), (120, "only the first 100")])
def test_other_counts_of_expressions_are_read_and_said(tmp_path: Path, truth: Motion, given: int, says: str):
    whole = np.random.default_rng(0).standard_normal((120, 120))
    save(tmp_path, poses=truth.poses.reshape(-1, 165), expressions=whole[:, :given])
    result = read_result(tmp_path, REFERENCE, truth)
    kept = min(given, 100)
    np.testing.assert_array_equal(result.motion.expressions[:, :kept], whole[:, :kept])
    assert not result.motion.expressions[:, kept:].any()
    assert result.has_expressions
    assert any(says in note for note in result.notes)


def test_a_figure_that_stands_still_is_called_that(tmp_path: Path, truth: Motion):
    save(tmp_path, poses=np.repeat(truth.poses[:1].reshape(1, 165), 120, 0))
    assert any("stands still" in note for note in read_result(tmp_path, REFERENCE, truth).notes)


def test_no_column_of_expressions_is_no_face(tmp_path: Path, truth: Motion):
    save(tmp_path, poses=truth.poses.reshape(-1, 165), expressions=np.zeros((120, 0)))
    assert not read_result(tmp_path, REFERENCE, truth).has_expressions


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"poses": np.zeros((0, 165))}, "shape"),
        ({"poses": np.zeros((10, 100))}, "shape"),
        ({"poses": np.full((40, 165), np.nan)}, "NaN"),
        ({"angles": np.zeros((10, 165))}, "wanted poses"),
        ({"poses": np.zeros((40, 165)), "mocap_frame_rate": 0}, "mocap_frame_rate"),
        ({"poses": np.zeros((40, 165)), "mocap_frame_rate": np.array([30, 30])}, "wanted one number"),
        ({"poses": np.zeros((40, 165)), "mocap_frame_rate": np.array("thirty")}, "wanted real numbers"),
        ({"poses": np.zeros((40, 165)), "trans": np.zeros((39, 3))}, "trans"),
        ({"poses": np.zeros((40, 165)), "trans": np.zeros((40, 3), complex)}, "wanted real numbers"),
        ({"poses": np.full((40, 165), "0.1")}, "wanted real numbers"),
        ({"poses": np.zeros((40, 165)), "expressions": np.zeros((39, 100))}, "go with the poses"),
        ({"poses": np.zeros((40, 165)), "expressions": np.zeros(100)}, "go with the poses"),
    ],
)
def test_rubbish_is_refused(tmp_path: Path, truth: Motion, arrays: dict, says: str):
    save(tmp_path, **arrays)
    with pytest.raises((DataError, EvaluationError), match=says):
        read_result(tmp_path, REFERENCE, truth)


def test_a_rate_in_a_list_is_read_and_degrees_are_noticed(tmp_path: Path, truth: Motion):
    poses = truth.poses.reshape(-1, 165)
    save(tmp_path, poses=poses, mocap_frame_rate=np.array([30]))
    assert not any("turns" in note for note in read_result(tmp_path, REFERENCE, truth).notes)
    save(tmp_path, poses=np.degrees(poses), mocap_frame_rate=30)
    assert any("degrees look like this" in note for note in read_result(tmp_path, REFERENCE, truth).notes)


def test_one_clip_has_figures_without_intervals(world: World, tmp_path: Path, quick_embedder: None):
    clip = world.test_clips()[0]
    (tmp_path / "res").mkdir()
    shutil.copy(world.W.generated / "model-seed0" / f"{clip}.npz", tmp_path / "res")
    result = standalone.score_folder(task(world, tmp_path / "res", tmp_path / "out"))
    assert result.summaries["results"].n_clips == 1
    page = (tmp_path / "out/index.html").read_text()
    verdict = page[page.index('<ul class="verdict">') : page.index("</ul>")]
    assert "Only 1 clip was scored" in verdict
    assert "one clip, so no interval" in verdict
    assert "– to –" not in page
    assert "nan" not in verdict


def test_a_reference_whose_motion_is_gone_is_left_out_and_named(
    world: World, tmp_path: Path, quick_embedder: None
):
    gone = world.test_clips()[1]
    tree = tmp_path / "tree"
    shutil.copytree(world.W.raw, tree)
    next(tree.glob(f"smplxflame_*/{gone}.npz")).unlink()
    whole = task(world, world.W.generated / "model-seed0", tmp_path / "out")
    result = standalone.score_folder(replace(whole, root=tree))
    assert result.summaries["results"].n_clips == len(world.test_clips()) - 1
    (fault,) = result.scores["results"].faults
    assert fault.clip == gone
    assert "missing" in fault.problem


def test_pickles_and_absent_files_are_refused(tmp_path: Path, truth: Motion):
    with pytest.raises(DataError, match="no result"):
        read_result(tmp_path, REFERENCE, truth)
    save(tmp_path, poses=np.array([object()]))
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_result(tmp_path, REFERENCE, truth)


@pytest.fixture
def quick_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training is tested elsewhere."""
    monkeypatch.setattr(
        standalone, "own_embedder", lambda _: Embedder(FgdNetwork().eval(), "random, for this test", "0" * 64)
    )
    monkeypatch.setattr(standalone, "train_own", lambda *_: (None, "no listening scorer: left out here"))


def test_a_scorer_of_its_own_hears_and_says_where_there_is_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(standalone, "own_embedder", lambda _: None)
    monkeypatch.setattr(own_scorer, "TRAINING", own_scorer.TRAINING.model_copy(update={"steps": 60}))
    results = world.W.generated / "model-seed0"
    result = standalone.score_folder(task(world, results, tmp_path / "out"))
    auc = {name: x.measures["scorer_auc"].value for name, x in result.summaries.items()}
    assert auc["ground-truth"] > 0.65
    assert auc["results"] > 0.6
    assert auc["mean-pose"] == pytest.approx(0.5, abs=0.05)
    assert result.scorer_hash is not None
    assert len(result.scorer_hash) == 64

    shutil.copytree(world.W.raw, tmp_path / "silent", ignore=shutil.ignore_patterns("*.wav"))
    silent = replace(task(world, results, tmp_path / "out"), root=tmp_path / "silent")
    result = standalone.score_folder(silent)
    assert result.scorer_hash is None
    assert any("0 train clips with sound" in note for note in result.summaries["results"].notes)


def test_the_table_fits_a_narrow_terminal(
    world: World,
    tmp_path: Path,
    quick_embedder: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("omniges.log.console.width", 80)
    evaluate(world.W.generated / "model-seed0", world.W.raw, tmp_path, bootstrap=50, bootstrap_fgd=5)
    shown = capsys.readouterr().err
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for heading in ("FGD (95 % interval)", "AUC", "ΔBC", "L1Div", "foot m/s"):
        assert heading in shown


def test_a_folder_of_results_is_scored(world: World, tmp_path: Path, quick_embedder: None):
    result = standalone.score_folder(task(world, world.W.generated / "model-seed0", tmp_path / "out"))
    model, still = (result.summaries[n] for n in ("results", "mean-pose"))
    assert model.n_clips == 8
    assert model.fgd is not None
    assert still.fgd is not None
    assert model.fgd.value < still.fgd.value
    assert {"bc", "bc_difference", "pause_ratio", "l1div"} <= set(model.measures) | {"pause_ratio"}
    assert read_json(tmp_path / "out/report.json")["encoder"]["label"] == "random, for this test"
    assert (tmp_path / "out/index.html").stat().st_size > 50_000


def test_ground_truth_as_results_has_no_distance(world: World, tmp_path: Path, quick_embedder: None):
    result = standalone.score_folder(task(world, world.W.raw / "smplxflame_30", tmp_path / "out"))
    model = result.summaries["results"]
    assert model.fgd is not None
    assert model.fgd.value == pytest.approx(0, abs=1e-6)
    assert model.rms_errors["jaw"].value == 0


def test_two_clips_one_frame_and_constant_motion(world: World, tmp_path: Path, quick_embedder: None):
    clips = world.test_clips()
    still = read_motion(world.W.raw / "smplxflame_30" / f"{clips[0]}.npz")
    n = still.n_frames
    for clip, frames in ((clips[0], n), (clips[1], n), (clips[2], 1)):
        motion = Motion(
            poses=np.repeat(still.poses[:1], frames, 0),
            trans=np.repeat(still.trans[:1], frames, 0),
            expressions=np.repeat(still.expressions[:1], frames, 0),
            betas=still.betas,
            fps=still.fps,
        )
        write_motion(tmp_path / "res" / f"{clip}.npz", motion)
    result = standalone.score_folder(task(world, tmp_path / "res", tmp_path / "out"))
    model = result.summaries["results"]
    assert model.n_clips == 2
    assert model.fgd is not None
    assert 0 < model.fgd.value < 1e6
    assert model.measures["l1div"].value == pytest.approx(0, abs=1e-6)
    problems = " ".join(f.problem for f in result.scores["results"].faults)
    assert "1 frames in common" in problems
    assert "no result" in problems
    assert not any(c.clear for c in result.comparisons)  # two clips claim nothing


def test_the_command_fails_in_words_where_nothing_can_be_scored(world: World, tmp_path: Path):
    import typer

    app = typer.Typer()
    app.command()(evaluate)
    (tmp_path / "empty").mkdir()
    run = CliRunner().invoke(app, [str(tmp_path / "empty"), "--reference", str(world.W.raw)])
    assert run.exit_code != 0
    assert isinstance(run.exception, EvaluationError)
    assert "no result for any of the 8 clips" in str(run.exception)
    run = CliRunner().invoke(
        app, [str(tmp_path / "empty"), "--reference", str(world.W.raw), "--split", "additional"]
    )
    assert "the split 'additional' is empty" in str(run.exception)
