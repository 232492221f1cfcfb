import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
import textgrid
from typer.testing import CliRunner

import omniges.api as omniges_api
from omniges.api.hearing import spread_words
from omniges.api.models import find_model
from omniges.config import load_params
from omniges.data.beat2 import read_motion
from omniges.errors import CheckpointError, DataError
from omniges.files import read_json
from omniges.motion.cleanup import clean
from omniges.types import Word


def test_motion_lasts_as_long_as_the_sound_and_repeats_for_a_seed(omniges, tone):
    one, again, other = (omniges.generate(tone, seed=seed) for seed in (3, 3, 4))
    assert one.motion.n_frames == 90  # 3 s at 30 fps
    np.testing.assert_array_equal(one.motion.poses, again.motion.poses)
    assert np.abs(one.motion.poses - other.motion.poses).max() > 1e-4
    assert np.isfinite(one.motion.poses).all()
    assert np.isfinite(one.motion.trans).all()


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_any_rate_and_channel_count_is_read(omniges, tone, tmp_path, rate):
    other = soxr.resample(tone, 16_000, rate)
    sf.write(tmp_path / "stereo.flac", np.stack([other, other], axis=1), rate)
    take = omniges.generate(tmp_path / "stereo.flac")
    assert take.name == "stereo"
    assert abs(take.motion.n_frames - 90) <= 1


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(16_000, np.float32),
        np.random.default_rng(0).normal(0, 0.3, 16_000).astype(np.float32),
        np.sign(np.sin(np.arange(16_000) * 0.05)).astype(np.float32),
        sum(np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000) for hz in (220, 277, 330)).astype(np.float32),
    ],
    ids=["silence", "noise", "clipped", "music"],
)
def test_what_is_no_speech_still_gives_finite_motion(omniges, wave):
    motion = omniges.generate(wave).motion
    assert motion.n_frames == 30
    assert np.isfinite(motion.poses).all()


def test_words_speaker_and_options_reach_the_model(omniges, tone):
    words = [Word(text="hello", start_s=0.1, end_s=0.6), Word(text="there", start_s=1.6, end_s=2.0)]
    take = omniges.generate(tone, transcript=words, speaker=2, steps=1)
    assert (take.notes["words"], take.notes["speaker"], take.notes["sampling"]["steps"]) == (2, 2, 1)
    with pytest.raises(DataError, match=r"speaker 9: the model knows \[1, 2\]"):
        omniges.generate(tone, speaker=9)
    with pytest.raises(DataError, match="unknown option"):
        omniges.generate(tone, stepz=1)
    with pytest.raises(DataError, match="steps"):
        omniges.generate(tone, steps=500)


def test_words_without_times_are_spread_over_the_loud_parts_only():
    wave = np.zeros(64_000, np.float32)  # 4 s: loud in 1..2 s and 3..4 s
    wave[16_000:32_000] = wave[48_000:] = 0.5
    words = spread_words(["abc", "abc", "abc", "abc"], wave)
    np.testing.assert_allclose([w.start_s for w in words], [1.0, 1.5, 3.0, 3.5], atol=1e-6)
    np.testing.assert_allclose([w.end_s for w in words], [1.5, 2.0, 3.5, 4.0], atol=1e-6)
    assert spread_words([], wave) == []


def test_words_after_the_sounds_end_are_left_out_and_said(omniges, tone, tmp_path, caplog):
    grid = textgrid.TextGrid(maxTime=9)
    tier = textgrid.IntervalTier("words", maxTime=9)
    for start, stop, word in ((0.5, 1.0, "one"), (2.5, 3.5, "two"), (8.0, 9.0, "three")):
        tier.add(start, stop, word)
    grid.append(tier)
    grid.write(tmp_path / "a.TextGrid")
    heard = omniges.hear(tone, transcript=tmp_path / "a.TextGrid")
    assert [(w.text, w.end_s) for w in heard.words] == [("one", 1.0), ("two", 3.0)]
    assert "1 of 3 words begin after the sound's end at 3.00 s" in caplog.text


def test_shipped_options_are_those_of_the_shipped_parameters():
    """A wheel carries no params.yaml, so the options stand in two places; this holds them together."""
    shipped = read_json(Path(omniges_api.__file__).with_name("sampling.json"))
    assert shipped == load_params(Path(__file__).parents[2] / "params.yaml").sampling.model_dump()


def faulty(tmp_path, kind):
    path = tmp_path / "speech.wav"
    if kind == "empty file":
        path.touch()
    elif kind == "no samples":
        sf.write(path, np.zeros(0, np.float32), 16_000)
    elif kind == "text":
        path.write_text("this is not sound\n" * 50)
    elif kind == "too short":
        sf.write(path, np.zeros(800, np.float32), 16_000)
    elif kind == "folder without sound":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind", ["missing", "empty file", "no samples", "text", "too short", "folder without sound"]
)
def test_what_cannot_be_heard_is_refused_with_its_name(model_folder, tmp_path, kind):
    result = run("generate", faulty(tmp_path, kind), "-o", tmp_path / "out", "--model", model_folder)
    assert isinstance(result.exception, DataError)
    assert "speech" in str(result.exception)
    assert "params.yaml" not in str(result.exception)  # nobody has a corpus here
    assert not (tmp_path / "out" / "speech").exists()


