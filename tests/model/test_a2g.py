from dataclasses import replace

import a2g_toys as toys
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from omniges.errors import CheckpointError, ShapeError
from omniges.model.a2g import UNKNOWN_SPEAKER
from omniges.model.config import ModelConfig

PAST = torch.arange(8)[None] < 2


@pytest.fixture(scope="module")
def net():
    return toys.jitter(toys.model(), scale=0.5).eval()


def states(net, heard, tokens=8, seed=1):
    g = torch.Generator().manual_seed(seed)
    x_t, t = torch.randn(2, tokens, 1660, generator=g), torch.rand(2, generator=g)
    return net.states(x_t, t, PAST.expand(2, -1)[:, :tokens], net.listen(heard))


def test_padded_frames_hold_no_power(net):
    heard = toys.heard(frames=32)
    frames = heard.frames.clone()
    frames[:, 22:] = False
    padded = replace(heard, frames=frames)
    garbage = replace(padded, wavlm=heard.wavlm.clone(), mfcc=heard.mfcc.clone())
    garbage.wavlm[:, 22:], garbage.mfcc[:, 22:] = 50.0, -50.0
    torch.testing.assert_close(states(net, garbage)[:, :5], states(net, padded)[:, :5], atol=1e-4, rtol=1e-4)


def test_absent_text_equals_withheld_text(net):
    heard = toys.heard(words=3)
    none = replace(
        heard, text=heard.text[:, :0], text_mask=heard.text_mask[:, :0], text_span_s=heard.text_span_s[:, :0]
    )
    withheld = replace(heard, text_mask=torch.zeros_like(heard.text_mask))
    torch.testing.assert_close(states(net, none), states(net, withheld), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(states(net, heard), states(net, none), atol=1e-3)


def test_absent_text_costs_nothing():
    """No word, no product: nothing that the text stream owns is multiplied."""
    net = toys.model()
    heard = toys.heard(words=3)
    none = replace(
        heard, text=heard.text[:, :0], text_mask=heard.text_mask[:, :0], text_span_s=heard.text_span_s[:, :0]
    )
    called = []
    for layer in net.transformer.layers:
        for module in layer.streams["text"].modules():
            module.register_forward_hook(lambda *_: called.append(1))
    states(net, none)
    assert not called
    with FlopCounterMode(display=False) as silent:
        net.listen(none)
    with FlopCounterMode(display=False) as told:
        net.listen(heard)
    words = 2 * 3 * 2 * toys.TEXT * net.config.sizes.text_width  # 2 rows of 3 words, 2 operations a weight
    assert told.get_total_flops() - silent.get_total_flops() == words
    states(net, heard)
    assert called


def of_words(net):
    return {n for n, _ in net.named_parameters() if ".text." in n or n.startswith(("text_in", "said_in"))}


def test_a_model_without_a_text_stream_reads_no_word():
    net, wordless = toys.model(), toys.model(text_width=0).eval()
    assert of_words(net)
    assert not of_words(wordless)
    heard = toys.heard(words=3)
    torch.testing.assert_close(states(wordless, heard), states(wordless, heard.without_words()))
    # What is left of a model that hears no words is the same network.
    own = net.state_dict()
    wordless.load_state_dict({name: own[name] for name in wordless.state_dict()})
    torch.testing.assert_close(states(wordless, heard), states(net.eval(), heard.without_words()))


def test_without_words_no_weight_of_the_text_is_read():
    """Nor does one get a gradient, which the optimizer would keep averages of."""
    net, heard = toys.model(), toys.heard(words=0)
    states(net, heard).sum().backward()
    of_text = of_words(net)
    assert of_text
    assert not [name for name, p in net.named_parameters() if name in of_text and p.grad is not None]


@pytest.fixture(scope="module")
def blind():
    """Its audio and words don't read the gesture."""
    return toys.jitter(toys.model(context_reads_gesture=False), scale=0.5).eval()


def test_context_that_does_not_read_the_gesture_is_the_same_along_the_flow(blind, net):
    conditions = blind.listen(toys.heard())
    kept = blind.project(conditions)
    assert net.project(net.listen(toys.heard())).memory is None
    past = PAST.expand(2, -1)
    for t in (torch.zeros(2), torch.tensor([0.3, 0.9])):
        x_t = torch.randn(2, 8, 1660)
        assert torch.equal(
            blind.states(x_t, t, past, conditions, kept), blind.states(x_t, t, past, conditions)
        )
        # What it answers hangs on what is heard, on what is said and on the speaker.
        deaf = blind.project(conditions.without_audio().without_text())
        assert not torch.allclose(
            blind.states(x_t, t, past, conditions, replace(kept, memory=deaf.memory)),
            blind.states(x_t, t, past, conditions, kept),
            atol=1e-3,
        )


@pytest.mark.parametrize("words", [0, 3])
def test_every_weight_of_such_context_learns(words):
    """Data parallel training would wait for a weight without a gradient."""
    net, heard = toys.model(context_reads_gesture=False), toys.heard(words=words)
    toys.jitter(net)
    states(net, heard).square().sum().backward()
    unread = {n for n, p in net.named_parameters() if p.grad is None and not n.startswith("code_head")}
    assert unread == {"side_head.weight", "side_head.bias"} | (set() if words else of_words(net))


@pytest.mark.parametrize("reads", [True, False])
def test_withheld_audio_leaves_no_trace_of_it(reads, net, blind):
    net = net if reads else blind
    one, other = net.listen(toys.heard(seed=0)), net.listen(toys.heard(seed=5))
    x_t, t, past = torch.randn(2, 8, 1660), torch.rand(2), PAST.expand(2, -1)
    other = replace(other, text=one.text, text_time_s=one.text_time_s)
    deaf = net.states(x_t, t, past, one.without_audio().without_text())
    torch.testing.assert_close(
        deaf, net.states(x_t, t, past, other.without_audio().without_text()), atol=1e-5, rtol=1e-5
    )
    assert not torch.allclose(deaf, net.states(x_t, t, past, one), atol=1e-2)


def test_a_batch_is_its_rows(net):
    heard = toys.heard()
    x_t, t = torch.randn(2, 8, 1660), torch.rand(2)
    both = net.states(x_t, t, PAST.expand(2, -1), net.listen(heard))
    for row in range(2):
        alone = type(heard)(**{k: v[row : row + 1] for k, v in vars(heard).items()})
        torch.testing.assert_close(
            net.states(x_t[row : row + 1], t[row : row + 1], PAST, net.listen(alone))[0],
            both[row],
            atol=1e-4,
            rtol=1e-4,
        )


def test_nobody_in_particular_has_an_embedding_of_its_own(net):
    heard = toys.heard()
    unknown = replace(heard, speaker=torch.full_like(heard.speaker, UNKNOWN_SPEAKER))
    spoken = net.listen(unknown).speaker
    assert torch.equal(spoken[0], net.speaker.weight[2])
    assert not torch.allclose(states(net, unknown), states(net, heard), atol=1e-3)


def test_a_given_token_counts_as_clean(net):
    """At flow time 1, where noise and gesture are one, being given changes nothing; before, it does."""
    conditions = net.listen(toys.heard())
    x_t, none, past = torch.randn(2, 8, 1660), torch.zeros(2, 8, dtype=torch.bool), PAST.expand(2, -1)
    early, end = torch.zeros(2), torch.ones(2)
    assert not torch.allclose(
        net.states(x_t, early, none, conditions), net.states(x_t, early, past, conditions), atol=1e-3
    )
    torch.testing.assert_close(
        net.states(x_t, end, none, conditions), net.states(x_t, end, past, conditions), atol=1e-5, rtol=1e-5
    )


def test_wrong_shapes_are_named(net):
    heard = toys.heard()
    with pytest.raises(ShapeError, match="mfcc"):
        net.listen(replace(heard, mfcc=heard.mfcc[..., :3]))
    with pytest.raises(ShapeError, match="multiple of 4"):
        net.listen(toys.heard(frames=30))


def test_the_config_survives_json(net):
    import json

    assert ModelConfig.from_json(json.loads(json.dumps(net.config.to_json()))) == net.config


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"layers": None}, "layers: Field required"), ({"layers": 0}, "layers: Input should")],
)
def test_a_config_of_another_version_is_refused_in_words(change, problem):
    value = toys.model().config.to_json()
    sizes = {k: v for k, v in {**value["sizes"], **change}.items() if v is not None}
    with pytest.raises(CheckpointError, match=rf"{problem}.*another version: train again"):
        ModelConfig.from_json({**value, "sizes": sizes})


def test_the_gate_can_choose_either_signal():
    fusion = toys.model(context_layers=0).fusion
    fusion.layers = torch.nn.ModuleList()
    torch.nn.init.zeros_(fusion.residual.weight)
    torch.nn.init.zeros_(fusion.residual.bias)
    heard, time_s = toys.heard(), torch.arange(32.0)[None].expand(2, -1)
    for bias, signal in ((60.0, fusion.wavlm_in(heard.wavlm)), (-60.0, fusion.mfcc_in(heard.mfcc))):
        torch.nn.init.zeros_(fusion.gate.weight)
        torch.nn.init.constant_(fusion.gate.bias, bias)
        torch.testing.assert_close(fusion(heard.wavlm, heard.mfcc, time_s, None), fusion.norm(signal))
