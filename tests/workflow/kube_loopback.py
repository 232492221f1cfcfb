"""The few calls of the Kubernetes API that the profile makes, answered on loopback; pods are processes here.

What a cluster would refuse is refused: unknown fields, a GPU without a limit, a volume that nobody named, a
deadline that is none. Jobs run in the folder they ask for, without any of this process's environment.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

JOBS = "/apis/batch/v1/namespaces/lab/jobs"
PODS = "/api/v1/namespaces/lab/pods"
EXTENDED = "nvidia.com/gpu"


@dataclass
class Running:
    """A job and the process that is its pod."""

    manifest: dict[str, Any]
    process: "subprocess.Popen[bytes]"
    deleted: bool = False
    late: threading.Timer | None = field(default=None, repr=False)
    overdue: bool = False

    def status(self) -> dict[str, Any]:
        code = self.process.poll()
        if code is None:
            return {"active": 1}
        if code == 0 and not self.overdue:
            return {"conditions": [{"type": "Complete", "status": "True"}]}
        reason = "DeadlineExceeded" if self.overdue else "BackoffLimitExceeded"
        return {"conditions": [{"type": "Failed", "status": "True", "reason": reason}]}


class KubeServer:
    """The server; a context manager.

    Args:
        folder: for the kubeconfig.
        environment: of every pod, as its image would have it.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.jobs: dict[str, Running] = {}
        self.refused: list[str] = []
        self.environment = environment
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.config = folder / "kubeconfig"
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        context = {"cluster": "c", "user": "u", "namespace": "lab"}
        with self.config.open("w") as stream:
            YAML().dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "lab",
                    "clusters": [{"name": "c", "cluster": {"server": address}}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "lab", "context": context}],
                },
                stream,
            )

    def __enter__(self) -> "KubeServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.jobs):
            self.delete(name)
        self._server.shutdown()
        self._server.server_close()

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        process = subprocess.Popen(
            container["command"],
            cwd=container["workingDir"],
            env=self.environment | {each["name"]: each["value"] for each in container.get("env", ())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        running = self.jobs[job["metadata"]["name"]] = Running(job, process)
        running.late = threading.Timer(job["spec"]["activeDeadlineSeconds"], self._overdue, [running])
        running.late.daemon = True
        running.late.start()
        return job

    def delete(self, name: str) -> None:
        running = self.jobs[name]
        running.deleted = True
        _end(running)

    def _overdue(self, running: Running) -> None:
        running.overdue = running.process.poll() is None
        _end(running)

    def pods_of(self, name: str) -> Iterator[dict[str, Any]]:
        running = self.jobs[name]
        code = running.process.poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code, "reason": "Error"}}
        base = {"name": "omniges", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        yield {"metadata": {"name": f"{name}-x"}, "status": {"containerStatuses": [base | {"state": state}]}}


def faults(job: dict[str, Any]) -> list[str]:
    """What the API's validation would say."""
    found = [f"unknown field {name}" for name in set(job) - {"apiVersion", "kind", "metadata", "spec"}]
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        found.append("spec.template.spec.restartPolicy: required value")
    if int(spec.get("activeDeadlineSeconds", 1)) <= 0:
        found.append("spec.activeDeadlineSeconds: must be greater than 0")
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    for container in pod["containers"]:
        requests, limits = (container["resources"].get(kind, {}) for kind in ("requests", "limits"))
        if EXTENDED in requests and limits.get(EXTENDED) != requests[EXTENDED]:
            found.append(f"{EXTENDED}: limit must be set for non overcommitable resources")
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        found += [f"volume {name} not found" for name in mounted - volumes]
    return found


def _end(running: Running) -> None:
    if running.late is not None:
        running.late.cancel()
    if running.process.poll() is None:
        os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()


def _handler(server: KubeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wrong = faults(body) if self.path == JOBS else [f"no such call: POST {self.path}"]
            server.refused += wrong
            if wrong:
                return self._answer(422, {"kind": "Status", "message": "; ".join(wrong)})
            return self._answer(201, server.create(body))

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            name = path.removeprefix(f"{JOBS}/").removesuffix("/status")
            running = server.jobs.get(name)
            if path == PODS:
                pods = list(server.pods_of(query.rpartition("%3D")[2]))
                return self._answer(200, {"kind": "PodList", "items": pods})
            if path == f"{JOBS}/{name}/status" and running and not running.deleted:
                return self._answer(200, running.manifest | {"status": running.status()})
            return self._answer(404, {"kind": "Status", "message": f"not found: {self.path}"})

        def do_DELETE(self) -> None:
            name = self.path.partition("?")[0].removeprefix(f"{JOBS}/")
            if name not in server.jobs or server.jobs[name].deleted:
                return self._answer(404, {"kind": "Status", "message": f"not found: {self.path}"})
            server.delete(name)
            return self._answer(200, {"kind": "Status", "status": "Success"})

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, code: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
