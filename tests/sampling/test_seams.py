"""Joins of windows move like the rest of a clip, and ten minutes need no more memory than one."""

import resource
from dataclasses import replace
from types import SimpleNamespace

import a2g_toys as toys
import pytest
import torch
from test_generation import speech
from test_streaming import part_of

from omniges.model.a2g import A2G
from omniges.sampling import progress
from omniges.sampling.generate import generate_clips
from omniges.sampling.streaming import GestureStream
from omniges.sampling.windows import Cover

STEP = 0.05


class Walker:
    """Stands in for a trained network: a slow random walk that goes on from the past it is given.

    Without a past it starts anywhere. An untrained network can't continue, so it could prove nothing here.
    """

    tokens = A2G.tokens

    def __init__(self):
        toy = toys.model()
        self.config, self.statistics = toy.config, toy.statistics
        self.code_head = SimpleNamespace(codebooks=toy.code_head.codebooks, generate=self.generate)

    def start(self, white):
        return white

    def listen(self, heard):
        tokens = heard.frames.unflatten(1, (-1, 4)).any(-1)
        return self.project(SimpleNamespace(audio=heard.mfcc, text=heard.text, tokens=tokens))

    def project(self, conditions):
        conditions.rows = lambda chosen: self.project(
            SimpleNamespace(audio=None, tokens=conditions.tokens[chosen])
        )
        return conditions

    def states(self, x_t, t, given, conditions, projected):
        n = x_t.shape[-1]
        steps = torch.where(given, 0.0, x_t.mean(-1) * n**0.5 * STEP)  # noise of deviation STEP
        last = torch.where(given, x_t[..., 0], torch.zeros(())).gather(
            1, (given.sum(1, keepdim=True) - 1).clamp(min=0)
        )
        start = torch.where(given.any(1, keepdim=True), last, steps[:, -1:] * 40)
        return (start + steps.cumsum(1))[..., None]

    def side(self, states):
        return states.repeat_interleave(4, dim=1).expand(-1, -1, 9)

    def generate(self, states, weigh):
        return states[0][..., None].expand(-1, -1, toys.PARTS, toys.CODE_DIM)


class PlainTokenizer:
    """A latent is what its four frames show, smoothed a little."""

    decoder_context = 1

    def decode_latents(self, latents, wanted):
        frames = latents[..., 0, 0].repeat_interleave(4, dim=1)[:, None]
        smooth = torch.nn.functional.avg_pool1d(
            torch.nn.functional.pad(frames, (2, 2), mode="replicate"), 5, stride=1
        )
        return smooth.transpose(1, 2)[:, 4 * wanted.start : 4 * wanted.stop].expand(-1, -1, 415)

    def estimate(self, latents, wanted):
        return latents[:, wanted, 0, 0].repeat_interleave(4, dim=1)[..., None].expand(-1, -1, 415)


def excess():
    """How many times as fast, and as abruptly, motion moves around joins as elsewhere: the mean of each."""
    frames = 1600
    options = toys.sampling_params(steps=1)
    made = generate_clips(Walker(), PlainTokenizer(), [speech(frames=frames)], 0, options)[0]
    joins = [w.keep * 4 for w in Cover(8, 2, 1).plan(frames // 4)[:-1]]
    found = []
    for order in (1, 2):
        change = made.gesture[:, 0].diff(n=order).abs()
        near = torch.zeros(len(change), dtype=torch.bool)
        for join in joins:
            near[join - 4 : join + 4] = True
        found.append(float(change[near].mean() / change[~near].mean()))
    return found


def test_velocity_and_acceleration_at_joins_are_the_clips_own():
    for ratio in excess():
        assert 0.75 < ratio < 1.33


def test_windows_that_forget_their_past_would_show(monkeypatch):
    """The same measure fails where windows don't continue: it can see a seam."""

    settle = progress.WindowSampler.draw
    monkeypatch.setattr(
        progress.WindowSampler,
        "draw",
        lambda self, past, *chance: settle(self, replace(past, given=torch.zeros_like(past.given)), *chance),
    )
    assert min(excess()) > 3


@pytest.mark.slow
def test_ten_minutes_stream_in_the_memory_of_one():
    """Frames of ten minutes would be 30 MB; none of them is kept."""
    net, options = toys.model().eval(), toys.sampling_params(steps=1)

    def peak_mb(frames):
        stream, made, one = GestureStream(net, toys.ToyTokenizer(), 0, "a", options), 0, speech(frames=33)
        while wanted := stream.wanted(frames):
            part = part_of(one, 0, wanted[1] - wanted[0])
            block = stream.advance(part, frames)
            assert torch.isfinite(block.gesture).all()
            made += len(block.gesture)
        assert made == frames
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    peak_mb(1800)
    before = peak_mb(1800)
    assert peak_mb(18_000) - before < 10
