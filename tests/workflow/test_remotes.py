"""`dvc push` and `dvc pull` over an S3-compatible server that the test starts: a clone has nothing to do."""

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
