"""Codebooks: the published vectors, an outside library as an oracle, gradients and dropout."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans2
from tokenizer_toys import as_arrays, normal

from omniges.errors import ShapeError
from omniges.tokenizers import codebook as books
from omniges.tokenizers.quantizer import DROPPED, QuantizerConfig, ResidualQuantizer, rotate_to


def quantizer(**changes: object) -> ResidualQuantizer:
    torch.manual_seed(3)
    sizes: dict[str, object] = {"codes": 32, "code_dim": 8, "quantizers": 6, **changes}
    return ResidualQuantizer(QuantizerConfig(**sizes))  # type: ignore[arg-type]


def started(**changes: object) -> ResidualQuantizer:
    found = quantizer(**changes)
    found(normal(4, 32, 8), torch.Generator().manual_seed(0))
    return found


def test_start_and_two_updates_are_the_published_ones(shared: Path):
    v = {
        k: torch.from_numpy(np.asarray(x))
        for k, x in as_arrays(shared / "reference/rvq/rvq_ema_update_vectors.npz").items()
    }
    book = books.first_rows(v["x0"], 32)
    torch.testing.assert_close(book, v["codebook_after_init"], rtol=0, atol=1e-6)
    averages, rule = books.Averages.of(book), books.Rule(float(v["mu"]), 1.0, first_rows=True)
    for step in "12":
        averages, book = books.update(averages, v[f"x{step}"], v[f"idx{step}"], rule)
        torch.testing.assert_close(book, v[f"codebook_after_{step}"], rtol=0, atol=1e-5)
        torch.testing.assert_close(averages.total, v[f"code_sum_after_{step}"], rtol=0, atol=1e-5)
        torch.testing.assert_close(averages.count, v[f"code_count_after_{step}"], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            books.perplexity(v[f"idx{step}"], 32), v[f"perplexity_{step}"], rtol=0, atol=1e-4
        )


def test_sums_by_code_are_those_of_a_one_hot_matrix():
    rows, codes = normal(500, 8), torch.randint(32, (500,), generator=torch.Generator().manual_seed(1))
    total, count = books.summed_by_code(rows, codes, 32)
    one_hot = torch.nn.functional.one_hot(codes, 32).float()
    torch.testing.assert_close(total, one_hot.t() @ rows, rtol=0, atol=1e-5)
    torch.testing.assert_close(count, one_hot.sum(0))


def test_dead_codes_are_drawn_from_the_whole_batch_and_then_left_in_peace():
    rows, codes = normal(100, 4), torch.zeros(100, dtype=torch.int64)
    averages = books.Averages.of(torch.full((8, 4), 9.0))
    averages.count[1:] = 0.1
    rule = books.Rule(0.9, 0.5, first_rows=False)
    averages, book = books.update(averages, rows, codes, rule, torch.Generator().manual_seed(0))
    origin = [int((rows - code).abs().sum(1).argmin()) for code in book[1:]]
    torch.testing.assert_close(book[1:], rows[origin])
    assert len(set(origin)) == 7
    assert max(origin) > 8  # the published rule takes rows 0 to 7
    kept = book[1:].clone()
    averages, book = books.update(averages, rows, codes, rule, torch.Generator().manual_seed(1))
    torch.testing.assert_close(book[1:], kept)  # count 0.9 is alive


def test_kmeans_is_as_good_as_scipys():
    centres = normal(8, 4, seed=5) * 5
    rows = (centres[:, None] + 0.1 * normal(8, 50, 4, seed=6)).reshape(-1, 4)

    def spread(book: torch.Tensor) -> float:
        return float(torch.cdist(rows, book).min(dim=1).values.square().mean())

    best = min(spread(books.kmeans(rows, 8, torch.Generator().manual_seed(i))) for i in range(8))
    oracle = min(spread(torch.from_numpy(kmeans2(rows.numpy(), 8, minit="++", rng=i)[0])) for i in range(8))
    assert best < oracle * 1.05


def test_fewer_rows_than_codes_still_start_a_codebook():
    book = books.random_rows(normal(5, 4), 16, torch.Generator().manual_seed(0))
    assert len(torch.unique(book, dim=0)) == 16
    with pytest.raises(ShapeError, match="without rows"):
        books.first_rows(torch.zeros(0, 4), 16)


@torch.no_grad()
def test_codes_are_those_of_vector_quantize_pytorch():
    from vector_quantize_pytorch import ResidualVQ

    ours = started().eval()
    theirs = ResidualVQ(dim=8, codebook_size=32, num_quantizers=6).eval()
    for layer, book in zip(theirs.layers, ours.codebooks(), strict=True):
        layer._codebook.embed.copy_(book[None])
    latent = normal(2, 50, 8, seed=9)
    want, codes, _ = theirs(latent)
    found = ours(latent)
    assert torch.equal(found.codes, codes)
    assert torch.equal(ours.encode(latent), codes)
    torch.testing.assert_close(found.latent, want, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.lookup(codes), want, rtol=0, atol=1e-5)


@torch.no_grad()
def test_each_quantizer_brings_the_sum_closer():
    found, latent = started().eval(), normal(4, 32, 8)
    codes = found.encode(latent)
    errors = [float((found.lookup(codes[..., : q + 1]) - latent).square().mean()) for q in range(6)]
    assert all(after < before for before, after in pairwise(errors))


@pytest.mark.parametrize(("compatible", "gain"), [(False, 1.0), (True, 6.0)])
def test_the_straight_through_gradient_counts_once_unless_compatible(compatible: bool, gain: float):
    found = started(compatible=compatible).eval()
    latent = normal(2, 5, 8).requires_grad_()
    found(latent).latent.sum().backward()
    assert latent.grad is not None
    torch.testing.assert_close(latent.grad, torch.full_like(latent, gain))


def test_the_rotation_gradient_is_that_of_the_rotation():
    rows, target = normal(6, 8), normal(6, 8, seed=1)
    jacobian = torch.autograd.functional.jacobian(lambda x: rotate_to(x, target), rows)
    torch.testing.assert_close(rotate_to(rows, target), target)
    for i in range(6):
        turn = jacobian[i, :, i] * (rows[i].norm() / target[i].norm())
        torch.testing.assert_close(turn @ turn.t(), torch.eye(8), rtol=0, atol=1e-4)  # a rotation ...
        torch.testing.assert_close(
            turn @ (rows[i] / rows[i].norm()), target[i] / target[i].norm(), rtol=0, atol=1e-4
        )
    assert jacobian[0, :, 1].abs().max() == 0  # each row by itself


def test_evaluation_learns_nothing_and_encode_never_does():
    found = started()
    before = found.codebooks().clone()
    found.encode(normal(4, 32, 8, seed=4))
    found.eval()(normal(4, 32, 8, seed=5))
    assert torch.equal(found.codebooks(), before)
    found.train()(normal(4, 32, 8, seed=5))
    assert not torch.equal(found.codebooks(), before)


def test_dropout_leaves_out_the_last_quantizers_evenly():
    found = started(dropout=0.5)
    generator, used = torch.Generator().manual_seed(0), []
    for _ in range(600):
        codes = found(normal(1, 4, 8), generator).codes
        kept = (codes[0, 0] != DROPPED).tolist()
        assert kept == sorted(kept, reverse=True)
        used.append(sum(kept))
    share = np.bincount(used, minlength=7)[1:] / 600
    np.testing.assert_allclose(share, [1 / 12] * 5 + [7 / 12], atol=0.06)


def test_dropped_codes_decode_to_nothing():
    found = started()
    codes = found.encode(normal(1, 4, 8))
    dropped = codes.clone()
    dropped[..., 2:] = DROPPED
    torch.testing.assert_close(found.lookup(dropped), found.lookup(codes[..., :2]))


def test_noisy_searches_draw_codes_by_their_distance():
    layer = quantizer(codes=2, code_dim=1, quantizers=1, temperature=0.5).books()[0]
    book, rows = torch.tensor([[0.0], [1.0]]), torch.full((20_000, 1), 0.4)
    torch.manual_seed(0)
    drawn = layer.search(rows, book, temperature=0.5).double().mean()
    weights = np.exp(-(np.array([0.4, 0.6]) ** 2) / 0.5)
    assert abs(drawn.item() - weights[1] / weights.sum()) < 0.01
    assert layer.search(rows, book).sum() == 0


def test_perplexity_counts_the_codes_in_use():
    assert books.perplexity(torch.arange(32), 32).item() == pytest.approx(32, rel=1e-4)
    assert books.perplexity(torch.zeros(50, dtype=torch.int64), 32).item() == pytest.approx(1, rel=1e-4)
