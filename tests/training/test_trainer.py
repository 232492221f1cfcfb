"""The loop on toy data: resume, NaN, best weights."""

import a2g_toys as toys
import pytest
import torch
from accelerate import Accelerator

from omniges.errors import ShapeError, TrainingError
from omniges.training.loop import Data, Trainer


def make(folder, *, log=None, key="k", poison=None, n=24, **changes):
    data = Data(train=toys.ToyWindows(n, poison=poison), val=toys.ToyWindows(8), collate=toys.collate)
    return Trainer(
        toys.model(),
        data,
        toys.train_params(**changes),
        accelerator=Accelerator(cpu=True),
        folder=folder,
        key=key,
        log=log or (lambda metrics, step: None),
    )


def losses(trainer):
    return [(e["step"], e["train/total"], e.get("val/total")) for e in trainer.progress.curve]


def test_a_run_that_stops_and_resumes_gives_the_same_curve_and_weights(tmp_path):
    whole = make(tmp_path / "a")
    want = whole.run()

    class KilledError(Exception):
        pass

    def kill_at_5(metrics, step):
        if step == 5:
            raise KilledError

    broken = make(tmp_path / "b", log=kill_at_5)
    with pytest.raises(KilledError):
        broken.run()
    resumed = make(tmp_path / "b")
    assert resumed.resume()
    assert resumed.progress.step == 4
    got = resumed.run()
    assert losses(resumed) == losses(whole)
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name


def test_another_runs_state_is_not_taken(tmp_path):
    make(tmp_path / "a", max_steps=2).run()
    other = make(tmp_path / "a", key="other")
    assert not other.resume()


def test_nan_stops_with_the_clips_and_nothing_is_lost(tmp_path):
    trainer = make(tmp_path / "a", poison=7)
    with pytest.raises(TrainingError, match="clip_7"):
        trainer.run()
    again = make(tmp_path / "a")
    assert again.resume()
    assert all(torch.isfinite(p).all() for p in again.model.parameters())


def test_loss_falls_and_val_weights_are_the_best_seen(tmp_path):
    trainer = make(tmp_path / "a", max_steps=60, n=4, batch_per_process=4, validate_every=20, lr=5e-3)
    trainer.run()
    curve = trainer.progress.curve
    assert curve[-1]["train/codes"] < curve[0]["train/codes"] - 0.2
    assert trainer.progress.best_loss == min(e["val/total"] for e in curve if "val/total" in e)


class Changed(toys.ToyWindows):
    """Windows of which one tensor is not what it should be."""

    def __init__(self, name, change):
        super().__init__(24)
        self.name, self.change = name, change

    def __getitem__(self, index):
        window = super().__getitem__(index)
        setattr(window, self.name, self.change(getattr(window, self.name)))
        return window


def debugged(folder, monkeypatch, data):
    monkeypatch.setenv("OMNIGES_DEBUG", "1")
    trainer = make(folder, max_steps=1)
    trainer.data = Data(train=data, val=toys.ToyWindows(8), collate=toys.collate)
    return trainer


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("side", lambda x: x[..., :1], r"batch: side is \(4, 32, 1\) float32, wanted \(4, 32, 9\) float"),
        ("gesture", lambda x: x.int(), r"batch: gesture is \(4, 32, 415\) int32, wanted .* float"),
        ("speaker", lambda x: x - 3, r"batch: speaker holds -3 to -\d, wanted 0 to 1"),
    ],
)
def test_debugging_names_what_broadcasting_hides(tmp_path, monkeypatch, name, change, message):
    """Without the checks each of these trains on, on other numbers."""
    with pytest.raises(ShapeError, match=message):
        debugged(tmp_path, monkeypatch, Changed(name, change)).run()
    monkeypatch.setenv("OMNIGES_DEBUG", "0")
    trainer = make(tmp_path / "unseen", max_steps=1)
    trainer.data = Data(train=Changed(name, change), val=toys.ToyWindows(8), collate=toys.collate)
    trainer.run()


def test_debugging_looks_at_what_blocks_give_out(tmp_path, monkeypatch):
    trainer = debugged(tmp_path, monkeypatch, toys.ToyWindows(24))
    trainer.run()
    whole = trainer.model.side
    trainer.model.side = lambda states: whole(states)[..., :1]
    with pytest.raises(ShapeError, match=r"model, output: side is \(4, 32, 1\) float32, wanted \(4, 32, 9\)"):
        trainer.step(0, trainer.passes(0))
