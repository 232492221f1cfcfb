"""Submits, looks after and cancels the Kubernetes jobs of this profile; Snakemake calls it.

    pods.py submit --cores 4 --mem-mb 16000 --minutes 60 --gpus 1 SCRIPT     prints the job's name
    pods.py status NAME                                                      prints running, success or failed
    pods.py cancel NAME...

A pod runs SCRIPT in the current folder, so that must lie on the volume of job.yaml. Kubernetes itself tries
nothing again: that is up to Snakemake's `retries`.
"""

import argparse
import sys
import uuid
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client.rest import ApiException
from ruamel.yaml import YAML

TEMPLATE = Path(__file__).with_name("job.yaml")
TO_FILL = ("REGISTRY/", "/PATH/OF/THE/VOLUME", "CLAIM")
GPU = "nvidia.com/gpu"
DONE = {"Complete": "success", "Failed": "failed"}


def manifest(template: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The job to submit.

    Args:
        template: job.yaml's text.
        options: `submit`'s arguments.
        folder: where the pod works.
    """
    lacking = [word for word in TO_FILL if word in template]
    if lacking:
        raise SystemExit(f"{TEMPLATE}: {', '.join(lacking)} still stands there; name your image and volume.")
    job: dict[str, Any] = YAML(typ="safe").load(template)
    script = Path(options.script)
    job["metadata"]["name"] = f"omniges-{uuid.uuid4().hex[:16]}"
    job["metadata"]["annotations"] = {"omniges/job": script.name}
    job["spec"] |= {"backoffLimit": 0, "activeDeadlineSeconds": 60 * options.minutes}
    pod = job["spec"]["template"]["spec"]
    pod["restartPolicy"] = "Never"
    (container,) = pod["containers"]
    # Limits as well as requests: Kubernetes takes no GPU without, and a job that grows too large fails alone.
    share: dict[str, Any] = {"cpu": str(options.cores), "memory": f"{options.mem_mb}M"}
    if options.gpus:
        share[GPU] = str(options.gpus)
    container |= {
        "workingDir": str(folder),
        "command": ["/bin/sh", str(script.resolve())],
        "resources": {"requests": share, "limits": share},
    }
    return job


def submit(options: argparse.Namespace) -> None:
    job = manifest(TEMPLATE.read_text("utf-8"), options, Path.cwd())
    made = kubernetes.client.BatchV1Api().create_namespaced_job(namespace(), job)
    print(made.metadata.name)


def status(options: argparse.Namespace) -> None:
    try:
        found = kubernetes.client.BatchV1Api().read_namespaced_job_status(options.name, namespace()).status
    except ApiException as error:
        if error.status != 404:
            raise
        print(f"{options.name}: no such job; was it deleted?", file=sys.stderr)
        print("failed")
        return
    conditions = [c for c in found.conditions or () if c.status == "True" and c.type in DONE]
    for condition in conditions:
        if condition.type == "Failed":
            print(f"{options.name}: {condition.reason}; {ends(options.name)}", file=sys.stderr)
    print(DONE[conditions[0].type] if conditions else "running")


def ends(name: str) -> str:
    """How the job's containers ended, e.g. `OOMKilled (137)`."""
    pods = kubernetes.client.CoreV1Api().list_namespaced_pod(namespace(), label_selector=f"job-name={name}")
    statuses = [each for pod in pods.items for each in pod.status.container_statuses or ()]
    terminated = [each.state.terminated for each in statuses if each.state.terminated is not None]
    listed = ", ".join(f"{end.reason} ({end.exit_code})" for end in terminated)
    return f"container: {listed}" if listed else f"no container ended; see `kubectl describe job {name}`"


def cancel(options: argparse.Namespace) -> None:
    for name in options.names:
        try:
            kubernetes.client.BatchV1Api().delete_namespaced_job(
                name, namespace(), propagation_policy="Background"
            )
        except ApiException as error:
            if error.status != 404:
                raise


def namespace() -> str:
    """That of kubectl's current context."""
    _, active = kubernetes.config.list_kube_config_contexts()
    return str(active["context"].get("namespace", "default"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    submitting = commands.add_parser("submit")
    for name in ("cores", "mem-mb", "minutes", "gpus"):
        submitting.add_argument(f"--{name}", type=int, required=True)
    submitting.add_argument("script")
    submitting.set_defaults(do=submit)
    looking = commands.add_parser("status")
    looking.add_argument("name")
    looking.set_defaults(do=status)
    cancelling = commands.add_parser("cancel")
    cancelling.add_argument("names", nargs="+")
    cancelling.set_defaults(do=cancel)
    options = parser.parse_args()
    kubernetes.config.load_kube_config()
    options.do(options)


if __name__ == "__main__":
    main()
