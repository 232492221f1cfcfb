"""`dvc push` and `dvc pull`: over an S3-compatible server that the test starts, a clone has nothing to do; a
machine that has nothing but the pack and the tokenizers trains what the others take for their own.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Sandbox, git, make_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
BUCKET = "gestures"
ACCESS = {"AWS_ACCESS_KEY_ID": "toy", "AWS_SECRET_ACCESS_KEY": "toy", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server in this process, with an empty bucket."""
    pytest.importorskip("dvc_s3", reason="needs the extra `s3`")
    server_of = pytest.importorskip("moto.server", reason="needs moto")
    boto3 = pytest.importorskip("boto3")
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


def test_a_clone_pulls_from_s3_and_has_nothing_to_do(tmp_path: Path, s3_url: str) -> None:
    box = make_sandbox(tmp_path / "box", "hardlink")
    box.snakemake()
    box.run("dvc", "add", "--quiet", "data/raw/demo")
    box.run("dvc", "remote", "add", "--default", "lab", f"s3://{BUCKET}/store")
    box.run("dvc", "remote", "modify", "lab", "endpointurl", s3_url)
    box.run("dvc", "push", "--quiet")
    box.commit()
    target = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(box.root), str(target))
    clone = Sandbox(target)
    shutil.rmtree(box.root / ".dvc" / "cache")  # nothing but the server has them
    clone.run("dvc", "pull", "--quiet", "mfcc")  # one stage alone
    assert (target / "data" / "demo" / "mfcc" / ".manifest").is_dir()
    assert not (target / "data" / "demo" / "wavlm").exists()
    clone.run("dvc", "pull", "--quiet")
    assert clone.outputs().keys() == box.outputs().keys()
    assert clone.snakemake() == {}
    assert clone.repro() == {}


def test_a_machine_without_the_corpus_trains_and_its_model_is_at_home_elsewhere(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path / "box")
    box.snakemake()
    box.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "remote"))
    box.run("dvc", "push", "--quiet")
    box.commit()
    node = Sandbox(tmp_path / "node")
    git(tmp_path, "clone", "-q", str(box.root), str(node.root))
    refused = node.run("omniges", "stage", "train", check=False)
    assert "not all that comes before (tokenizers, pack) is sealed here" in refused.stderr + refused.stdout
    node.run("dvc", "pull", "--quiet", "data/demo/pack", "models/demo/tokenizers")
    for each in (node, box):
        each.set(train__lr=0.004)
    node.run("omniges", "stage", "train")
    assert node.computed() == {"train": {"unit"}}
    node.run("omniges", "stage", "train")
    assert node.computed() == {}
    shutil.rmtree(box.root / "models/demo/a2g")
    shutil.copytree(node.root / "models/demo/a2g", box.root / "models/demo/a2g")
    box.computed()
    assert set(box.snakemake()) == {"generate", "latent_train", "latent_generate", "evaluate"}
    made = (box.root / "models/demo/a2g/model.safetensors").read_bytes()
    assert set(box.snakemake("--forcerun", "train")) == {"train"}  # here it comes out the same
    assert (box.root / "models/demo/a2g/model.safetensors").read_bytes() == made

    node.set(mfcc__hop_s=0.02)
    done = node.run("omniges", "stage", "train", check=False)
    assert "than params.yaml has now (mfcc.hop_s: 0.01 → 0.02)" in done.stderr + done.stdout
    node.set(mfcc__hop_s=0.01)
    weights = node.root / "models/demo/tokenizers/hands/model.safetensors"
    weights.unlink()
    weights.write_text("another")
    changed = node.run("omniges", "stage", "train", check=False)
    assert "hands/model.safetensors was changed after it was sealed" in changed.stderr + changed.stdout
    clips = node.run("omniges", "stage", "mfcc", "--shard", "0", check=False)
    assert clips.returncode
    assert "Run `snakemake --cores all mfcc`" in clips.stderr + clips.stdout
