"""Weights that carry principal components, against NumPy's singular values and SciPy's convolution."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from test_tokenizer_training import trainer_of
from tokenizer_toys import normal, with_tokenizers

from omniges.config import Params
from omniges.errors import ConfigError
from omniges.tokenizers.first_weights import carry_components, principal_components
from omniges.tokenizers.rvqvae import RVQVAE

Make = Callable[..., RVQVAE]


def frames_of(n_channels: int, n_frames: int = 64) -> torch.Tensor:
    """Frames with a strongest direction, a second one and so on, of no mean."""
    found = (
        normal(n_frames, n_channels)
        @ torch.diag(2.0 ** -torch.arange(n_channels))
        @ normal(n_channels, n_channels, seed=1)
    )
    return found - found.mean(0)


def components_by_svd(frames: torch.Tensor, n: int) -> tuple[np.ndarray, float]:
    """[n, C] right singular vectors, their largest entry positive; the deviation along the first."""
    _, values, rows = np.linalg.svd(frames.double().numpy(), full_matrices=False)
    rows = rows[:n]
    signs = np.sign(rows[np.arange(n), np.abs(rows).argmax(axis=1)])
    return rows * signs[:, None], float(values[0] / len(frames) ** 0.5)


def carrying(model: RVQVAE) -> tuple[torch.Tensor, np.ndarray, float]:
    """Lay the components of some frames into a network; those frames, and the components by NumPy."""
    config = model.config
    frames = frames_of(config.channels)
    carry_components(model, frames)
    n = min(config.channels, config.width // 2, config.quantizer.code_dim)
    return frames, *components_by_svd(frames, n)


# Seven channels through nets where channels, latent width or half the network's width is the narrowest.
SIZES = [(7, 16, 8), (7, 16, 3), (7, 9, 8)]


@pytest.mark.parametrize(("channels", "width", "code_dim"), SIZES)
@torch.no_grad()
def test_a_latent_is_the_mean_of_a_codes_components(tiny: Make, channels: int, width: int, code_dim: int):
    model = tiny(channels=channels, width=width, code_dim=code_dim)
    frames, rows, deviation = carrying(model)
    n = len(rows)
    wanted = (frames.numpy() @ rows.T / deviation).reshape(-1, 4, n).mean(axis=1)
    latent = model.encode_latent(frames[None])[0].numpy()
    np.testing.assert_allclose(latent[:, :n], wanted, atol=1e-5)
    assert not latent[:, n:].any()


@pytest.mark.parametrize(("channels", "width", "code_dim"), SIZES)
@torch.no_grad()
def test_motion_comes_back_on_lines_between_codes(tiny: Make, channels: int, width: int, code_dim: int):
    model = tiny(channels=channels, width=width, code_dim=code_dim)
    _, rows, deviation = carrying(model)
    latent = normal(1, 12, code_dim, seed=2)
    latent[..., len(rows) :] = 0
    track = latent[0, :, : len(rows)].numpy()
    for _ in range(2):
        track = convolve1d(np.repeat(track, 2, axis=0), [0.25, 0.5, 0.25], axis=0, mode="constant")
    np.testing.assert_allclose(model.decode_latent(latent)[0].numpy(), track @ rows * deviation, atol=1e-5)


@torch.no_grad()
def test_a_pose_that_is_held_comes_back_as_it_was(tiny: Make):
    model = tiny(channels=7, width=16, code_dim=8)
    frames, *_ = carrying(model)
    held = frames[3].expand(1, 48, 7)
    back = model.decode_latent(model.encode_latent(held))
    torch.testing.assert_close(back[:, 4:-4], held[:, 4:-4], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("channels", "width", "code_dim"), SIZES)
def test_every_channel_of_every_layer_learns(tiny: Make, channels: int, width: int, code_dim: int):
    model = tiny(channels=channels, width=width, code_dim=code_dim)
    frames, *_ = carrying(model)
    sides = {"encoder": model.encoder, "decoder": model.decoder}
    start = {f"{s}.{n}": p.detach().clone() for s, side in sides.items() for n, p in side.named_parameters()}
    optimizer = torch.optim.Adam([p for side in sides.values() for p in side.parameters()], lr=1e-2)
    for _ in range(4):  # what lies behind a layer of zeros waits for it to move
        optimizer.zero_grad()
        (model.decode_latent(model.encode_latent(frames[None])) - frames).square().mean().backward()
        optimizer.step()
    for side, module in sides.items():
        for name, value in module.named_parameters():
            moved = (value.detach() - start[f"{side}.{name}"]).flatten(1 if value.ndim > 1 else 0).any(-1)
            # Behind a block's own ReLU, as in any network, some channels never speak.
            learns = moved.float().mean() > 0.5 if "conv1" in name else moved.all()
            assert learns, f"{side}.{name}"


def test_a_part_that_stands_still_gives_finite_weights(tiny: Make):
    model = tiny(channels=7, width=16, code_dim=8)
    carry_components(model, torch.zeros(64, 7))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_components_of_many_frames_are_those_of_all(monkeypatch: pytest.MonkeyPatch):
    frames = frames_of(7)
    whole = principal_components(frames, 4)
    monkeypatch.setattr("omniges.tokenizers.first_weights.ROWS_AT_ONCE", 10)
    pieces = principal_components(frames, 4)
    torch.testing.assert_close(pieces, whole)


def test_one_channel_is_too_narrow(tiny: Make):
    with pytest.raises(ConfigError, match=r"tokenizers\.width: got 1, wanted 2 or more"):
        carry_components(tiny(channels=7, width=1), frames_of(7))


def test_a_training_begins_with_them_unless_told_otherwise(params: Params):
    def weights(**changes: object) -> dict[str, torch.Tensor]:
        return trainer_of(with_tokenizers(params, **changes)).model.state_dict()

    random, carrying = weights(first_weights="random"), weights(first_weights="components")
    published = weights(first_weights="components", compatible=True)
    key = "encoder.model.0.weight"
    assert not torch.equal(carrying[key], random[key])
    assert torch.equal(published[key], random[key])


def test_thirty_steps_from_components_beat_thirty_from_random_weights(params: Params):
    def error(weights: str) -> float:
        trainer = trainer_of(with_tokenizers(params, first_weights=weights, width=32))
        trainer.run()
        return trainer.history[-1].values["reconstruction"]

    assert error("components") < 0.8 * error("random")
