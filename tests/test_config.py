"""Parameters: every fault at once, each with its path and the nearest valid name."""

import copy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from omniges.config import Params, load_params, parse_params
from omniges.errors import ConfigError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def raw() -> dict:
    return YAML(typ="safe").load(ROOT / "params.yaml")


@pytest.mark.parametrize("name", ["params.yaml", "params.beat2.yaml"])
def test_shipped_files_are_valid(name):
    load_params(ROOT / name)


def test_full_size_file_holds_the_founding_sizes():
    params = load_params(ROOT / "params.beat2.yaml")
    model, train, tokenizers = params.model, params.train, params.tokenizers
    assert (train.batch_per_process, train.epochs, train.lr, train.window_frames) == (4, 100, 1e-4, 64)
    assert (model.fusion_layers, model.fusion_heads, model.fusion_width) == (2, 8, 512)
    assert (model.text_width, model.audio_width, model.gesture_width) == (1024, 512, 415)
    assert (model.layers, model.heads, model.residual_streams) == (12, 8, 4)
    assert (tokenizers.width, tokenizers.quantizers, tokenizers.codes, tokenizers.code_dim) == (
        512,
        6,
        1024,
        128,
    )


def test_all_faults_are_listed_with_path_and_nearest_name(raw):
    broken = copy.deepcopy(raw)
    broken["train"]["lrr"] = broken["train"].pop("lr")
    broken["data"]["fps"] = 25
    broken["mfcc"]["n_mfcc"] = "128"
    broken["sampling"]["solver"] = "hein"
    broken["trian"] = {}
    with pytest.raises(ConfigError) as caught:
        parse_params(broken)
    text = str(caught.value)
    for wanted in (
        "train.lr: missing",
        "did you mean train.lr?",
        "data.fps: got 25, wanted 15 or 30",
        "mfcc.n_mfcc: got '128'",
        "did you mean heun?",
        "did you mean train?",
    ):
        assert wanted in text


def test_number_written_with_exponent_is_a_number(raw, tmp_path):
    text = (ROOT / "params.yaml").read_text()
    assert "  lr: 2.0e-3\n  weight_decay: 0.05" in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("  lr: 2.0e-3", "  lr: 2e-3"))
    assert load_params(path).train.lr == 2e-3  # YAML 1.1 would read the text "2e-3"


def test_params_cannot_be_changed():
    params = load_params(ROOT / "params.yaml")
    assert isinstance(params, Params)
    with pytest.raises(Exception, match="frozen"):
        params.train.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("content", "match"), [("- a\n- b\n", "mapping"), ("a: [1\n", "not YAML")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content, match):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=match):
        load_params(path)


def test_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match="repository's root"):
        load_params(tmp_path / "params.yaml")


def test_sampling_without_a_seed_is_refused(raw):
    broken = copy.deepcopy(raw)
    broken["sampling"]["seeds"] = []
    with pytest.raises(ConfigError, match=r"sampling\.seeds: got \[\]: List should have at least 1 item"):
        parse_params(broken)
