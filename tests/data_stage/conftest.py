from pathlib import Path

import pytest
from trees import make_tree, params_for, write_features, write_statistics

from omniges.config import Params
from omniges.data import extract, ingest
from omniges.data.clips import read_clips
from omniges.workspace import Workspace


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the test runs in, since workspaces are relative to the repository's root."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tree(workplace: Path) -> Path:
    """A whole tree of five clips of 100 frames."""
    return make_tree(workplace / "raw")


@pytest.fixture
def featured(tree: Path) -> tuple[Params, Workspace]:
    """The tree ingested, with all that the pack reads."""
    params = params_for(tree)
    W = Workspace.of(params)
    ingest.run(params, W)
    assert extract.motion(params, W, [clip.id for clip in read_clips(W)]) == []
    write_features(W)
    write_statistics(W)
    return params, W
