"""The fused forward pass against the library's own, over random weights."""

import json
import logging

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

from omniges.errors import CheckpointError
from omniges.features.wavlm import chunks_of, wavlm_frames
from omniges.features.wavlm_encoder import frame_geometry, load_wavlm
from omniges.features.wavlm_forward import FusedWavLM

CPU = torch.device("cpu")


def random_wavlm(**changes: object) -> WavLMModel:
    """A WavLM with the base model's structure, smaller; biases and norms are random too."""
    settings = {
        "hidden_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "intermediate_size": 64,
        "conv_dim": (32,) * 7,
        "num_conv_pos_embedding_groups": 8,
        "num_buckets": 32,
        "max_bucket_distance": 80,
    }
    torch.manual_seed(0)
    model = WavLMModel(WavLMConfig(**{**settings, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def noise(batch: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "structure",
    [{}, {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}],
    ids=["base", "large"],
)
@pytest.mark.parametrize("layer", [0, 1, 3, -2, -1])
def test_result_is_the_librarys(structure, layer):
    model, wave = random_wavlm(**structure), noise(2, 16_000)
    with torch.inference_mode():
        want = model(wave, output_hidden_states=True)
    fused = FusedWavLM(model, layer=layer, compute=torch.float32, device=CPU)
    expected = want.last_hidden_state if layer == -1 else want.hidden_states[layer]
    torch.testing.assert_close(fused(wave), expected, rtol=0, atol=1e-5)


def test_lengths_may_change_from_call_to_call():
    model = random_wavlm()
    fused = FusedWavLM(model, layer=-1, compute=torch.float32, device=CPU)
    for samples in (16_000, 400, 16_320, 16_000):
        with torch.inference_mode():
            want = model(noise(1, samples)).last_hidden_state
        torch.testing.assert_close(fused(noise(1, samples)), want, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_result_is_the_librarys_at_wavlm_bases_size():
    torch.manual_seed(0)
    model, wave = WavLMModel(WavLMConfig()).eval(), noise(1, 240_000)
    with torch.inference_mode():
        want = model(wave).last_hidden_state
    fused = FusedWavLM(model, layer=-1, compute=torch.float32, device=CPU)
    torch.testing.assert_close(fused(wave), want, rtol=0, atol=1e-5)


def test_bfloat16_stays_within_its_stated_error():
    model, wave = random_wavlm(), noise(1, 16_000)
    exact = FusedWavLM(model, layer=-1, compute=torch.float32, device=CPU)(wave)
    rounded = FusedWavLM(model, layer=-1, compute=torch.bfloat16, device=CPU)(wave)
    assert 0 < (rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt() < 0.03
    assert torch.nn.functional.cosine_similarity(rounded, exact, dim=-1).min() > 0.999


def test_layers_that_do_not_exist_are_refused():
    for layer in (5, -6):
        with pytest.raises(CheckpointError, match=f"wavlm.layer: got {layer}, but the model has 4 layers"):
            FusedWavLM(random_wavlm(), layer=layer, compute=torch.float32, device=CPU)


def test_frame_geometry_of_wavlm_base():
    assert frame_geometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)) == (400, 320)


def test_features_do_not_depend_on_the_batch(tiny_encoders):
    _, folder = tiny_encoders
    encoder = load_wavlm(folder / "wavlm", layer=-1, compute="float32", device="cpu")
    wave = noise(1, 100_000)[0].numpy()
    one, three, all_ = (
        np.concatenate(list(wavlm_frames(chunks_of([wave], 1.5, 0.25), encoder, batch=n, fps=30.0)))
        for n in (1, 3, 99)
    )
    assert one.shape == (187, 768)
    np.testing.assert_allclose(three, one, rtol=0, atol=1e-5)
    np.testing.assert_allclose(all_, one, rtol=0, atol=1e-5)


def test_tiny_features_tell_sounds_apart_and_bear_silence(tiny_encoders):
    _, folder = tiny_encoders
    encoder = load_wavlm(folder / "wavlm", layer=-1, compute="float32", device="cpu")
    silence = encoder(np.zeros((1, 16_000), np.float32))
    assert np.isfinite(silence).all()
    sounds = encoder(noise(2, 16_000).numpy())
    assert sounds.shape == (2, 49, 768)
    assert np.abs(sounds[0] - sounds[1]).mean() > 0.1


def test_normalisation_follows_the_checkpoint(tmp_path, caplog):
    model = random_wavlm(hidden_size=768, num_attention_heads=4, num_hidden_layers=1, intermediate_size=32)
    model.save_pretrained(tmp_path)
    wave = 3.0 + noise(2, 8_000).numpy()
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    extractor.save_pretrained(tmp_path)
    normalised = extractor(list(wave), sampling_rate=16_000, return_tensors="pt")["input_values"]
    for fed, remake in (
        (normalised, {"do_normalize": True}),
        (torch.from_numpy(wave), {"do_normalize": False}),
    ):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(remake))
        with torch.inference_mode():
            want = model(fed).last_hidden_state
        got = load_wavlm(tmp_path, layer=-1, compute="float32", device="cpu")(wave)
        np.testing.assert_allclose(got, want.numpy(), rtol=0, atol=2e-5)
    (tmp_path / "preprocessor_config.json").unlink()
    with caplog.at_level(logging.WARNING):
        load_wavlm(tmp_path, layer=-1, compute="float32", device="cpu")
    assert "fed as they are" in caplog.text


def test_what_is_no_wavlm_of_width_768_is_refused(tmp_path, tiny_encoders):
    random_wavlm().save_pretrained(tmp_path / "narrow")
    with pytest.raises(CheckpointError, match="got hidden width 96, wanted 768"):
        load_wavlm(tmp_path / "narrow", layer=-1, compute="float32")
    with pytest.raises(CheckpointError, match="got a t5 model, wanted wavlm"):
        load_wavlm(tiny_encoders[1] / "text", layer=-1, compute="float32")
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_wavlm(tmp_path, layer=-1, compute="float32")
