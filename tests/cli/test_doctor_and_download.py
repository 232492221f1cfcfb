import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from omniges.cli import doctor as doctor_module
from omniges.cli.doctor import doctor, examine
from omniges.cli.download import download
from omniges.errors import DataError

ROOT = Path(__file__).parents[2]


def run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def test_doctor_names_what_is_there_and_what_to_do(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    found = {finding.name: finding for finding in examine()}
    assert set(found) >= {
        "python",
        "torch",
        "video",
        "disk",
        "params.yaml",
        "wavlm",
        "corpus",
        "model",
        "smpl-x",
    }
    assert found["model"].state == "optional"
    assert "make demo" in found["model"].remedy
    (tmp_path / "models" / "x" / "a2g").mkdir(parents=True)
    (tmp_path / "models" / "x" / "a2g" / "model.safetensors").touch()
    assert {f.name: f for f in examine()}["model"].found.endswith("models/x")


def test_doctor_ends_with_1_where_something_needed_is_missing(tmp_path, monkeypatch):
    text = (ROOT / "params.yaml").read_text().replace("smplx_model: null", "smplx_model: nowhere.npz")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    result = run(doctor)
    assert result.exit_code == 1
    assert "MISSING" in result.output
    assert "nowhere.npz" in result.output


def test_doctor_outside_a_checkout_asks_for_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(doctor)
    assert result.exit_code == 0, result.output
    assert "none in this folder" in result.output


def test_doctor_counts_a_broken_install_as_a_finding(monkeypatch):
    def broken():
        raise ImportError("libtorch.so: cannot open")
        yield

    monkeypatch.setattr(doctor_module, "_torch", broken)
    assert any(f.state == "missing" and "libtorch" in f.found for f in examine())


def test_download_lists_sources_with_licences_and_refuses_unknown_names():
    listed = run(download).output
    assert all(word in listed for word in ("beat2", "wavlm", "CC BY-NC 4.0", "smpl-x.is.tue.mpg.de"))
    result = run(download, "beat3")
    assert isinstance(result.exception, DataError)
    assert "beat2" in str(result.exception)


@pytest.mark.parametrize("agreed", [True, False])
def test_download_shows_size_and_licence_before_it_fetches(tmp_path, monkeypatch, agreed):
    import huggingface_hub

    class Entry:
        def __init__(self, rfilename, size):
            self.rfilename, self.size = rfilename, size

    class Info:
        sha = "abc"
        siblings = (
            Entry("config.json", 1_000),
            Entry("pytorch_model.bin", 2_000_000_000),
            Entry("x.h5", 9e9),
        )

    fetched = []
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *_, **__: Info())
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: fetched.append((a, k)))
    app = typer.Typer()
    app.command()(download)
    answer = "y\n" if agreed else "n\n"
    result = CliRunner().invoke(app, ["wavlm", "--folder", str(tmp_path)], input=answer)
    assert "2 files, 2.00 GB" in result.output
    assert "licence:" in result.output
    assert bool(fetched) == agreed
    if agreed:
        assert fetched[0][1]["revision"] == "abc"


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests", "huggingface_hub"])
def test_download_without_network_says_so_whatever_library_the_hub_uses(monkeypatch, library):
    import huggingface_hub

    gone = type("ConnectError", (Exception,), {"__module__": f"{library}._exceptions"})

    def unreachable(*_, **__):
        raise gone("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", unreachable)
    result = run(download, "wavlm", "--yes")
    assert isinstance(result.exception, DataError)
    assert "Is there a network" in str(result.exception)


def test_download_does_not_hide_a_fault_of_its_own(monkeypatch):
    import huggingface_hub

    def broken(*_, **__):
        raise KeyError("sha")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", broken)
    assert isinstance(run(download, "wavlm", "--yes").exception, KeyError)


def test_download_of_files_that_are_gone_is_refused(monkeypatch):
    import huggingface_hub

    info = type("Info", (), {"sha": "abc", "siblings": ()})
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *_, **__: info)
    assert "any more" in str(run(download, "tokenizers", "--yes").exception)
