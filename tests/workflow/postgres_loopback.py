"""An MLflow server on a PostgreSQL of its own, on loopback, for as long as one command runs.

    python tests/workflow/postgres_loopback.py COMMAND...

The database lies in a temporary folder; Debian's package is postgresql, the driver comes with
`pip install 'omniges[cluster]'`. The command finds the server by MLFLOW_TRACKING_URI.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

RUNS = """
select name, status, (select count(*) from metrics where metrics.run_uuid = runs.run_uuid)
from runs order by start_time
"""


class TrackingServer:
    """PostgreSQL and MLflow; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.port, self.uri = _free_port(), f"http://127.0.0.1:{_free_port()}"
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> str:
        return f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> "TrackingServer":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:  # with the workers that it started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        if (self.folder / "db" / "postmaster.pid").exists():
            self._postgres("pg_ctl", "-D", str(self.folder / "db"), "-m", "fast", "-w", "stop")

    def rows(self, query: str) -> str:
        """What the database itself answers."""
        return self._postgres(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow", "-Atc", query, "postgres"
        )

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.folder, "postgres")
        db = str(self.folder / "db")
        self._postgres("initdb", "-D", db, "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
        self._postgres("pg_ctl", "-D", db, "-w", "-o", options, "-l", str(self.folder / "db.log"), "start")
        (self.folder / "artifacts").mkdir()
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.database]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", self.uri.rpartition(":")[2]]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven more processes
        with (self.folder / "mlflow.log").open("wb") as log:
            self._server = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 180
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"MLflow did not start:\n{(self.folder / 'mlflow.log').read_text()[-3000:]}")

    def _postgres(self, program: str, *options: str) -> str:
        command = [_found(program), *options]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=120)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout


def missing_programs() -> list[str]:
    """What has to be installed first."""
    return [name for name in ("initdb", "pg_ctl", "psql") if shutil.which(name, path=_path()) is None]


def _found(program: str) -> str:
    path = shutil.which(program, path=_path())
    if path is None:
        raise RuntimeError(f"{program} is missing. On Debian: apt-get install postgresql")
    return path


def _path() -> str:
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), reverse=True
    )  # Debian keeps them off the path
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])


def _free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        port: int = each.getsockname()[1]
        return port


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with TrackingServer(Path(folder) / "tracking") as server:
            environment = os.environ | {"MLFLOW_TRACKING_URI": server.uri}
            done = subprocess.run(sys.argv[1:], env=environment, check=False)
            print(f"runs in PostgreSQL, with their status and number of metrics:\n{server.rows(RUNS)}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
