"""The known share, measured from outside: with a linear probe on MFCC, and with a small network."""

import functools

import librosa
import numpy as np
import pytest
import torch

from omniges.corpus.ceiling import ceilings, measure
from omniges.corpus.clips import FPS, cast, make_motion
from omniges.corpus.statistics import tracks

SHARES = (0.0, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def talker(corpus_params):
    """One speaker who talks for 12 clips of 20 s; the speech is the same for every share."""
    large = corpus_params.model_copy(
        update={"speakers": 1, "train_clips": 9, "test_clips": 3, "clip_s": 20.0}
    )
    return large, cast(large, 1)


def mfcc(wave, n_frames):
    """[T, 20] at the middle of each motion frame."""
    values = librosa.feature.mfcc(
        y=wave.astype(np.float32), sr=16_000, n_mfcc=20, n_mels=40, n_fft=1024, hop_length=160
    )
    return values.T[
        np.minimum(np.round((np.arange(n_frames) + 0.5) / FPS * 100).astype(int), values.shape[1] - 1)
    ]


@pytest.fixture(scope="module")
def motions(talker):
    """share -> tracks of every clip, made once."""
    params, whole = talker

    @functools.cache
    def made(share):
        changed = params.model_copy(update={"share": share})
        return [tracks(make_motion(changed, whole, part)) for part in whole.parts]

    return made


def split(whole, values):
    train = np.concatenate([v for v, part in zip(values, whole.parts, strict=True) if part.split == "train"])
    test = np.concatenate([v for v, part in zip(values, whole.parts, strict=True) if part.split == "test"])
    return train, test


def context(values, reach=10, step=2):
    """[T, C * (1 + reach)] the frames around each frame."""
    shifted = [np.roll(values, shift, axis=0) for shift in range(-reach, reach + 1, step)]
    return np.concatenate(shifted, axis=1)


def ridge_r2(x_train, y_train, x_test, y_test, penalty=300.0):
    mean, std = x_train.mean(0), x_train.std(0) + 1e-9
    x, z = (x_train - mean) / std, (x_test - mean) / std
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y_train - y_train.mean(0)))
    left = np.sum((y_test - y_train.mean(0) - z @ weights) ** 2)
    return 1.0 - left / np.sum((y_test - y_train.mean(0)) ** 2)


def test_linear_probe_finds_more_the_larger_the_share_and_nothing_at_zero(talker, motions):
    _, whole = talker
    heard = split(whole, [context(mfcc(part.talk.wave, len(part.own))) for part in whole.parts])
    found = {}
    for share in SHARES:
        made = motions(share)
        for group in ("jaw", "wrist_height"):
            train, test = split(whole, [getattr(one, group) for one in made])
            found[group, share] = ridge_r2(heard[0], train, heard[1], test)
    for group in ("jaw", "wrist_height"):
        scores = [found[group, share] for share in SHARES]
        assert scores == sorted(scores), found
        assert abs(scores[0]) < 0.10, found
    assert found["jaw", 0.75] > 0.4, found
    assert found["wrist_height", 1.0] > 0.1, found


def test_share_leaves_marginals_alone(motions):
    spread = {
        share: {name: np.concatenate([getattr(one, name) for one in motions(share)]).std(0).mean()
                for name in ("wrist_height", "wrist_speed", "head", "jaw", "expressions")}
        for share in (0.0, 0.75, 1.0)
    }  # fmt: skip
    for name, wanted in spread[1.0].items():
        for share in (0.0, 0.75):
            assert spread[share][name] == pytest.approx(wanted, rel=0.2), (name, share)  # 4 min of speech


def test_ceiling_follows_the_share(talker):
    params, whole = talker
    found = {
        share: ceilings([measure(params.model_copy(update={"share": share}), whole)])
        for share in (0.0, 0.75, 1.0)
    }
    for group in found[0.0]:
        assert abs(found[0.0][group]) < 0.12, found
        assert found[0.0][group] < found[0.75][group] < found[1.0][group], found
    assert found[0.75]["jaw"] == pytest.approx(0.75, abs=0.06)
    assert found[1.0]["jaw"] == pytest.approx(1.0, abs=1e-6)  # nothing about the jaw is hidden at 1


def network(width_in, width_out):
    layers = [torch.nn.Conv1d(width_in, 64, 5, padding=2), torch.nn.GELU()]
    for dilation in (2, 4, 8):
        layers += [torch.nn.Conv1d(64, 64, 5, padding=2 * dilation, dilation=dilation), torch.nn.GELU()]
    return torch.nn.Sequential(*layers, torch.nn.Conv1d(64, width_out, 1))


@pytest.mark.slow
def test_small_network_learns_to_move_from_sound_and_not_from_wrong_sound(talker, motions):
    _, whole = talker
    torch.manual_seed(0)
    sounds = [mfcc(part.talk.wave, len(part.own)) for part in whole.parts]
    train_x, _ = split(whole, sounds)
    moves = [np.concatenate([m.jaw, m.expressions, m.wrist_height], axis=1) for m in motions(0.75)]
    train_y, _ = split(whole, moves)

    def tensors(values, like):
        return [torch.tensor((v - like.mean(0)) / like.std(0), dtype=torch.float32).T for v in values]

    x, y = tensors(sounds, train_x), tensors(moves, train_y)
    train = [i for i, part in enumerate(whole.parts) if part.split == "train"]
    test = [i for i, part in enumerate(whole.parts) if part.split == "test"]
    net = network(x[0].shape[0], y[0].shape[0])
    optimiser, draw = (
        torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05),
        np.random.RandomState(0),
    )
    for _ in range(250):
        picks = [(draw.choice(train), draw.randint(x[0].shape[1] - 128)) for _ in range(12)]
        target = torch.stack([y[i][:, at : at + 128] for i, at in picks])
        loss = (net(torch.stack([x[i][:, at : at + 128] for i, at in picks])) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def r2(pairs, channels):
        left = sum((net(x[i][None])[0][channels] - y[k][channels]).square().sum() for i, k in pairs)
        return float(1 - left / sum(y[k][channels].square().sum() for _, k in pairs))

    right, wrong = [(i, i) for i in test], list(zip(test[1:] + test[:1], test, strict=True))
    with torch.no_grad():
        jaw, face, wrist = slice(0, 1), slice(1, 101), slice(101, 103)
        assert r2(right, jaw) > 0.5
        assert r2(right, face) > 0.3
        assert r2(right, wrist) > 0.05
        for channels in (jaw, face, wrist):
            assert r2(wrong, channels) < 0.05
