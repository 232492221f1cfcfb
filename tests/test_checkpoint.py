import pytest
import torch

from omniges import checkpoint
from omniges.errors import CheckpointError


def _save(folder, value=1.0):
    layer = torch.nn.Linear(2, 3)
    torch.nn.init.constant_(layer.weight, value)
    checkpoint.save(
        folder,
        tensors=layer.state_dict(),
        config={"width": 2},
        statistics={"mean": torch.zeros(2)},
        provenance={"pack": "abc"},
    )
    return layer


def test_a_checkpoint_comes_back_bit_for_bit_and_replaces_the_older_one(tmp_path):
    _save(tmp_path / "a", 1.0)
    layer = _save(tmp_path / "a", 2.0)
    got = checkpoint.load(tmp_path / "a")
    assert torch.equal(got.tensors["weight"], layer.weight)
    assert got.config == {"width": 2}
    assert got.provenance == {"pack": "abc"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    base = torch.arange(6.0)
    checkpoint.save(
        tmp_path / "a",
        tensors={"x": base[:3], "y": base[:3], "z": base[::2]},
        config={},
        statistics={},
        provenance={},
    )
    got = checkpoint.load(tmp_path / "a").tensors
    assert torch.equal(got["y"], base[:3])
    assert torch.equal(got["z"], base[::2])


def test_the_digest_follows_the_contents(tmp_path):
    _save(tmp_path / "a", 1.0)
    _save(tmp_path / "b", 2.0)
    first = checkpoint.digest(tmp_path / "a")
    assert first != checkpoint.digest(tmp_path / "b")
    checkpoint.save(tmp_path / "c", **vars(checkpoint.load(tmp_path / "a")))
    assert checkpoint.digest(tmp_path / "c") == first


def test_missing_and_damaged_checkpoints_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        checkpoint.load(tmp_path / "none")
    _save(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(tmp_path / "a")


def test_state_that_does_not_fit_lists_every_fault(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_state(
            torch.nn.Linear(2, 3), {"weight": torch.zeros(3, 4), "scale": torch.zeros(1)}, "here"
        )
    for fault in ("missing bias", "unexpected scale", "weight: got (3, 4), wanted (3, 2)"):
        assert fault in str(caught.value)


def test_foreign_files_that_hold_code_are_refused(tmp_path):
    import pathlib

    torch.save({"net": torch.ones(2)}, tmp_path / "good.pth")
    assert torch.equal(checkpoint.load_foreign(tmp_path / "good.pth")["net"], torch.ones(2))
    torch.save({"net": pathlib.Path("x")}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="run code"):
        checkpoint.load_foreign(tmp_path / "bad.pth")
