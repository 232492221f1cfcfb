import a2g_toys as toys
import pytest
import torch
from test_generation import speech

from omniges.motion.layout import GESTURE_WIDTH, PARTS
from omniges.sampling.decoding import PieceDecoder
from omniges.sampling.generate import generate_clips
from omniges.sampling.speech import Speech
from omniges.sampling.streaming import GestureStream
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig


@pytest.fixture(scope="module")
def net():
    return toys.jitter(toys.model(), scale=0.5).eval()


def part_of(whole, start, stop):
    return Speech(
        clip=whole.clip,
        wavlm=whole.wavlm[start:stop],
        mfcc=whole.mfcc[start:stop],
        text=whole.text,
        text_span_s=whole.text_span_s - start / 30,
        speaker=whole.speaker,
    )


def streamed(stream, whole):
    """Feed features as they'd arrive: the end is known only when a window reaches beyond it."""
    blocks = []
    while (wanted := stream.wanted()) is not None and wanted[1] < whole.n_frames:
        blocks.append(stream.advance(part_of(whole, *wanted)))
    while rest := stream.wanted(whole.n_frames):
        blocks.append(stream.advance(part_of(whole, *rest), whole.n_frames))
    return blocks


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 101, 160])
@pytest.mark.parametrize("sizes", [(32, 8, 4), (16, 8, 4), (32, 4, 0)])
def test_what_is_streamed_is_what_is_made_of_the_whole_clip(net, frames, sizes):
    window, overlap, lookahead = sizes
    options = toys.sampling_params(
        window_frames=window, overlap_frames=overlap, lookahead_frames=lookahead, steps=2
    )
    whole, tokenizer = speech(frames=frames), toys.ToyTokenizer()
    want = generate_clips(net, tokenizer, [whole], 5, options)[0]
    blocks = streamed(GestureStream(net, tokenizer, 5, "a", options), whole)
    starts = [0, *torch.tensor([len(b.gesture) for b in blocks]).cumsum(0).tolist()]
    assert [b.start_frame for b in blocks] == starts[:-1]
    torch.testing.assert_close(torch.cat([b.gesture for b in blocks]), want.gesture, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([b.side for b in blocks]), want.side, atol=1e-5, rtol=1e-5)


def test_frames_come_no_later_than_the_stated_delay(net):
    options = toys.sampling_params(window_frames=24, overlap_frames=8, lookahead_frames=8, steps=1)
    stream, whole = GestureStream(net, toys.ToyTokenizer(), 0, "a", options), speech(frames=200)
    lags = []
    while (wanted := stream.wanted()) is not None and wanted[1] < whole.n_frames:
        block = stream.advance(part_of(whole, *wanted))
        if len(block.gesture):
            lags.append(wanted[1] + 1 - block.start_frame)
    assert max(lags) == stream.delay_frames


@pytest.fixture(scope="module")
def tokenizer():
    torch.manual_seed(0)
    quantizer = QuantizerConfig(codes=8, code_dim=6, quantizers=2)
    parts = {
        name: RVQVAE(
            RVQVAEConfig(channels=part.width, width=8, depth=depth, dropout=0.0, quantizer=quantizer)
        ).eval()
        for depth, (name, part) in enumerate(PARTS.items())  # of different reach, so that the widest counts
    }
    return GestureTokenizer(parts, torch.zeros(GESTURE_WIDTH), torch.ones(GESTURE_WIDTH))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_the_decoders_reach_is_the_reach_of_its_gradients(depth):
    """With positive weights nothing cancels, so a latent that has a say shows it."""
    quantizer = QuantizerConfig(codes=8, code_dim=2, quantizers=2)
    model = RVQVAE(RVQVAEConfig(channels=3, width=4, depth=depth, dropout=0.0, quantizer=quantizer))
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.abs_()
    n, middle = 61, 30
    latent = torch.ones(1, n, 2, dtype=torch.float64, requires_grad=True)
    frames = model.double().decode_latent(latent)[0, 4 * middle : 4 * middle + 4]
    (gradient,) = torch.autograd.grad(frames.sum(), latent)
    heard = gradient[0].abs().sum(-1).nonzero()[:, 0]
    assert (middle - heard[0], heard[-1] - middle) == (model.decoder_context, model.decoder_context)


@pytest.mark.parametrize("sizes", [[1] * 70, [3, 50, 17], [70]])
def test_pieces_decode_to_the_whole(tokenizer, sizes):
    latents = torch.randn(70, 4, 6)
    want = tokenizer.decode_latents(latents[None])[0]
    decoder, got, done = PieceDecoder(tokenizer), [], 0
    for size in sizes:
        done += size
        got.append(decoder.push(latents[done - size : done], last=done == 70))
    torch.testing.assert_close(torch.cat(got), want, atol=1e-5, rtol=1e-5)


def test_a_decoder_that_waits_less_is_exact_when_it_foresees_rightly(tokenizer):
    latents = torch.randn(70, 4, 6)
    want = tokenizer.decode_latents(latents[None])[0]
    decoder = PieceDecoder(tokenizer, ahead=0)
    got = [decoder.push(latents[i : i + 5], latents[i + 5 :], last=i == 65) for i in range(0, 70, 5)]
    assert [len(piece) for piece in got] == [20] * 14
    torch.testing.assert_close(torch.cat(got), want, atol=1e-5, rtol=1e-5)
