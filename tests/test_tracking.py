"""Runs in MLflow's database: what a reader of it finds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from omniges import tracking
from omniges.config import Params, load_params
from omniges.files import write_json
from omniges.workspace import Workspace

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")
    return load_params(ROOT / "params.yaml")


def test_numbers_of_any_kind_are_logged_and_params_never_clash(params: Params, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    with tracking.start_run(params, Workspace.of(params), "train") as run:
        run.log_params({"train": {"lr": 0.1}})
        run.log_params({"train": {"lr": 0.2, "seed": 3}})
        run.log_metrics(
            {"a": torch.tensor(1.5), "b": {"c": np.float32(2.0)}, "nan": float("nan"), "text": "x"}, step=7
        )
        (tmp_path / "note.txt").write_text("hello")
        run.log_artifact(tmp_path / "note.txt")
    client = MlflowClient(tracking.tracking_uri())
    found = client.get_run(str(run.id))
    assert found.data.metrics == {"a": 1.5, "b.c": 2.0}
    assert found.data.params == {"train.lr": "0.1", "train.seed": "3"}
    assert found.data.tags["stage"] == "train"
    assert found.info.status == "FINISHED"
    assert client.get_metric_history(str(run.id), "a")[0].step == 7
    assert [row.path for row in client.list_artifacts(str(run.id))] == ["note.txt"]


def test_a_known_run_goes_on_and_an_unknown_one_is_replaced(params: Params, tmp_path: Path) -> None:
    W = Workspace.of(params)
    with tracking.start_run(params, W, "train") as first:
        pass
    record = tmp_path / tracking.RUN_FILE
    write_json(record, {"run": first.id})
    with tracking.start_run(params, W, "evaluate", resume_from=record) as again:
        assert again.id == first.id
    write_json(record, {"run": "0" * 32})
    with tracking.start_run(params, W, "evaluate", resume_from=record) as new:
        assert new.id not in (first.id, "0" * 32)


def test_without_trackers_nothing_is_written(params: Params, tmp_path: Path) -> None:
    quiet = params.model_copy(update={"tracking": params.tracking.model_copy(update={"trackers": []})})
    with tracking.start_run(quiet, Workspace.of(quiet), "train") as run:
        run.log_metrics({"a": 1.0}, step=1)
        assert run.id is None
    assert list(tmp_path.iterdir()) == []


def test_a_dvc_workspace_and_a_git_worktree_log_to_the_main_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    main = tmp_path / "main"
    temporary = main / ".dvc" / "tmp" / "exps" / "tmpabc"
    temporary.mkdir(parents=True)
    monkeypatch.chdir(temporary)
    assert tracking.main_checkout() == main
    call = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in ("init -q", "commit -q --allow-empty -m x", "worktree add -q ../tree"):
        subprocess.run([*call, *arguments.split()], cwd=main, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path / "tree")
    assert tracking.main_checkout() == main
    assert tracking.tracking_uri() == f"sqlite:///{main / 'mlflow.db'}"


@pytest.mark.slow
def test_four_processes_may_start_on_a_fresh_database(params: Params, tmp_path: Path) -> None:
    code = f"""
from omniges import config, tracking, workspace
params = config.load_params({str(ROOT / "params.yaml")!r})
with tracking.start_run(params, workspace.Workspace.of(params), "train") as run:
    for step in range(20):
        run.log_metrics({{"a": step}}, step=step)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-c", code]
    started = [subprocess.Popen(call, env=environment, cwd=tmp_path) for _ in range(4)]
    assert [process.wait(timeout=300) for process in started] == [0, 0, 0, 0]
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking.tracking_uri())
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [len(client.get_metric_history(run.info.run_id, "a")) for run in runs] == [20] * 4
