"""The FGD network against the vectors of the field's own code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omniges.errors import CheckpointError, ShapeError
from omniges.evaluation.fgd_network import FgdNetwork, levels, load_published


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    with np.load(shared / "reference/fgd/fgd_vectors.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "reference/fgd/AESKConv_240_100_random.bin"


@torch.no_grad()
def test_published_file_gives_the_published_features(vectors: dict[str, Any], weights: Path):
    network, digest = load_published(weights)
    x = torch.from_numpy(vectors["x_rot6d"])
    torch.testing.assert_close(network.encode(x), torch.from_numpy(vectors["latent"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(network(x[:1]), torch.from_numpy(vectors["rec_pose_item0"]), rtol=0, atol=1e-5)
    assert len(digest) == 64


@torch.no_grad()
def test_features_depend_on_the_length_that_is_fed(vectors: dict[str, Any], weights: Path):
    network, _ = load_published(weights)
    x = torch.from_numpy(vectors["x_rot6d"])
    pieces = torch.from_numpy(vectors["latent_first32"])
    torch.testing.assert_close(network.encode(x[:, :32]), pieces, rtol=0, atol=1e-5)
    assert (network.encode(x)[:, :2] - pieces).abs().max() > 0.1


def test_skeleton_levels_are_those_of_the_published_file(shared: Path, weights: Path):
    settings = json.loads((shared / "reference/fgd/fgd_settings.json").read_text())
    for built, edges, pools in zip(
        levels(), settings["topologies_per_level"], settings["pooling_lists"], strict=False
    ):
        assert [list(e) for e in built.edges] == edges
        assert [list(p) for p in built.pools] == pools
    fresh, (stored, _) = FgdNetwork().state_dict(), load_published(weights)
    for name, value in stored.state_dict().items():
        if "mask" in name or "common" in name:
            assert torch.equal(fresh[name], value), name


def test_wrong_files_and_shapes_are_refused(tmp_path: Path, weights: Path):
    with pytest.raises(CheckpointError, match=r"no such file|can't be read"):
        load_published(tmp_path / "none.bin")
    state = torch.load(weights, weights_only=True)["model_state"]
    state.pop("encoder.layers.0.0.residual.0.bias")
    torch.save({"model_state": state}, tmp_path / "lacking.bin")
    with pytest.raises(CheckpointError, match="missing"):
        load_published(tmp_path / "lacking.bin")
    torch.save([1], tmp_path / "list.bin")
    with pytest.raises(CheckpointError, match="model_state"):
        load_published(tmp_path / "list.bin")
    with pytest.raises(ShapeError, match="330"):
        FgdNetwork().encode(torch.zeros(1, 64, 329))


def test_a_leading_module_in_keys_is_taken_off(tmp_path: Path, weights: Path):
    state = torch.load(weights, weights_only=True)["model_state"]
    torch.save({"model_state": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "parallel.bin")
    network, _ = load_published(tmp_path / "parallel.bin")
    assert torch.equal(network.state_dict()["fc_mu.bias"], state["fc_mu.bias"])


@torch.no_grad()
@pytest.mark.parametrize("frames", [16, 31, 40, 360, 363])
def test_any_length_of_a_feature_or_more_can_be_encoded(frames: int):
    assert FgdNetwork().encode(torch.zeros(1, frames, 330)).shape == (1, frames // 16, 240)
