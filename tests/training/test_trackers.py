"""The trackers beside MLflow, as their own readers find them; neither needs a network."""

import time
from pathlib import Path

import pytest

from omniges import tracking
from omniges.config import load_params
from omniges.workspace import Workspace


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_and_wandb_offline_hold_what_was_logged(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    trackers = params.tracking.model_copy(update={"trackers": ["tensorboard", "wandb"]})
    params = params.model_copy(update={"tracking": trackers})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracking.start_run(params, Workspace.of(params), "train") as run:
        run.log_params({"train": {"lr": 0.1}})
        run.log_metrics({"train/total": 2.5}, step=3)
        run.log_metrics({"train/total": 1.25}, step=4)
    events = next(path.parent for path in tmp_path.rglob("events.out.tfevents*"))
    read = accumulator.EventAccumulator(str(events))
    read.Reload()
    tag = next(tag for tag in read.Tags()["scalars"] if "total" in tag)
    assert [(e.step, e.value) for e in read.Scalars(tag)] == [(3, 2.5), (4, 1.25)]
    (record,) = tmp_path.rglob("offline-run-*/*.wandb")
    end = time.monotonic() + 60  # a process of wandb's own writes the file, and may do so after the run's end
    while b"total" not in record.read_bytes():
        assert time.monotonic() < end, record.read_bytes()
        time.sleep(0.1)
