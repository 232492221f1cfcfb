"""The shipped Kubernetes profile against a Kubernetes API on loopback, whose pods are processes here."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube_loopback import EXTENDED, KubeServer
from sandbox import CLIPS, Sandbox, make_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(1800)]
PROFILE = Path("workflow/profiles/kubernetes")
FAILS_ONCE = """

def run(params, W):
    first = Path(".omniges/failed-once")
    if not first.exists():
        first.touch()
        raise RuntimeError("the first attempt fails")
    train(params, W)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KubeServer]:
    for module in ("kubernetes", "snakemake_executor_plugin_cluster_generic"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'omniges[cluster]'")
    image = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }
    with KubeServer(tmp_path, image | {"HOME": str(tmp_path)}) as started:
        yield started


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    made = make_sandbox(tmp_path / "box")
    template = made.root / PROFILE / "job.yaml"
    text = template.read_text().replace("REGISTRY/omniges:TAG", "lab/omniges:1").replace("CLAIM", "disk")
    template.write_text(text.replace("/PATH/OF/THE/VOLUME", str(tmp_path)))
    return made


def start(server: KubeServer, box: Sandbox, *options: str) -> "subprocess.Popen[bytes]":
    quick = ("--seconds-between-status-checks=1", "--latency-wait=5")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["snakemake", "--profile", str(PROFILE), *quick, *options],
        cwd=box.root,
        env=box.environment(PATH=path, KUBECONFIG=str(server.config), OMNIGES_RECORD="0"),
        stdout=(box.root / "snakemake.out").open("ab"),
        stderr=subprocess.STDOUT,
    )


def said(box: Sandbox) -> str:
    return (box.root / "snakemake.out").read_text()


def asked(server: KubeServer) -> dict[str, list[dict[str, Any]]]:
    """Rule → the specifications of its jobs, in the order they were submitted."""
    found: dict[str, list[dict[str, Any]]] = {}
    for job in server.jobs.values():
        name = job.manifest["metadata"]["annotations"]["omniges/job"].split(".")[1]
        found.setdefault(name, []).append(job.manifest["spec"])
    return found


def share(spec: dict[str, Any]) -> dict[str, str]:
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    return dict(container["resources"]["limits"])


def test_pods_have_the_profiles_shares_and_a_failed_one_is_tried_again(
    server: KubeServer, box: Sandbox
) -> None:
    training = box.root / "omniges" / "training" / "stage.py"
    training.write_text(training.read_text() + FAILS_ONCE)
    finished = start(server, box)
    assert finished.wait(1500) == 0, said(box)[-5000:]
    jobs = asked(server)
    first, second = jobs["train_model"]
    assert share(first) == share(second) == {"cpu": "16", "memory": "64000M", EXTENDED: "1"}
    assert first["activeDeadlineSeconds"] == 4320 * 60
    assert first["backoffLimit"] == 0  # trying again is Snakemake's
    assert share(jobs["extract_wavlm"][0]) == {"cpu": "4", "memory": "16000M", EXTENDED: "1"}
    assert share(jobs["extract_mfcc"][0]) == {"cpu": "1", "memory": "4000M"}
    assert jobs["extract_mfcc"][0]["activeDeadlineSeconds"] == 120 * 60
    assert len(jobs["extract_mfcc"]) == 2  # shards
    assert "settle_wavlm" not in jobs  # in one submission with the other encoder
    assert "BackoffLimitExceeded; container: Error (" in said(box)
    rows = map(json.loads, (box.root / ".omniges" / "ran.jsonl").read_text().splitlines())
    assert [row["failed"] for row in rows if row["stage"] == "train"] == [True, False]
    assert not server.refused
    box.computed()
    assert box.snakemake() == {}  # and this machine alone finds nothing left to do


def test_a_cancelled_run_deletes_its_pods_and_goes_on(server: KubeServer, box: Sandbox) -> None:
    box.snakemake("corpus", "ingest")
    box.computed()
    server.environment["TOY_SLEEP_S"] = "6"
    cancelled = start(server, box, "mfcc")
    while said(box).count("Submitted job") < 2:  # it knows both shards' names
        assert cancelled.poll() is None, said(box)[-5000:]
        time.sleep(0.2)
    cancelled.send_signal(signal.SIGINT)
    assert cancelled.wait(120) != 0
    # Deleted, or over before; the test's own time limit ends this.
    while not all(job.deleted or job.process.poll() is not None for job in server.jobs.values()):
        time.sleep(0.2)
    del server.environment["TOY_SLEEP_S"]
    before = box.computed().get("mfcc", set())
    assert start(server, box, "mfcc").wait(900) == 0, said(box)[-5000:]
    assert {path.stem for path in (box.root / "data/demo/mfcc").glob("*.parquet")} == set(CLIPS)
    assert not before & box.computed().get("mfcc", set())


def test_a_job_over_its_time_fails_and_says_so(server: KubeServer, box: Sandbox) -> None:
    box.snakemake("corpus")
    server.environment["TOY_SLEEP_S"] = "30"
    template = box.root / PROFILE / "pods.py"  # minutes would be long
    template.write_text(template.read_text().replace("60 * options.minutes", "options.minutes"))
    late = start(server, box, "mfcc", "--retries=0", "--set-resources", "extract_mfcc:runtime=8")
    assert late.wait(900) != 0
    assert "DeadlineExceeded" in said(box)


def test_the_shipped_template_is_refused_until_it_names_image_and_volume(
    server: KubeServer, tmp_path: Path
) -> None:
    box = make_sandbox(tmp_path / "unnamed")
    assert start(server, box, "corpus", "--retries=0").wait(120) != 0
    assert "REGISTRY/, /PATH/OF/THE/VOLUME, CLAIM still stands there" in said(box)
    assert not server.jobs
