"""Where networks come from: tiny, folder, hub; what is recorded, and what is refused."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig

from omniges.config import load_params
from omniges.errors import CheckpointError
from omniges.features import source, stage
from omniges.features.source import fingerprint, read_record, settled_folder
from omniges.files import read_json, sha256_tree
from omniges.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = load_params(REPOSITORY / "params.yaml")
    return params, Workspace.of(params)


def with_models(params, **models):
    return params.model_copy(
        update={
            section: getattr(params, section).model_copy(update={"model": model})
            for section, model in models.items()
        }
    )


def test_tiny_encoders_are_marked_and_labelled_untrained(tiny_encoders):
    params, folder = tiny_encoders
    for kind, width in (("wavlm", 768), ("text", 1024)):
        assert read_json(folder / kind / "config.json")["omniges_untrained"] is True
        assert AutoConfig.from_pretrained(folder / kind).hidden_size == width
        assert read_record(folder / kind).untrained
    W = Workspace.of(params)
    before = Path.cwd()
    os.chdir(folder.parents[2])
    try:
        labels = stage.encoder_labels(params, W)
    finally:
        os.chdir(before)
    assert set(labels) == {"mfcc", "wavlm", "text"}
    assert all("untrained" in labels[kind] for kind in ("wavlm", "text"))
    assert "untrained" not in labels["mfcc"]


def test_tiny_encoders_are_the_same_bytes_again(tiny_encoders, workspace):
    _, before = tiny_encoders
    params, W = workspace
    stage.encoders(params, W)
    assert sha256_tree(W.encoders) == sha256_tree(before)
    other = params.model_copy(update={"encoders": params.encoders.model_copy(update={"seed": 12})})
    stage.encoders(other, W)
    assert fingerprint(W.encoders / "wavlm") != fingerprint(before / "wavlm")
    assert fingerprint(W.encoders / "text") != fingerprint(before / "text")


def test_a_named_folder_is_recorded_and_not_copied(tiny_encoders, workspace, tmp_path):
    params, W = workspace
    model = tmp_path / "my-wavlm"
    shutil.copytree(tiny_encoders[1] / "wavlm", model)
    params = with_models(params, wavlm=str(model))
    stage.wavlm_encoder(params, W)
    assert [path.name for path in (W.encoders / "wavlm").iterdir()] == ["record.json"]
    record = read_record(W.encoders / "wavlm")
    assert (record.source, record.sha256, record.untrained) == ("folder", fingerprint(model), True)
    assert settled_folder(W.encoders, "wavlm") == model
    (model / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(CheckpointError, match=r"files changed since .* Run: omniges stage encoders"):
        settled_folder(W.encoders, "wavlm")


def test_a_stage_not_run_is_named(workspace):
    _, W = workspace
    with pytest.raises(CheckpointError, match=r"record\.json: can't be read .* Run: omniges stage encoders"):
        settled_folder(W.encoders, "text")


def test_a_folder_that_is_not_there_is_no_hub_name(workspace):
    params, W = workspace
    for model in ("./nowhere", "/no/where", "models/of/mine"):
        with pytest.raises(CheckpointError, match="no such folder"):
            stage.wavlm_encoder(with_models(params, wavlm=model), W)


def test_a_hub_name_without_network_is_refused_with_a_remedy(workspace, monkeypatch, tmp_path):
    params, W = workspace
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError) as caught:
        stage.wavlm_encoder(with_models(params, wavlm="nobody/wavlm-base@abc"), W)
    message = str(caught.value)
    for part in (
        "wavlm.model: nobody/wavlm-base@abc",
        "HF_HUB_OFFLINE is set",
        "`tiny`",
        "download the model",
    ):
        assert part in message
    assert not (W.encoders / "wavlm").exists()


def test_a_cached_hub_model_is_pinned_to_its_commit(tiny_encoders, workspace, monkeypatch, tmp_path):
    """The hub's cache is laid out by hand, as huggingface_hub documents it; nothing is fetched."""
    params, W = workspace
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub" / "models--someone--wavlm"
    shutil.copytree(tiny_encoders[1] / "wavlm", home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    stage.wavlm_encoder(with_models(params, wavlm="someone/wavlm"), W)
    record = read_record(W.encoders / "wavlm")
    assert (record.source, record.revision) == ("hub", commit)
    assert settled_folder(W.encoders, "wavlm") == home / "snapshots" / commit
    assert source.locate(f"someone/wavlm@{commit}", "wavlm") == (home / "snapshots" / commit, commit)


def test_tiny_networks_open_no_connection(workspace, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    from omniges.features.text import load_text_encoder
    from omniges.features.wavlm_encoder import load_wavlm

    params, W = workspace
    stage.encoders(params, W)
    load_wavlm(settled_folder(W.encoders, "wavlm"), layer=-1, compute="float32")
    load_text_encoder(settled_folder(W.encoders, "text"), layer=-1)


def test_labels_and_planning_import_nothing_heavy():
    code = (
        "import sys, omniges.features.stage, omniges.data.extract_audio\n"
        "heavy = {'torch', 'transformers', 'librosa', 'scipy', 'numba'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