def test_a_missing_or_incomplete_model_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="make demo"):
        find_model(None)
    (tmp_path / "half" / "a2g").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="encoders, tokenizers"):
        find_model(tmp_path / "half")


def test_a_folder_is_generated_file_by_file_and_faults_are_reported_at_the_end(model_folder, tone, tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    sf.write(sounds / "good.wav", tone[:16_000], 16_000)
    (sounds / "bad.wav").write_text("no sound")
    out = tmp_path / "out"
    result = run(
        "generate",
        sounds,
        "-o",
        out,
        "--model",
        model_folder,
        "-f",
        "npz,bvh,json",
        "--variants",
        2,
        "--seed",
        5,
    )
    assert "bad.wav" in str(result.exception)
    names = {path.name for path in (out / "good").iterdir()}
    assert names >= {f"seed{seed}.{kind}" for seed in (5, 6) for kind in ("npz", "bvh", "json")}
    assert read_motion(out / "good" / "seed5.npz").n_frames == 30
    assert json.loads((out / "good" / "seed6.notes.json").read_text())["seed"] == 6
    info = sf.info(out / "good" / "speech.wav")
    assert (info.samplerate, info.frames) == (16_000, 16_000)


def test_clean_up_is_what_was_asked_for_and_is_noted(omniges, model_folder, tone, tmp_path):
    plain, cleaned = omniges.generate(tone), omniges.generate(tone, clean=("feet",))
    assert plain.notes["clean"] == {}
    assert set(cleaned.notes["clean"]) == {"feet"}
    want = clean(plain.motion, ["feet"])[0]
    np.testing.assert_array_equal(cleaned.motion.poses, want.poses)
    sf.write(tmp_path / "voice.wav", tone[:16_000], 16_000)
    command = (
        "generate",
        tmp_path / "voice.wav",
        "-o",
        tmp_path / "out",
        "--model",
        model_folder,
        "-f",
        "npz",
    )
    assert run(*command, "--clean", "drift,feet").exception is None
    noted = read_json(tmp_path / "out" / "voice" / "seed0.notes.json")
    assert set(noted["clean"]) == {"drift", "feet"}
    assert "hands" in str(run(*command, "--clean", "hands").exception)


def test_a_folder_of_transcripts_serves_a_folder_of_recordings(model_folder, tone, tmp_path, caplog):
    for name in ("sounds", "texts"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        sf.write(tmp_path / "sounds" / f"{name}.wav", tone[:16_000], 16_000)
    (tmp_path / "texts" / "one.txt").write_text("hello you")
    command = ("generate", tmp_path / "sounds", "-o", tmp_path / "out", "--model", model_folder, "-f", "npz")
    with caplog.at_level("WARNING", "omniges"):
        assert run(*command, "--transcript", tmp_path / "texts").exception is None
    words = {name: read_json(tmp_path / "out" / name / "words.json") for name in ("one", "two")}
    assert [word["text"] for word in words["one"]] == ["hello", "you"]
    assert words["two"] == []
    assert "two.TextGrid" in caplog.text
    assert "folder too" in str(run(*command, "--transcript", tmp_path / "texts" / "one.txt").exception)


@pytest.mark.slow
def test_every_format_and_the_page_come_out_of_one_command(model_folder, tone, tmp_path):
    sf.write(tmp_path / "voice.wav", tone, 16_000)
    (tmp_path / "words.txt").write_text("hello out there")
    out = tmp_path / "out"
    command = ("generate", tmp_path / "voice.wav", "-o", out, "--model", model_folder)
    result = run(*command, "-f", "all", "--transcript", tmp_path / "words.txt", "--height", 160)
    assert result.exception is None
    sizes = {path.name: path.stat().st_size for path in (out / "voice").iterdir()}
    assert all(sizes[f"seed0.{kind}"] > 1000 for kind in ("npz", "bvh", "glb", "json", "mp4", "html"))
    assert [word["text"] for word in json.loads((out / "voice" / "words.json").read_text())] == [
        "hello",
        "out",
        "there",
    ]
    assert run("view", out / "voice", "--no-open").exception is None
    assert "seed0" in (out / "voice" / "view.html").read_text()
    mistaken = run("view", out, "--no-open").exception
    assert isinstance(mistaken, DataError)
    assert "Did you mean" in str(mistaken)


def run(*arguments):
    import typer

    from omniges.cli.generate import generate
    from omniges.cli.view import view

    app = typer.Typer()
    app.command("generate")(generate)
    app.command("view")(view)
    return CliRunner().invoke(app, [str(a) for a in arguments])
