"""The cards beside a checkpoint say what it is made of, and change nothing that it computes."""

import shutil
from pathlib import Path

import pytest
import torch
from toy_index import toy_index

from omniges import checkpoint
from omniges.config import load_params
from omniges.errors import ConfigError
from omniges.files import write_json
from omniges.motion.layout import PART_NAMES
from omniges.training import cards, stage
from omniges.workspace import Workspace

ROOT = Path(__file__).parents[2]
SHARDS = ("shard-000.mdb", "shard-001.mdb")


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A checkpoint as training leaves it: 900-frame clips of two speakers, best step 40 of 60."""
    monkeypatch.chdir(tmp_path)
    places = [
        (f"{split}{i}", i % 2, i % 2, split) for split, n in (("train", 4), ("val", 1)) for i in range(n)
    ]
    index = toy_index(places, left_out={"bad_clip": "corrupt"})
    monkeypatch.setattr(cards, "read_index", lambda _: index)
    workspace = Workspace(name="toy", raw=tmp_path / "raw")
    provenance = {
        "pack": "c0ffee",
        "tokenizers": {part: f"hash-of-{part}" for part in PART_NAMES},
        "best_step": 40,
        "chosen_by": "lowest val loss",
    }
    weights = {"w": torch.zeros(3)}
    checkpoint.save(workspace.a2g, tensors=weights, config={}, statistics=weights, provenance=provenance)
    curve = [{"step": step, "val/total": 6.0 - step / 100, "train/total": 5.0} for step in (20, 40, 60)]
    write_json(workspace.a2g / "curve.json", curve)
    return workspace


def test_cards_name_data_figures_and_hashes_and_leave_the_digest_alone(trained):
    before = checkpoint.digest(trained.a2g)
    cards.write_cards(load_params(ROOT / "params.yaml"), trained, 1_234_567)
    assert checkpoint.digest(trained.a2g) == before
    text = (trained.a2g / cards.MODEL_CARD).read_text("utf-8")
    for part in (
        before,
        "c0ffee",
        "hash-of-face",
        "1.23 M",
        "40 steps (lowest val loss), at most 700 steps",
        "total (their weighted sum): 5.6000",
        "UNTRAINED",
    ):
        assert part in text, part
    data = (trained.a2g / cards.DATA_CARD).read_text("utf-8")
    assert "| train | 4 | 2 | 0.017 | 100 |" in data  # 1800 frames at 30 fps are a minute
    assert "| val | 4 | 1 | 0.008 | 50 |" in data
    assert "bad_clip" in data
    assert "75 %" in data


def test_the_latent_flows_card_says_what_it_is_and_names_no_loss_that_it_has_not(trained):
    params = load_params(ROOT / "params.yaml")
    curve = [{"step": 40, "val/total": 6.0, "val/codes": 0.0, "val/side": 1.0}]
    write_json(trained.a2g / "curve.json", curve)
    shutil.copytree(trained.a2g, trained.latent_flow.a2g)
    latents = params.model_copy(update={"model": params.model.model_copy(update={"predicts": "latents"})})
    said = []
    for chosen, workspace in ((params, trained), (latents, trained.latent_flow)):
        cards.write_cards(chosen, workspace, 1)
        said.append((workspace.a2g / cards.MODEL_CARD).read_text("utf-8"))
    assert ["latent flow" in text for text in said] == [False, True]
    assert ["cross-entropy" in text for text in said] == [True, False]
    assert ["FOLDER/latent_flow`" in text for text in said] == [False, True]
    assert "side (squared error of jaw and eyes" in said[1]


def test_cards_of_a_training_on_some_shards_count_their_clips_alone(trained):
    params = load_params(ROOT / "params.yaml")
    some = params.model_copy(update={"train": params.train.model_copy(update={"shards": [1]})})
    cards.write_cards(some, trained, 1)
    data = (trained.a2g / cards.DATA_CARD).read_text("utf-8")
    assert "| train | 9 | 2 | 0.017 | 100 |" in data
    assert "| train | 4 |" not in data
    assert "shards of the pack: 1\n" in data


def test_cards_of_recorded_people_name_the_terms_and_repeat_to_the_byte(trained):
    params = load_params(ROOT / "params.beat2.yaml")
    cards.write_cards(params, trained, 1)
    first = {name: (trained.a2g / name).read_bytes() for name in (cards.MODEL_CARD, cards.DATA_CARD)}
    assert all(b"CC BY-NC 4.0" in text for text in first.values())
    assert b"synthetic people" not in first[cards.MODEL_CARD]
    assert b"at most 100 epochs" in first[cards.MODEL_CARD]  # there max_steps is null
    cards.write_cards(params, trained, 1)
    assert {name: (trained.a2g / name).read_bytes() for name in first} == first


def test_a_model_that_could_not_be_logged_is_refused_before_it_is_trained(trained):
    params = load_params(ROOT / "params.yaml")
    assert params.tracking.log_model
    with pytest.raises(ConfigError, match=r"encoders/wavlm, which is missing.*dvc pull wavlm_encoder"):
        stage.check_pieces(params, trained)
    (trained.encoders / "wavlm").mkdir(parents=True)
    with pytest.raises(ConfigError, match="dvc pull text_encoder"):
        stage.check_pieces(params, trained)
    untold = params.model_copy(update={"tracking": params.tracking.model_copy(update={"log_model": False})})
    stage.check_pieces(untold, trained)
    (trained.encoders / "text").mkdir()
    stage.check_pieces(params, trained)
