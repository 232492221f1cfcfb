"""What training says where it reads some shards of a pack."""

import logging
from pathlib import Path

import pytest
from toy_index import toy_index

from omniges.config import load_params
from omniges.training import inputs
from omniges.workspace import Workspace

ROOT = Path(__file__).parents[2]


def test_speakers_without_a_train_clip_in_the_shards_are_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    whole = toy_index([("a", 0, 0, "train"), ("b", 1, 1, "train"), ("c", 1, 0, "val")])
    monkeypatch.setattr(inputs, "read_index", lambda _: whole)
    params = load_params(ROOT / "params.yaml")
    some = params.model_copy(update={"train": params.train.model_copy(update={"shards": [1]})})
    with caplog.at_level(logging.INFO):
        inputs._say_which(some, Workspace(name="toy", raw=Path("raw")), whole.only([1]))
    assert "1 of the pack's 2 shards (shard-001.mdb), with 1 of 2 train clips and 1 of 1 val" in caplog.text
    assert "no train clip of speaker 4 is in them" in caplog.text
    assert "9" not in caplog.text.partition("no train clip")[2]
