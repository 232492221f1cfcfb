"""The network against the published one's vectors, and what it does with input that doesn't fit."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizer_toys import as_arrays, normal

from omniges.errors import DataError, ShapeError
from omniges.motion.layout import PARTS
from omniges.tokenizers.published import load_published
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig

Vectors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def small(shared: Path) -> RVQVAE:
    return load_published(shared / "reference/rvq/net_small_upper.pth", "upper")


@pytest.fixture(scope="module")
def vectors(shared: Path) -> Vectors:
    return {
        k: torch.from_numpy(v)
        for k, v in as_arrays(shared / "reference/rvq/rvq_upper_small_vectors.npz").items()
    }


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


@torch.no_grad()
def test_published_weights_give_the_published_latents_codes_and_motion(small: RVQVAE, vectors: Vectors):
    latent = small.encode_latent(vectors["x"])
    close(latent, vectors["map2latent"])
    codes = small.encode(vectors["x"])
    assert torch.equal(codes, vectors["encode_code_idx"])
    close(small.codebooks(), vectors["codebooks_projected"])
    close(small.decode_codes(codes), vectors["decode_projected_codes"])
    close(small.decode_codes(codes[..., :3]), vectors["decode_projected_first3"])
    close(small.decode_latent(latent), vectors["decoder_on_continuous_latent"])
    found = small(vectors["x"])
    close(found.reconstruction, vectors["forward_rec_pose"])
    close(found.commitment, vectors["forward_commit_loss"])
    close(found.perplexity, vectors["forward_perplexity"])


@torch.no_grad()
def test_two_frames_beyond_a_code_have_no_counterpart(small: RVQVAE, vectors: Vectors):
    close(small.encode_latent(vectors["xT66"]), vectors["xT66_map2latent"])
    close(small(vectors["xT66"]).reconstruction, vectors["xT66_rec"])


@torch.no_grad()
def test_quantising_leaves_its_argument_alone(small: RVQVAE, vectors: Vectors):
    latent = vectors["map2latent"].clone()
    first, second = (small.decode_latent(small.quantizer(latent).latent) for _ in range(2))
    close(first, vectors["latent2origin_rec"])
    assert torch.equal(first, second)  # the published code gives other motion the second time
    assert torch.equal(latent, vectors["map2latent"])


@torch.no_grad()
def test_codes_decode_through_the_projection(small: RVQVAE, vectors: Vectors):
    wrong = vectors["forward_decoder_asis_raw_codebook"]
    assert (small.decode_codes(vectors["encode_code_idx"]) - wrong).abs().max() > 1  # BUG A is not repeated


@pytest.mark.parametrize("part", PARTS)
def test_full_size_has_the_published_keys_and_shapes(part: str, shared: Path):
    name = {"lower_trans": "lower"}.get(part, part)
    contract = json.loads((shared / "reference/rvq/rvq_fullsize_loading_contract.json").read_text())
    want = contract["parts"][f"net_300000_{name}.pth"]
    sizes = QuantizerConfig(codes=1024, code_dim=128, quantizers=6)
    with torch.device("meta"):
        model = RVQVAE(
            RVQVAEConfig(channels=PARTS[part].width, width=512, depth=3, dropout=0.2, quantizer=sizes)
        )
    got = [
        [key, list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in model.state_dict().items()
    ]
    assert sorted(got) == sorted(want["state_dict"])
    assert sum(value.numel() for value in model.state_dict().values()) == want["n_elements"]


@pytest.mark.parametrize("n_frames", [4, 5, 7, 8, 63, 64, 65, 1906])
@torch.no_grad()
def test_any_length_gives_a_code_for_every_four_frames(tiny: Callable[..., RVQVAE], n_frames: int):
    model = tiny().eval()
    codes = model.encode(normal(1, n_frames, 7))
    assert codes.shape == (1, n_frames // 4, 3)
    assert model.decode_codes(codes).shape == (1, n_frames // 4 * 4, 7)


@torch.no_grad()
def test_a_long_clip_has_no_seams(tiny: Callable[..., RVQVAE]):
    model, frames = tiny(code_dim=4).eval(), normal(1, 1200, 7)
    whole = model.encode_latent(frames)
    middle = model.encode_latent(frames[:, 400:800])
    reach = 30  # latents; depth 2 looks about 40 frames to each side
    close(middle[:, reach:-reach], whole[:, 100 + reach : 200 - reach])
    assert (middle[:, 0] - whole[:, 100]).abs().max() > 1e-4  # while cut windows do differ at their ends


@torch.no_grad()
def test_clips_of_a_batch_do_not_mix(tiny: Callable[..., RVQVAE]):
    model, frames = tiny().eval(), normal(3, 40, 7)
    together = model.encode_latent(frames)
    for i in range(3):
        close(model.encode_latent(frames[i : i + 1]), together[i : i + 1])


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2, 3, 7), "fewer than one code"),
        ((0, 8, 7), "empty batch"),
        ((2, 8, 6), "another part"),
        ((8, 7), "frames"),
    ],
)
def test_frames_that_do_not_fit_are_refused(tiny: Callable[..., RVQVAE], shape: tuple[int, ...], reason: str):
    with pytest.raises(ShapeError, match=reason):
        tiny().encode(torch.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_named(tiny: Callable[..., RVQVAE], bad: float):
    frames = torch.zeros(2, 8, 7)
    frames[1, 5, 3] = bad
    with pytest.raises(DataError, match="clip 1 of the batch is not finite at frame 5, channel 3"):
        tiny().encode(frames)


def test_codes_and_latents_that_do_not_fit_are_refused(tiny: Callable[..., RVQVAE]):
    model = tiny()
    with pytest.raises(ShapeError, match="another tokenizer"):
        model.decode_codes(torch.full((1, 2, 3), 16))
    with pytest.raises(ShapeError, match=r"wanted \[B, N, 1..3\]"):
        model.decode_codes(torch.zeros(1, 2, 4, dtype=torch.int64))
    with pytest.raises(ShapeError, match="decode_latent"):
        model.decode_latent(torch.zeros(1, 2, 5))
    with pytest.raises(ShapeError, match="N >= 1"):
        model.decode_latent(torch.zeros(1, 0, 8))
