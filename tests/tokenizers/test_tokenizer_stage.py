"""The stages from motion tables to checkpoint folders and codes, and the four tokenizers as one."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizer_toys import moving, with_tokenizers, write_world

from omniges.config import Params
from omniges.data.motion_table import read_motion_features
from omniges.data.table import read_table
from omniges.errors import CheckpointError, ShapeError, TrainingError
from omniges.files import sha256_file
from omniges.motion.features import gesture_from_features, motion_to_features
from omniges.motion.layout import GESTURE_WIDTH, PART_NAMES, PARTS
from omniges.tokenizers import reconstruction, stage
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.published import write_published
from omniges.tokenizers.statistics import Statistics
from omniges.workspace import Workspace

CLIPS = ["1_made_0_1_1", "1_made_0_2_2", "1_made_0_3_3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """All four parts trained a little, once for this file: workspace, folder and parameters."""
    from omniges.config import load_params

    params = with_tokenizers(load_params(Path(__file__).parents[2] / "params.yaml"), steps=10)
    W, home = Workspace.of(params), tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        write_world(W, dict(zip(CLIPS, ("train", "train", "val"), strict=True)), n_frames=202)
        for part in PART_NAMES:
            stage.train(params, W, part)
    return W, home, params


@pytest.fixture
def inside(trained, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, Params]:
    W, home, params = trained
    monkeypatch.chdir(home)
    return W, params


def test_folders_hold_the_train_splits_statistics(inside: tuple[Workspace, Params]):
    W, _ = inside
    frames = np.concatenate(
        [read_motion_features(W.feature("motion") / f"{clip}.parquet").values for clip in CLIPS[:2]]
    )
    for part in PART_NAMES:
        found = load_file(W.tokenizer(part) / "statistics.safetensors")
        wanted = frames[:, PARTS[part].channels].astype(np.float64)
        np.testing.assert_allclose(found["mean"].numpy(), wanted.mean(axis=0), atol=1e-5)
        moving_channels = wanted.std(axis=0) > 2e-3
        np.testing.assert_allclose(
            found["std"].numpy()[moving_channels], wanted.std(axis=0)[moving_channels], rtol=1e-3
        )
        assert found["mean"].dtype == torch.float32


def test_reports_measure_both_splits(inside: tuple[Workspace, Params]):
    W, _ = inside
    for part in PART_NAMES:
        report = json.loads((W.tokenizer(part) / "report.json").read_text())
        assert report["history"][-1]["step"] == 10
        for split, clips in (("train", 2), ("val", 1)):
            found = report["reconstruction"][split]
            assert (found["split"], found["clips"], found["frames"]) == (split, clips, clips * 200)
            kept = found["by_quantizers_kept"]
            assert all(len(values) == 3 and values[-1] == found[name] for name, values in kept.items())
            assert ("degrees" in kept) == (part != "face")
            assert ("foot_slide_mm_per_s" in kept) == (part == "lower_trans")
            assert len(found["by_joint"].get("degrees", {})) == len(PARTS[part].joints)
            assert kept["fgd"][-1] > 0
        picture = (W.tokenizer(part) / "report.svg").read_text()
        assert picture.startswith("<?xml")
        assert not re.findall(r"(?:href|src)=\"(?!#)", picture)  # needs nothing but itself


def test_training_again_gives_the_same_bytes(inside: tuple[Workspace, Params]):
    W, params = inside
    weights = W.tokenizer("face") / "model.safetensors"
    before = sha256_file(weights)
    stage.train(params, W, "face")
    assert sha256_file(weights) == before


def test_codes_are_written_per_clip_and_bad_clips_are_named(inside: tuple[Workspace, Params]):
    W, params = inside
    faults = stage.codes(params, W, [CLIPS[0], "9_none_0_1_1", CLIPS[2]])
    assert [fault.clip for fault in faults] == ["9_none_0_1_1"]
    table = read_table(W.feature("codes") / f"{CLIPS[0]}.parquet")
    assert table.values.shape == (202 // 4, 4 * 3)
    assert table.values.dtype == np.int16
    assert table.fps == 7.5
    tokenizer = GestureTokenizer.load(W)
    gesture = gesture_from_features(read_motion_features(W.feature("motion") / f"{CLIPS[0]}.parquet").values)
    want = tokenizer.encode(torch.from_numpy(gesture.astype(np.float32))[None])
    np.testing.assert_array_equal(table.values.reshape(-1, 4, 3), want[0].numpy())


@torch.no_grad()
def test_four_parts_work_as_one(inside: tuple[Workspace, Params]):
    W, _ = inside
    tokenizer = GestureTokenizer.load(W)
    gesture = torch.from_numpy(
        gesture_from_features(motion_to_features(moving(66, 5)).values).astype(np.float32)
    )[None]
    codes = tokenizer.encode(gesture)
    assert codes.shape == (1, 16, 4, 3)
    motion = tokenizer.decode_codes(codes)
    assert motion.shape == (1, 64, GESTURE_WIDTH)
    books = tokenizer.codebooks()
    latents = sum(books[torch.arange(4), q][torch.arange(4), codes[..., q]] for q in range(3))
    torch.testing.assert_close(tokenizer.decode_latents(latents), motion, rtol=0, atol=1e-5)  # type: ignore[arg-type]
    torch.testing.assert_close(
        tokenizer.denormalise(tokenizer.normalise(gesture)), gesture, rtol=1e-4, atol=1e-4
    )
    # a part answers to its own channels only
    other = gesture.clone()
    other[..., PARTS["hands"].gesture] += 0.5
    changed = (tokenizer.encode(other) != codes).any(dim=(0, 1, 3))
    assert changed.tolist() == [False, True, False, False]


def test_wrong_gesture_and_mixed_folders_are_refused(inside: tuple[Workspace, Params], tmp_path: Path):
    W, _ = inside
    tokenizer = GestureTokenizer.load(str(W.models / "tokenizers"))
    with pytest.raises(ShapeError, match=r"wanted \[B, T, 415\]"):
        tokenizer.encode(torch.zeros(1, 8, 433))
    with pytest.raises(ShapeError, match=r"wanted \[B, N, 4, Q\]"):
        tokenizer.decode_codes(torch.zeros(1, 2, 3, 3, dtype=torch.int64))
    for part in PART_NAMES:
        source = W.tokenizer("upper" if part == "hands" else part).resolve()
        (tmp_path / part).symlink_to(source)
    with pytest.raises(CheckpointError, match="wanted the rvqvae of hands"):
        GestureTokenizer.load(tmp_path)
    with pytest.raises(CheckpointError, match="wanted a checkpoint folder"):
        GestureTokenizer.load(tmp_path / "none")


def test_a_checkpoint_folder_can_stand_in_for_training(inside: tuple[Workspace, Params], tmp_path: Path):
    W, params = inside
    source = (W.models / "tokenizers" / "face").resolve()
    checkpoints = params.tokenizers.checkpoints.model_copy(update={"face": str(source)})
    section = params.tokenizers.model_copy(update={"checkpoints": checkpoints})
    changed = params.model_copy(update={"tokenizers": section})
    other = Workspace(name="copy", raw=W.raw)
    other.ingest.parent.mkdir(parents=True, exist_ok=True)
    for folder in ("ingest", "motion"):
        (other.data / folder).symlink_to((W.data / folder).resolve())
    stage.train(changed, other, "face")
    first, second = (load_file(w.tokenizer("face") / "model.safetensors") for w in (W, other))
    assert all(torch.equal(first[key], second[key]) for key in first)
    report = json.loads((other.tokenizer("face") / "report.json").read_text())
    assert report["history"] == []
    assert report["reconstruction"]["val"]["clips"] == 1


def test_an_unknown_part_and_an_empty_train_split_are_refused(world: Workspace, params: Params):
    with pytest.raises(TrainingError, match="wanted one of upper"):
        stage.train(params, world, "legs")
    empty = Workspace(name="empty", raw=world.raw)
    write_world(empty, {"1_made_0_1_1": "val"})
    with pytest.raises(TrainingError, match="train split is empty"):
        stage.train(params, empty, "upper")


def test_a_collapsed_codebook_stops_the_stage(world: Workspace, params: Params):
    flat = with_tokenizers(params, codes=2, quantizers=1, lr=1e-9, steps=2, ema_decay=0.0, dead_below=0.0)
    trainer_codes = flat.tokenizers.model_copy(update={"codes": 1})
    with pytest.raises(TrainingError, match=r"collapsed \(perplexity 1.00 of 1 codes\)"):
        stage.train(flat.model_copy(update={"tokenizers": trainer_codes}), world, "upper")


def test_a_perfect_tokenizer_measures_zero_and_a_shifted_one_its_shift(tiny):
    """Statistics stand in for a decoder of known error: what is decoded is `decoded * std + mean`."""
    model = tiny(channels=100).eval()
    for parameter in model.decoder.parameters():
        parameter.data.zero_()
    clip = reconstruction.ClipChannels("a", np.full((10, 100), 2.0, np.float32))
    exact = Statistics(np.full(100, 2.0, np.float32), np.ones(100, np.float32))
    off = Statistics(np.full(100, 1.5, np.float32), np.ones(100, np.float32))
    assert reconstruction.measure("face", model, exact, [clip], 30, "val")["abs_error"] == pytest.approx(
        0, abs=1e-6
    )
    assert reconstruction.measure("face", model, off, [clip], 30, "val")["abs_error"] == pytest.approx(
        0.5, abs=1e-5
    )


def test_drift_and_sliding_feet_are_measured_on_the_summed_path(tiny):
    """The decoder gives a body at rest that slides 2 mm a frame; the truth stands still."""
    model = tiny(channels=57).eval()
    for parameter in model.decoder.parameters():
        parameter.data.zero_()
    rest = np.zeros(57, np.float32)
    rest[[*range(0, 54, 6), *range(4, 54, 6)]] = 1.0
    sliding = rest + np.eye(57, dtype=np.float32)[54] * 0.002
    clip = reconstruction.ClipChannels("a", np.tile(rest, (12, 1)))
    found = reconstruction.measure(
        "lower_trans", model, Statistics(sliding, np.ones(57, np.float32)), [clip], 30, "val"
    )
    assert found["foot_slide_mm_per_s"] == pytest.approx(60, rel=1e-4)
    assert found["true_foot_slide_mm_per_s"] == 0
    assert found["trans_drift_mm"] == pytest.approx(2 * np.arange(12).mean(), rel=1e-4)
    assert found["degrees"] == pytest.approx(0, abs=1e-6)
    assert set(found["by_joint"]["joints_mm"]) >= {"left_foot", "right_ankle", "spine1"}
    assert "fgd" not in found


def test_code_use_counts_shares_and_entropy():
    codes = torch.tensor([[0, 0], [1, 0], [2, 0], [3, 0]])
    found = reconstruction.code_use(codes, size=8, quantizers=2)
    assert found == {"used_share": [0.5, 0.125], "perplexity": [4.0, 1.0]}


def test_writing_a_published_file_keeps_the_stage_readable(inside: tuple[Workspace, Params], tmp_path: Path):
    W, _ = inside
    tokenizer = GestureTokenizer.load(W)
    write_published(tmp_path / "net.pth", tokenizer.parts["face"])  # type: ignore[arg-type]
    assert set(torch.load(tmp_path / "net.pth", weights_only=True)) == {"net"}


def test_curves_and_figures_go_to_mlflow(
    inside: tuple[Workspace, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.tracking import MlflowClient

    W, params = inside
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'ml.db'}")
    tracked = params.model_copy(
        update={"tracking": params.tracking.model_copy(update={"trackers": ["mlflow"], "experiment": "test"})}
    )
    report = json.loads((W.tokenizer("face") / "report.json").read_text())
    stage._track(tracked, W, "face", report)
    client = MlflowClient(f"sqlite:///{tmp_path / 'ml.db'}")
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id])[0]
    assert run.data.params["tokenizers.steps"] == "10"
    val = report["reconstruction"]["val"]
    assert run.data.metrics["val.abs_error"] == val["abs_error"]
    for name, wanted in (
        ("kept.fgd", val["by_quantizers_kept"]["fgd"]),
        ("quantizer.perplexity", val["codes"]["perplexity"]),
    ):
        curve = sorted(
            client.get_metric_history(run.info.run_id, f"val.{name}"), key=lambda point: point.step
        )
        assert [(point.step, point.value) for point in curve] == list(enumerate(wanted, start=1))
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.json", "report.svg"}
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [10]
