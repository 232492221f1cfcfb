import numpy as np
import torch

from omniges.model.rotary import rotate, rotation_at, wavelengths_s


def test_rotation_is_multiplication_by_a_unit_complex_number():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5, 8))
    time_s = rng.uniform(0, 20, size=(2, 5))
    turns = time_s[:, None, :, None] / np.geomspace(0.25, 64.0, 4)
    want = (x[..., :4] + 1j * x[..., 4:]) * np.exp(2j * np.pi * turns)
    got = rotate(torch.tensor(x), rotation_at(torch.tensor(time_s), 8)).numpy()
    np.testing.assert_allclose(got, np.concatenate([want.real, want.imag], -1), atol=2e-4)


def test_scores_depend_on_time_difference_alone():
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 4, 16), torch.randn(1, 1, 4, 16)
    time_s = torch.rand(1, 4) * 4

    def scores(shift_s):
        rotation = rotation_at(time_s + shift_s, 16)
        return rotate(query, rotation) @ rotate(key, rotation).transpose(-1, -2)

    torch.testing.assert_close(scores(0.0), scores(7.3), rtol=0, atol=1e-4)
    assert not torch.allclose(scores(0.0), query @ key.transpose(-1, -2), atol=0.1)


def test_wavelengths_reach_from_two_tokens_to_a_minute():
    assert torch.allclose(wavelengths_s(8), torch.tensor([0.25, 1.5874, 10.0794, 64.0]), atol=1e-3)
