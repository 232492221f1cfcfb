"""The contract of two tools and one graph, row by row: what is counted is what was really computed."""

import shutil
from pathlib import Path

import pytest
from sandbox import CLIPS, TRAIN_CLIP, Sandbox, git, make_sandbox

from omniges.config import load_params

ALL_CLIPS = set(CLIPS)
LATENT_FLOW = {"latent_train", "latent_generate"}
AFTER_FEATURES = {"pack", "train", "generate", "baselines", "evaluate"} | LATENT_FLOW
SOUND_CLIP = {"motion", "mfcc", "wavlm", "ingest", "scorer"} | AFTER_FEATURES
"""What follows from an edited wav: the motion table is cut to the common length, so it is looked at again."""


class Flow:
    """One sandbox led through all rows, with the tools taking turns."""

    def __init__(self, box: Sandbox, tools: tuple[str, str]) -> None:
        self.box = box
        self.tools = tools

    def expect_nothing(self, row: str) -> None:
        """Both tools find nothing to do."""
        for tool in self.tools:
            assert self.box.tool(tool) == {}, f"{row}: {tool} computed something"

    def then(self, row: str) -> dict[str, set[str]]:
        """What the first tool computes; the other must then find nothing. The tools swap their places."""
        found = self.box.tool(self.tools[0])
        assert self.box.tool(self.tools[1]) == {}, f"{row}: {self.tools[1]} after {self.tools[0]}"
        self.tools = (self.tools[1], self.tools[0])
        return found


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("cache", "first"), [("copy", "snakemake"), ("hardlink", "dvc"), ("symlink", "snakemake")]
)
def test_every_row_of_the_contract(tmp_path: Path, cache: str, first: str) -> None:
    box = make_sandbox(tmp_path / "box", cache)
    flow = Flow(box, ("snakemake", "dvc") if first == "snakemake" else ("dvc", "snakemake"))
    first_run = flow.then("first run")
    assert first_run["wavlm"] == ALL_CLIPS
    assert {"corpus", "tokenizers", "train", "evaluate"} <= set(first_run)
    before = box.outputs()
    flow.expect_nothing("second run")
    _one_clip(flow)
    _parameters(flow)
    _source_text(flow)
    _damage(flow)
    assert box.outputs() == before
    _clones(flow, tmp_path)


def _one_clip(flow: Flow) -> None:
    wav = flow.box.raw(TRAIN_CLIP)
    original = wav.read_bytes()
    _replace(wav, original + b"more")
    found = flow.then("one clip edited")
    assert set(found) == SOUND_CLIP
    assert found["mfcc"] == found["wavlm"] == found["motion"] == {TRAIN_CLIP}
    _replace(wav, original)
    assert flow.then("edit reverted") == {}


def _parameters(flow: Flow) -> None:
    shipped = load_params(flow.box.root / "params.yaml")
    flow.box.set(mfcc__hop_s=2 * shipped.mfcc.hop_s)
    found = flow.then("a feature's param changed")
    assert set(found) == {"mfcc", "scorer"} | AFTER_FEATURES
    assert found["mfcc"] == ALL_CLIPS
    flow.box.set(mfcc__hop_s=shipped.mfcc.hop_s)
    assert flow.then("feature's param changed back") == {}
    flow.box.set(train__lr=2 * shipped.train.lr)
    assert set(flow.then("training param changed")) == {"train", "generate", "evaluate"} | LATENT_FLOW
    flow.box.set(train__lr=shipped.train.lr)
    assert flow.then("training param changed back") == {}
    _a_switched_stage(flow)


def _a_switched_stage(flow: Flow) -> None:
    shipped = load_params(flow.box.root / "params.yaml").train.lr
    flow.box.set(baselines__latent_flow__train=False)
    assert set(flow.then("switched off")) == {"evaluate"}
    flow.box.set(train__lr=3 * shipped)
    assert set(flow.then("training param changed while it is off")) == {"train", "generate", "evaluate"}
    flow.box.set(train__lr=shipped, baselines__latent_flow__train=True)
    assert flow.then("switched on again") == {}


def _source_text(flow: Flow) -> None:
    for module in ("omniges/data/extract_audio.py", "omniges/training/stage.py"):
        path = flow.box.root / module
        path.write_text(path.read_text().replace('"""A toy', '"""A harmless toy') + "\n# a comment\n")
    assert flow.then("comment and docstring edited") == {}


def _damage(flow: Flow) -> None:
    table = flow.box.root / "data" / "demo" / "mfcc" / f"{TRAIN_CLIP}.parquet"
    table.unlink()
    assert _only(flow.then("feature deleted"), "mfcc")
    table.chmod(0o644)
    with table.open("r+b") as stream:  # through the link, where it is one
        stream.truncate(10)
    assert _only(flow.then("feature truncated"), "mfcc")


def _only(found: dict[str, set[str]], stage: str) -> bool:
    return found in ({}, {stage: {TRAIN_CLIP}})


def _clones(flow: Flow, tmp_path: Path) -> None:
    box = flow.box
    box.run("dvc", "add", "--quiet", "data/raw/demo")
    flow.expect_nothing("raw tree under DVC")
    box.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "remote"))
    box.run("dvc", "push", "--quiet")
    box.commit()
    old = git(box.root, "rev-parse", "HEAD").strip()
    clone = _clone(box, tmp_path / "clone")
    Flow(clone, flow.tools).expect_nothing("fresh clone and pull")
    other = _clone(box, tmp_path / "other")
    wav = other.raw(TRAIN_CLIP)
    _replace(wav, wav.read_bytes() + b"more")
    found = Flow(other, flow.tools).then("clone, pull, one clip edited")
    assert set(found) == SOUND_CLIP
    assert found["mfcc"] == {TRAIN_CLIP}
    box.set(train__lr=0.003)
    flow.then("newer commit")
    box.commit()
    git(box.root, "checkout", "-q", old)
    box.run("dvc", "checkout", "--quiet", "--force")
    flow.expect_nothing("older commit checked out")


def _clone(box: Sandbox, target: Path) -> Sandbox:
    git(box.root.parent, "clone", "-q", str(box.root), str(target))
    shutil.copy(box.root / ".dvc" / "config", target / ".dvc" / "config")
    clone = Sandbox(target)
    clone.run("dvc", "pull", "--quiet")
    return clone


def _replace(path: Path, content: bytes) -> None:
    """Another file under the name, as editors do: the old one may be a link into DVC's cache."""
    path.unlink()
    path.write_bytes(content)
