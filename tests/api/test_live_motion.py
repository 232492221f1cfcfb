import io

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from omniges.api.models import live_options
from omniges.data.beat2 import read_motion
from omniges.errors import ConfigError, DataError
from omniges.files import read_json


def pieces(wave, size):
    return [wave[i : i + size] for i in range(0, len(wave), size)]


def joined(blocks, name):
    return np.concatenate([getattr(block.motion, name) for block in blocks])


SHORT = {"window_frames": 64, "overlap_frames": 16, "lookahead_frames": 8}
FAST = {"window_frames": 32, "overlap_frames": 16, "lookahead_frames": 8, "steps": 1, "context_s": 1.5}


@pytest.fixture
def talk(tone):
    return np.concatenate([tone, 0.5 * tone])  # 6 s


def test_blocks_follow_each_other_whatever_the_chunks(omniges, talk):
    runs = [list(omniges.stream(pieces(talk, size), **FAST)) for size in (160, 4_001, len(talk))]
    for blocks in runs:
        starts = np.cumsum([0, *(block.motion.n_frames for block in blocks)])
        assert [block.start_frame for block in blocks] == starts[:-1].tolist()
        assert starts[-1] == 180
        for name in ("poses", "trans", "expressions"):
            np.testing.assert_array_equal(joined(blocks, name), joined(runs[0], name))
    assert len(runs[0]) > 10
    assert np.isfinite(joined(runs[0], "poses")).all()


def test_a_frame_is_there_before_its_delay_has_passed(omniges, talk):
    stream = omniges.stream(pieces(talk, 160), decoder_ahead_frames=0, **FAST)
    blocks = list(stream)
    lags = [block.heard_s - block.start_frame / omniges.fps for block in blocks]
    assert max(lags) <= stream.delay_s + 0.01  # a chunk of 10 ms
    assert stream.delay_s == pytest.approx(33 / 30)
    assert blocks[0].heard_s < 1.2  # the sound lasts 6 s


def test_a_live_voice_is_followed_by_about_a_second_whatever_the_model_was_trained_on(omniges):
    assert live_options(128) == live_options(64)
    assert set(live_options(16)) == {"decoder_ahead_frames"}  # its own window is smaller already
    stream = omniges.stream([], **live_options(128))
    assert stream.delay_s == pytest.approx(33 / 30)  # a window of 32 frames, and the frame after it
    assert stream.options.window_frames == 32


def test_later_sound_never_changes_what_was_given_out(omniges, talk):
    other = talk.copy()
    other[48_000:] = np.random.default_rng(0).normal(0, 0.2, 48_000)
    one, two = (list(omniges.stream(pieces(wave, 800), **FAST)) for wave in (talk, other))
    early = [block for block in one if block.heard_s <= 3.0]
    assert early
    for a, b in zip(early, two, strict=False):
        np.testing.assert_array_equal(a.motion.poses, b.motion.poses)
    assert np.abs(joined(one, "poses") - joined(two, "poses")).max() > 1e-4


def test_one_window_of_sound_gives_what_generate_gives(omniges, tone):
    """Both hear all of it at once, so nothing differs, the walk through the room included."""
    wave = tone[:30_000]
    want = omniges.generate(wave, seed=4, name="speech", **SHORT).motion
    blocks = list(omniges.stream(pieces(wave, 700), seed=4, **SHORT))
    for name in ("poses", "trans", "expressions"):
        np.testing.assert_allclose(joined(blocks, name), getattr(want, name), atol=2e-5)


def test_the_body_walks_on_from_block_to_block(omniges, talk):
    trans = joined(list(omniges.stream(pieces(talk, 1600), **FAST)), "trans")[:, [0, 2]]
    steps = np.abs(np.diff(trans, axis=0)).max(1)
    assert steps.max() < 10 * np.median(steps)


@pytest.mark.parametrize(
    ("chunks", "options", "message"),
    [
        ([], {}, "ended at 0.000 s"),
        ([np.zeros(100, np.float32)], {}, "at least"),
        ([np.zeros((2, 100), np.float32)], {}, "mono"),
        ([np.full(100, np.nan, np.float32)], {}, "finite"),
        ([], {"speaker": 9}, "speaker 9"),
        ([], {"context_s": 1.0}, "context_s"),
        ([], {"stepz": 1}, "unknown option"),
    ],
)
def test_what_cannot_be_streamed_is_refused(omniges, chunks, options, message):
    with pytest.raises(DataError, match=message):
        list(omniges.stream(chunks, **options))


def test_the_decoder_waits_for_whole_codes(omniges):
    with pytest.raises(ConfigError, match="decoder_ahead_frames"):
        omniges.stream([], decoder_ahead_frames=3)


def generate_from(stdin, *arguments):
    import typer

    from omniges.cli.generate import generate

    app = typer.Typer()
    app.command()(generate)
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


@pytest.mark.parametrize("raw", [False, True])
def test_a_pipe_becomes_a_take(model_folder, tone, tmp_path, raw):
    samples = (tone * 32_767).astype("<i2")
    stdin = io.BytesIO()
    sf.write(stdin, samples, 16_000, subtype="PCM_16", format="WAV")
    stdin = samples.tobytes() if raw else stdin.getvalue()
    command = ("-", "-o", tmp_path, "--model", model_folder, "-f", "npz", "--steps", 1)
    result = generate_from(stdin, *command, *(("--raw-hz", 16_000) if raw else ()))
    assert result.exception is None
    assert read_motion(tmp_path / "live" / "seed0.npz").n_frames == 90
    assert sf.info(tmp_path / "live" / "speech.wav").frames == len(tone)
    notes = read_json(tmp_path / "live" / "seed0.notes.json")
    assert notes["delay_s"] == pytest.approx(33 / 30)
    assert (notes["sampling"]["window_frames"], notes["sampling"]["steps"]) == (32, 1)
    refused = generate_from(stdin, *command, "--variants", 2)
    assert isinstance(refused.exception, DataError)
