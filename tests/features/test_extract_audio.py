"""The three per-clip stages on a small tree: what they write, and which clips they give up."""

import shutil

import numpy as np
import pytest
import soundfile

from omniges.data import extract_audio
from omniges.data.clips import planned
from omniges.data.table import read_table, read_text_table
from omniges.data.textgrids import read_words
from omniges.files import sha256_tree
from omniges.workspace import Workspace

GOOD, SHORT = "1_ann_0_1_1", "1_ann_0_2_2"
BAD = {
    "1_bad_0_1_1": "NaN",
    "1_bad_0_2_2": "one sample",
    "1_bad_0_3_3": "missing",
    "1_bad_0_4_4": "below WavLM's frame",
}
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
2
<exists>
1
"IntervalTier"
"words"
0
2
3
0
0.5
""
0.5
0.8
"hello"
0.8
1.5
"you"
"""


def wave(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_encoders):
    """Parameters and workspace of a tree with a good clip, one shorter than a chunk, and four bad ones."""
    monkeypatch.chdir(tmp_path)
    for folder in ("smplxflame_30", "wave16k", "textgrid"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
    ids = [GOOD, SHORT, *BAD]
    rows = "".join(f"{clip},train\r\n" for clip in ids)
    (tmp_path / "raw" / "train_test_split.csv").write_text("id,type\r\n" + rows)
    broken = wave(16_000)
    broken[100] = np.nan
    sounds = [wave(350_000), wave(20_000), broken, wave(1), None, wave(399)]
    for clip, sound in zip(ids, sounds, strict=True):
        if sound is not None:
            soundfile.write(tmp_path / "raw" / "wave16k" / f"{clip}.wav", sound, 16_000, subtype="FLOAT")
        (tmp_path / "raw" / "textgrid" / f"{clip}.TextGrid").write_text(TEXTGRID)
    shipped, encoders = tiny_encoders
    data = shipped.data.model_copy(update={"name": "few", "root": "raw"})
    params = shipped.model_copy(update={"data": data})
    W = Workspace.of(params)
    shutil.copytree(encoders, W.encoders)
    return params, W


@pytest.mark.parametrize(("name", "width"), [("mfcc", 128), ("wavlm", 768)])
def test_good_clips_are_written_and_bad_ones_named(place, name, width):
    params, W = place
    faults = getattr(extract_audio, name)(params, W, [GOOD, *BAD, SHORT])
    assert [fault.clip for fault in faults] == list(BAD)
    for part, fault in zip(("NaN", "1 samples", "no such file", "399 samples"), faults, strict=True):
        assert part in fault.problem
        assert fault.remedy
    for clip, frames in ((GOOD, 656), (SHORT, 37)):  # floor(samples / 16000 * 30)
        table = read_table(W.feature(name) / f"{clip}.parquet")
        assert table.values.shape == (frames, width)
        assert table.values.dtype == np.float16
        assert (table.clip, table.feature, table.fps) == (clip, name, 30.0)
        assert np.isfinite(table.values).all()
        assert table.values.astype(np.float32).std() > 0.1
    assert {path.stem for path in W.feature(name).glob("*.parquet")} == {GOOD, SHORT}


def test_text_holds_every_word_with_its_times(place):
    params, W = place
    (W.raw / "textgrid" / f"{SHORT}.TextGrid").write_text(TEXTGRID[:-10])
    (fault,) = extract_audio.text(params, W, [GOOD, SHORT])
    assert fault.clip == SHORT
    table = read_text_table(W.feature("text") / f"{GOOD}.parquet")
    assert table.values.shape == (2, 1024)
    assert table.words == read_words(W.raw / "textgrid" / f"{GOOD}.TextGrid")
    assert [(w.text, w.start_s, w.end_s) for w in table.words] == [("hello", 0.5, 0.8), ("you", 0.8, 1.5)]


@pytest.mark.parametrize("name", ["mfcc", "wavlm", "text"])
def test_bytes_are_the_same_again(place, name):
    params, W = place
    getattr(extract_audio, name)(params, W, [GOOD, SHORT])
    first = sha256_tree(W.feature(name))
    shutil.rmtree(W.feature(name))
    getattr(extract_audio, name)(params, W, [SHORT])
    getattr(extract_audio, name)(params, W, [GOOD])
    assert sha256_tree(W.feature(name)) == first


def test_no_missing_clip_loads_no_network(place, monkeypatch):
    params, W = place
    shutil.rmtree(W.encoders)
    assert extract_audio.wavlm(params, W, []) == []
    assert extract_audio.text(params, W, []) == []


def test_half_the_frame_rate_gives_half_the_frames(place):
    params, W = place
    at_15 = params.model_copy(update={"data": params.data.model_copy(update={"fps": 15})})
    assert extract_audio.mfcc(at_15, W, [GOOD]) == []
    assert len(read_table(W.feature("mfcc") / f"{GOOD}.parquet").values) == 328


def test_an_unknown_clip_is_a_fault(place):
    params, W = place
    (fault,) = extract_audio.mfcc(params, W, ["9_who_0_1_1"])
    assert "not among the clips" in fault.problem
    assert "9_who_0_1_1" not in {clip.id for clip in planned(params, W)}
