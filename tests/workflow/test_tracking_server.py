"""Tracking through an MLflow server on a PostgreSQL on loopback; what counts is what the database holds."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_loopback import TrackingServer, missing_programs

from omniges import tracking
from omniges.config import load_params
from omniges.files import write_json
from omniges.workspace import Workspace

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]
WRITER = """
import sys
from omniges import config, tracking, workspace
params = config.load_params(sys.argv[1])
with tracking.start_run(params, workspace.Workspace.of(params), "train") as run:
    run.log_params({"train": {"lr": 0.1}})
    for step in range(10):
        run.log_metrics({"loss": 1.0 / (1 + step)}, step=step)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[TrackingServer]:
    lacking = missing_programs()
    if lacking:
        pytest.skip(f"PostgreSQL is not installed ({', '.join(lacking)}): apt-get install postgresql")
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("PostgreSQL's driver is not installed: pip install 'omniges[cluster]'")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to the database's user
        Path(folder).chmod(0o755)
        with TrackingServer(Path(folder) / "server") as started:
            yield started


def test_several_writers_and_a_resumed_run_land_in_postgresql(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    call = [sys.executable, "-c", WRITER, str(ROOT / "params.yaml")]
    writers = [subprocess.Popen(call) for _ in range(2)]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0]
    query = "select count(*), min(value), max(step) from metrics where key = 'loss' group by run_uuid"
    assert server.rows(query).splitlines() == ["10|0.1|9"] * 2

    params = load_params(ROOT / "params.yaml")
    run = server.rows("select run_uuid from runs order by start_time limit 1").strip()
    write_json(tmp_path / tracking.RUN_FILE, {"run": run})
    (tmp_path / "report.txt").write_text("figures")
    W = Workspace.of(params)
    with tracking.start_run(params, W, "evaluate", resume_from=tmp_path / tracking.RUN_FILE) as resumed:
        resumed.log_metrics({"fgd": 1.25})
        resumed.log_artifact(tmp_path / "report.txt")
    assert resumed.id == run
    fgd = f"select value from metrics where key = 'fgd' and run_uuid = '{run}'"
    assert server.rows(fgd).strip() == "1.25"
    assert [path.read_text() for path in server.folder.rglob("report.txt")] == ["figures"]
    assert not list(tmp_path.glob("*.db"))
