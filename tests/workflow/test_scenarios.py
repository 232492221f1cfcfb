"""What users do beyond the contract's rows: other corpora and encoders, force, bad clips, experiments."""

import zipfile
from pathlib import Path

import pytest
from sandbox import CLIPS, TEST_CLIP, TRAIN_CLIP, Sandbox, git, make_sandbox

from omniges.config import load_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ALL_CLIPS = set(CLIPS)
LATENT_FLOW = {"latent_train", "latent_generate"}
AFTER_FEATURES = {"pack", "train", "generate", "baselines", "evaluate"} | LATENT_FLOW
OTHER = {"data__name": "other", "data__root": "data/raw/other", "corpus__seed": 8}
DEMO = {"data__name": "demo", "data__root": "data/raw/demo", "corpus__seed": 7}


def make(box: Sandbox, *arguments: str, **environment: str) -> dict[str, set[str]]:
    """Snakemake without the record in dvc.lock, which these tests don't look at."""
    return box.snakemake(*arguments, OMNIGES_RECORD="0", **environment)


def test_encoders_corpora_and_force(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    make(box)
    _another_layer(box)
    _another_checkpoint(box)
    _another_corpus(box)
    _touch_and_force(box)


def _another_layer(box: Sandbox) -> None:
    box.set(wavlm__layer=-2)
    found = make(box)
    assert set(found) == {"wavlm"} | AFTER_FEATURES
    assert found["wavlm"] == ALL_CLIPS
    box.set(wavlm__layer=-1)
    assert make(box) == {}


def _another_checkpoint(box: Sandbox) -> None:
    weights = box.root / "models" / "my-wavlm" / "weights.bin"
    weights.parent.mkdir()
    weights.write_text("one")
    box.set(wavlm__model="models/my-wavlm")
    assert set(make(box)) == {"wavlm_encoder", "wavlm"} | AFTER_FEATURES
    weights.write_text("two")  # under the same name
    # The toy encoder writes the same bytes for the same name, so what follows is not computed again.
    assert {"wavlm_encoder", "evaluate"} <= set(make(box)) <= {"wavlm_encoder", "wavlm"} | AFTER_FEATURES
    box.set(wavlm__model="tiny")
    assert make(box) == {}


def _another_corpus(box: Sandbox) -> None:
    before = box.outputs()
    box.set(**OTHER)
    found = make(box)
    assert found["mfcc"] == ALL_CLIPS
    assert {"corpus", "train", "evaluate"} <= set(found)
    mine = {name: content for name, content in box.outputs().items() if "/other/" in name}
    assert "models/other/a2g/model.safetensors" in mine
    box.set(**DEMO)
    assert make(box) == {}
    assert box.outputs() == before | mine  # both there; the report is the demo's again
    box.set(**OTHER)
    assert make(box) == {}
    box.set(**DEMO)
    assert make(box) == {}


def _touch_and_force(box: Sandbox) -> None:
    before = box.outputs()
    box.set(mfcc__hop_s=0.02)
    assert make(box, "--touch") == {}
    assert box.outputs() == before
    found = make(box)  # what was touched is as stale as before
    assert set(found) == {"mfcc", "scorer"} | AFTER_FEATURES
    box.set(mfcc__hop_s=0.01)
    assert make(box) == {}
    assert make(box, "--forcerun", "mfcc") == {"mfcc": ALL_CLIPS}  # the same bytes: nothing follows
    forced = make(box, "--forcerun", "train", TOY_TRAIN_SALT="a GPU's whim")
    assert set(forced) == {"train", "generate", "evaluate"}
    assert make(box) == {}
    box.run("dvc", "repro", "--quiet", "--force", "--single-item", "mfcc")
    assert box.computed() == {}  # DVC empties the folder and calls Snakemake, which brings it back


def test_dvc_switches_corpora_and_forces_everything_without_computing(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    assert box.repro()["mfcc"] == ALL_CLIPS
    before = box.outputs()
    box.set(**OTHER)
    found = box.repro()
    assert found["mfcc"] == ALL_CLIPS
    assert {"corpus", "train", "evaluate"} <= set(found)
    mine = {name: content for name, content in box.outputs().items() if "/other/" in name}
    box.set(**DEMO)
    assert box.repro() == {}
    assert box.outputs() == before | mine
    assert box.repro("--force") == {}  # every command runs, and brings back what DVC had removed
    assert box.outputs() == before | mine
    assert make(box) == {}


def test_a_bad_clip_stops_or_is_left_out_and_the_others_are_kept(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    make(box, "corpus")
    box.raw(TRAIN_CLIP).write_bytes(b"bad")
    box.set(data__on_bad_clip="stop")
    done = box.run("snakemake", "mfcc", "--cores", "2", check=False, OMNIGES_RECORD="0")
    assert done.returncode
    said = done.stdout + done.stderr
    assert f"{TRAIN_CLIP}: bad mend it" in said
    assert "python -m omniges stage mfcc --shard" in said
    box.computed()
    box.set(data__on_bad_clip="report")
    assert make(box, "mfcc")["mfcc"] <= {TRAIN_CLIP, *_not_tried(box)}
    assert not (box.root / "data" / "demo" / "mfcc" / f"{TRAIN_CLIP}.parquet").exists()
    assert (box.root / "data" / "demo" / "mfcc" / f"{TEST_CLIP}.parquet").exists()
    assert make(box, "mfcc") == {}


def _not_tried(box: Sandbox) -> set[str]:
    """Clips of the shard that Snakemake did not start after the other had failed."""
    from omniges.pipeline.units import shard_of

    return {clip for clip in CLIPS if shard_of(clip, 2) != shard_of(TRAIN_CLIP, 2)}


def test_experiments_in_a_temporary_workspace_share_all_work(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box", "hardlink")
    for name, value in (("name", "t"), ("email", "t@example.org")):
        git(box.root, "config", f"user.{name}", value)
    box.snakemake()
    box.run("dvc", "add", "--quiet", "data/raw/demo")
    box.commit()
    shipped = load_params(box.root / "params.yaml").train.lr
    box.run("dvc", "exp", "run", "--quiet", "--temp", "--name", "one", "-S", f"train.lr={2 * shipped}")
    assert set(box.computed()) == {"train", "generate", "evaluate"} | LATENT_FLOW
    box.run("dvc", "exp", "run", "--quiet", "--queue", "--name", "two", "-S", "mfcc.hop_s=0.02")
    box.run("dvc", "exp", "run", "--quiet", "--run-all")
    found = box.computed()
    assert set(found) == {"mfcc", "scorer"} | AFTER_FEATURES
    box.run("dvc", "exp", "apply", "one")
    assert make(box) == {}  # what an experiment made is the main checkout's too
    box.set(train__lr=shipped, mfcc__hop_s=0.02)
    assert make(box) == {}


def test_snakemakes_own_report_carries_the_page(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    early = box.run("snakemake", "--report", "early.zip", check=False)
    assert early.returncode != 0
    assert "not up to date: baselines, codes, corpus" in early.stdout + early.stderr
    make(box)
    box.run("snakemake", "--report", "report.zip")
    with zipfile.ZipFile(box.root / "report.zip") as archive:
        carried = {Path(name).name: archive.read(name) for name in archive.namelist()}
    assert carried["index.html"] == (box.root / "reports/index.html").read_bytes()
    assert carried["a.svg"] == (box.root / "reports/plots/a.svg").read_bytes()
    assert b"write_report" in carried["report.html"]  # the last run's jobs, for the statistics
    assert make(box) == {}
    box.run("dvc", "plots", "show", "-o", "shown")
    assert "a.svg" in (box.root / "shown/index.html").read_text()
