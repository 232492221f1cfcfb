from dataclasses import replace

import a2g_toys as toys
import pytest
import torch

from omniges.errors import DataError
from omniges.model.a2g import A2G
from omniges.sampling.generate import generate_clips, generate_gesture
from omniges.sampling.progress import clip_generator
from omniges.sampling.sampler import WindowSampler
from omniges.sampling.speech import Speech, window_of
from omniges.sampling.swap import swapped, swaps_of


@pytest.fixture(scope="module")
def net():
    return toys.jitter(toys.model(), scale=0.5).eval()


def speech(clip="a", frames=101, seed=0, words=6, speaker=0):
    g = torch.Generator().manual_seed(seed)
    starts = torch.rand(words, 1, generator=g).sort(0).values * frames / 30
    return Speech(
        clip=clip,
        wavlm=torch.randn(frames, toys.WAVLM, generator=g),
        mfcc=torch.randn(frames, toys.MFCC, generator=g),
        text=torch.randn(words, toys.TEXT, generator=g),
        text_span_s=torch.cat([starts, starts + 0.3], 1),
        speaker=speaker,
    )


@pytest.mark.parametrize("frames", [1, 3, 31, 32, 33, 101, 128])
@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_any_length_comes_back_exactly_as_long(net, frames, solver):
    made = generate_clips(
        net, toys.ToyTokenizer(), [speech(frames=frames)], 0, toys.sampling_params(solver=solver)
    )[0]
    assert made.gesture.shape == (frames, 415)
    assert made.side.shape == (frames, 9)
    assert torch.isfinite(made.gesture).all()


def test_a_seed_gives_the_same_bits_and_another_seed_other_motion(net):
    def make(seed):
        return generate_clips(net, toys.ToyTokenizer(), [speech()], seed, toys.sampling_params())[0]

    first, second, other = make(3), make(3), make(4)
    assert torch.equal(first.gesture, second.gesture)
    assert torch.equal(first.side, second.side)
    assert not torch.equal(first.latent, other.latent)


def test_neither_order_nor_company_changes_a_clip(net):
    clips = [speech("a", 101, 0), speech("b", 40, 1, words=0), speech("c", 77, 2)]
    options = toys.sampling_params(audio_guidance=1.5, text_guidance=1.3)
    together = generate_clips(net, toys.ToyTokenizer(), clips, 0, options)
    reversed_ = generate_clips(net, toys.ToyTokenizer(), clips[::-1], 0, options)[::-1]
    for one, other, clip in zip(together, reversed_, clips, strict=True):
        alone = generate_clips(net, toys.ToyTokenizer(), [clip], 0, options)[0]
        torch.testing.assert_close(one.latent, other.latent, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.latent, alone.latent, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.side, alone.side, atol=1e-5, rtol=1e-4)


def test_a_word_that_outlasts_its_clip_says_nothing_to_the_padding():
    net = toys.jitter(toys.model(predicts="latents"), scale=0.5).eval()
    clip, longer = speech("b", 40, 1), speech("a", 101, 0)
    assert clip.text_span_s.max() > 40 / 30
    alone = generate_clips(net, toys.ToyTokenizer(), [clip], 0, toys.sampling_params())[0]
    beside, _ = generate_clips(net, toys.ToyTokenizer(), [clip, longer], 0, toys.sampling_params())
    torch.testing.assert_close(beside.latent, alone.latent, atol=1e-4, rtol=1e-4)


def test_padding_is_computed_only_beside_a_longer_clip(net, monkeypatch):
    heard, listen = [], A2G.listen

    def listening(self, features):
        heard.append(tuple(features.frames.shape))
        return listen(self, features)

    monkeypatch.setattr(A2G, "listen", listening)
    short, longer = speech("a", 41), speech("b", 64)
    generate_clips(net, toys.ToyTokenizer(), [short], 0, toys.sampling_params())
    assert heard == [(1, 32), (1, 24)]  # the last goes on from frame 20
    generate_clips(net, toys.ToyTokenizer(), [short, longer], 0, toys.sampling_params())
    assert heard[2:] == [(4, 32), (1, 24)]  # two windows of both, then the longer one's last


def test_the_noise_is_the_clips_own_not_its_audios(net):
    """The same name and seed with other audio draws the same numbers."""
    assert clip_generator(0, "a").initial_seed() == clip_generator(0, "a").initial_seed()
    assert clip_generator(0, "a").initial_seed() != clip_generator(0, "b").initial_seed()
    assert clip_generator(0, "a").initial_seed() != clip_generator(1, "a").initial_seed()


