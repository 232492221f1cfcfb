"""Draws, order, schedule, averages: each against what it should be."""

import subprocess
import sys

import a2g_toys as toys
import numpy as np
import pytest
import torch

from omniges.errors import TrainingError
from omniges.training.draws import draw
from omniges.training.ema import EMA
from omniges.training.order import Order
from omniges.training.schedule import learning_rate, total_steps


def order(**changes):
    values = {"seed": 1, "n_windows": 10, "batch": 3, "accumulate": 2, "processes": 2, "rank": 0}
    return Order(**{**values, **changes})


def test_every_epoch_holds_every_window_once_over_all_ranks_and_passes():
    seen = []
    for step in range(5):  # 5 steps of 12 windows are 6 epochs of 10
        by_place = {}
        for rank in range(2):
            for micro in range(2):
                dealt = order(rank=rank)
                by_place |= dict(zip(dealt.places(micro), dealt.windows(step, micro), strict=True))
        assert sorted(by_place) == list(range(12))
        seen += [by_place[place] for place in range(12)]
    epochs = np.array(seen).reshape(6, 10)
    assert (np.sort(epochs, 1) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_two_processes_see_together_what_one_with_the_doubled_batch_sees():
    one = order(processes=1, batch=6, accumulate=1).windows(3, 0)
    two = [w for rank in range(2) for w in order(rank=rank, accumulate=1).windows(3, 0)]
    assert one == two


def test_a_resumed_order_goes_on_where_it_stopped():
    whole = list(order().batches(0, 9))
    assert list(order().batches(4, 9)) == whole[8:]


def test_draws_belong_to_the_sample_not_to_its_batch():
    train = toys.train_params()
    names = [("step", 5, place) for place in range(6)]
    together, apart = (draw(train, some, 8, 20, shaped=True) for some in (names, names[4:]))
    for name, value in vars(apart).items():
        assert torch.equal(vars(together)[name][4:], value), name


def test_draws_have_their_shares():
    train = toys.train_params(
        prefix_share=0.7, noise_share=0.4, drop_audio=0.1, drop_text=0.3, drop_speaker=0.05
    )
    draws = draw(train, [(i,) for i in range(4000)], 8, 2)
    past = draws.given.sum(1)
    free = draws.t
    assert abs((past > 0).float().mean() - 0.7) < 0.03
    assert set(past.tolist()) == {0, 1, 2}
    assert abs((free == 0).float().mean() - 0.4) < 0.03
    # u / (u + s (1 - u)) of a uniform u lies below its value at u = 1/2 half the time
    assert abs((free[free > 0] < 1 / (1 + train.time_shift)).float().mean() - 0.5) < 0.03
    for kept, share in ((draws.keep_audio, 0.9), (draws.keep_text, 0.7), (draws.keep_speaker, 0.95)):
        assert abs(kept.float().mean() - share) < 0.03
    assert abs(draws.noise.std() - 1) < 0.02


def test_the_rate_warms_up_and_falls_along_a_cosine():
    train = toys.train_params(lr=1.0, warmup_steps=10)
    assert learning_rate(0, train, 110) == pytest.approx(0.1)
    assert learning_rate(9, train, 110) == pytest.approx(1.0)
    assert learning_rate(10, train, 110) == pytest.approx(1.0)
    assert learning_rate(60, train, 110) == pytest.approx(0.51)
    assert learning_rate(110, train, 110) == pytest.approx(0.02)


def test_steps_follow_epochs_unless_they_are_limited():
    train = toys.train_params(batch_per_process=4, accumulate=2, epochs=3, max_steps=None)
    assert total_steps(train, n_windows=20, processes=2) == 4  # 60 windows, 16 a step
    assert total_steps(toys.train_params(max_steps=2), 1000, 1) == 2
    with pytest.raises(TrainingError, match="no window"):
        total_steps(train, 0, 1)


def test_the_average_is_the_weighted_sum_of_all_weights_seen():
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 2.0)
    ema = EMA(layer, decay=0.5)
    want = 2.0
    for step, weight in enumerate([4.0, 8.0, -1.0, 3.0]):
        torch.nn.init.constant_(layer.weight, weight)
        ema.update(layer, step)
        decay = min(0.5, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * weight
    with ema.swapped(layer):
        assert layer.weight.item() == pytest.approx(want)
    assert layer.weight.item() == 3.0


def test_nothing_in_the_step_is_frozen_and_no_feature_extractor_is_loaded():
    """Every parameter of the step learns; importing it pulls in neither WavLM nor tokenizers."""
    model = toys.model()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not {name for name in dict(model.named_modules()) if "tokenizer" in name or "wavlm_model" in name}
    code = (
        "import sys, omniges.training.loop; "
        "bad = [m for m in sys.modules if m.startswith(('transformers', 'omniges.tokenizers'))]; "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
