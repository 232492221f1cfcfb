"""`omniges params`: refuses every fault at once, keeps comments, never leaves a faulty file."""

import shutil
from pathlib import Path

import pytest

from omniges.cli.params import params
from omniges.config import load_params
from omniges.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "params.beat2.yaml"):
        shutil.copy(ROOT / name, name)


def test_a_shipped_file_is_taken_with_its_comments(capsys: pytest.CaptureFixture[str]) -> None:
    params(use=Path("params.beat2.yaml"), change=["data.root=/data/beat2", "train.lr=3e-4"])
    found = load_params("params.yaml")
    assert (found.data.root, found.train.lr, found.model.layers) == ("/data/beat2", 3e-4, 12)
    assert "# BEAT2 at full size" in Path("params.yaml").read_text()
    assert "data.root: data/raw/demo → /data/beat2" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["train.lr=fast", "train.speed=1", "train", "data.fps=25"])
def test_a_fault_changes_nothing(change: str) -> None:
    before = Path("params.yaml").read_text()
    with pytest.raises(ConfigError):
        params(use=None, change=[change])
    assert Path("params.yaml").read_text() == before


def test_a_check_names_every_fault() -> None:
    text = Path("params.yaml").read_text().replace("  clip_s: ", "  clips_s: ").replace("fps: 30", "fps: 25")
    Path("params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"(?s)corpus\.clip_s.*corpus\.clips_s.*did you mean.*data\.fps"):
        params(use=None, change=None)