def test_later_windows_continue_what_the_earlier_ones_settled(net):
    """Motion of the first window doesn't change with audio that comes after it; the windows after it do."""
    first = speech(frames=160)
    later = replace(first, mfcc=first.mfcc.clone(), wavlm=first.wavlm.clone())
    later.mfcc[64:], later.wavlm[64:] = 3.0, -3.0
    options = toys.sampling_params()
    one, two = (generate_clips(net, toys.ToyTokenizer(), [s], 0, options)[0] for s in (first, later))
    assert torch.equal(one.latent[:7], two.latent[:7])
    assert not torch.equal(one.latent[16:], two.latent[16:])


def test_the_public_function_is_the_batch_of_one(net):
    s = speech(frames=50)
    options = toys.sampling_params()
    gesture, side = generate_gesture(
        net, toys.ToyTokenizer(), s.wavlm, s.mfcc, (s.text, s.text_span_s), 0, 50, 9, options, clip="a"
    )
    want = generate_clips(net, toys.ToyTokenizer(), [s], 9, options)[0]
    assert torch.equal(gesture, want.gesture)
    assert torch.equal(side, want.side)
    silent, _ = generate_gesture(net, toys.ToyTokenizer(), s.wavlm, s.mfcc, None, -1, 50, 9, options)
    assert silent.shape == (50, 415)


def test_guidance_of_one_is_no_guidance_and_more_is_more(net):
    plain = generate_clips(net, toys.ToyTokenizer(), [speech()], 0, toys.sampling_params())[0]
    guided = generate_clips(
        net, toys.ToyTokenizer(), [speech()], 0, toys.sampling_params(audio_guidance=3.0)
    )[0]
    assert not torch.equal(plain.latent, guided.latent)


@pytest.mark.parametrize("reads", [True, False])
def test_what_a_window_keeps_along_the_flow_gives_what_computing_it_anew_gives(reads, monkeypatch):
    net = toys.jitter(toys.model(context_reads_gesture=reads), scale=0.5).eval()
    options = toys.sampling_params(audio_guidance=1.5, text_guidance=1.3)

    def make():
        return generate_clips(net, toys.ToyTokenizer(), [speech()], 0, options)[0]

    kept, before = make(), WindowSampler.__init__

    def forgetful(self, *given):
        before(self, *given)
        self.projected = None

    monkeypatch.setattr(WindowSampler, "__init__", forgetful)
    torch.testing.assert_close(kept.latent, make().latent, atol=1e-5, rtol=1e-5)


def test_only_what_the_next_window_continues_is_decoded_and_as_the_whole_would_be(net, monkeypatch):
    options, tokenizer = toys.sampling_params(steps=1), toys.ToyTokenizer()
    part, asked, draw = generate_clips(net, tokenizer, [speech()], 0, options)[0], [], WindowSampler.draw

    def whole(self, past, generators, gumbel, wanted):
        drawn = draw(self, past, generators, gumbel, slice(0, 8))
        asked.append(wanted)
        return replace(drawn, clean=drawn.clean[:, wanted])

    monkeypatch.setattr(WindowSampler, "draw", whole)
    torch.testing.assert_close(generate_clips(net, tokenizer, [speech()], 0, options)[0].latent, part.latent)
    # The first window settles 7 tokens of 8, and the next one continues the last 2 of them.
    assert asked[0] == slice(5, 7)


def test_words_are_those_that_are_said_in_the_window():
    s = replace(speech(words=3), text_span_s=torch.tensor([[0.0, 0.5], [0.9, 1.2], [2.5, 3.0]]))
    heard = window_of([s], [30], 32, 30.0)
    assert heard.text_mask.sum() == 1
    torch.testing.assert_close(heard.text_span_s[0, 0], torch.tensor([-0.1, 0.2]))
    assert torch.equal(heard.text[0, 0], s.text[1])


def test_wrong_speech_is_the_next_clip_of_the_same_speaker():
    clips = [speech("a", 50, 0, speaker=0), speech("b", 20, 1, speaker=1), speech("c", 20, 2, speaker=0)]
    swaps = swaps_of(clips)
    assert [(s.clip, s.heard, s.same_speaker, s.repeats) for s in swaps] == [
        ("a", "c", True, 3),
        ("b", "c", False, 1),
        ("c", "a", True, 1),
    ]
    wrong = swapped(clips, swaps[0], 30.0)
    assert wrong.clip == "a"
    assert wrong.n_frames == 50
    assert torch.equal(wrong.mfcc[40:], clips[2].mfcc[:10])
    assert (wrong.text_span_s[:, 0] < 50 / 30).all()
    with pytest.raises(DataError, match="only clip"):
        swaps_of(clips[:1])
    (lone,) = swaps_of(clips[:1], clips[2:])  # a lone test clip hears one of another split
    assert (lone.clip, lone.heard) == ("a", "c")
