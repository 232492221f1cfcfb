import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import textgrid
from ruamel.yaml import YAML

from omniges.corpus.clips import make_clips
from omniges.corpus.speakers import planned_clips
from omniges.corpus.tree import clip_bytes, split_bytes
from omniges.files import sha256_tree

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clip(corpus_params, whole):
    return next(make_clips(corpus_params, whole))


@pytest.fixture(scope="module")
def files(clip):
    return clip_bytes(clip)


def test_names_and_split_are_beat2s(corpus_params, files):
    assert sorted(files) == [
        "sem/1_ada_0_1_1.txt",
        "smplxflame_30/1_ada_0_1_1.npz",
        "textgrid/1_ada_0_1_1.TextGrid",
        "wave16k/1_ada_0_1_1.wav",
    ]
    csv = split_bytes((name, split) for name, _, _, split in planned_clips(corpus_params))
    assert csv.startswith(
        b"id,type\r\n1_ada_0_1_1,train\r\n1_ada_0_2_2,val\r\n1_ada_0_3_3,test\r\n2_ben_0_1_1,train\r\n"
    )
    assert csv.count(b"\n") == csv.count(b"\r\n") == 7


def test_motion_has_beat2s_keys_and_types(files):
    with np.load(io.BytesIO(files["smplxflame_30/1_ada_0_1_1.npz"]), allow_pickle=False) as data:
        found = {key: (data[key].shape, data[key].dtype.str[1:]) for key in data.files}
        assert found["poses"] == ((180, 165), "f4")
        assert found["expressions"] == ((180, 100), "f8")
        assert found["trans"] == ((180, 3), "f8")
        assert found["betas"] == ((300,), "f4")
        scalars = {key: data[key].item() for key in ("model", "gender", "mocap_frame_rate")}
        assert scalars == {"model": "smplx2020", "gender": "neutral", "mocap_frame_rate": 30}
        assert set(found) == {"poses", "expressions", "trans", "betas", *scalars}
        assert all(np.isfinite(data[key]).all() for key in ("poses", "expressions", "trans", "betas"))


def test_real_clip_has_the_same_keys_and_types(beat2_sample, files):
    with (
        np.load(io.BytesIO(files["smplxflame_30/1_ada_0_1_1.npz"])) as ours,
        np.load(beat2_sample / "smplxflame_30" / "2_scott_0_1_1.npz") as real,
    ):
        assert set(ours.files) == set(real.files)
        for key in ("poses", "expressions", "trans", "betas"):
            assert ours[key].dtype == real[key].dtype
            assert ours[key].shape[1:] == real[key].shape[1:]


def test_wave_is_16_khz_pcm_and_outlasts_the_motion(files, clip):
    info = soundfile.info(io.BytesIO(files["wave16k/1_ada_0_1_1.wav"]))
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
    assert info.duration - clip.motion.duration_s == pytest.approx(0.56)


def test_textgrid_is_what_was_spoken(files, clip, tmp_path):
    path = tmp_path / "clip.TextGrid"
    path.write_bytes(files["textgrid/1_ada_0_1_1.TextGrid"])
    grid = textgrid.TextGrid.fromFile(str(path))
    assert [tier.name for tier in grid.tiers] == ["words", "phones"]
    speech = clip.talk.speech
    wanted = (
        [(w.text, w.start_s, w.end_s) for w in speech.words],
        [(p.label, p.start_s, p.end_s) for p in speech.phones],
    )
    for tier, spans in zip(grid.tiers, wanted, strict=True):
        assert tier.minTime == 0
        assert tier.maxTime == pytest.approx(6.56)
        edges = [(float(i.minTime), float(i.maxTime)) for i in tier]
        assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))
        heard = [(i.mark, float(i.minTime), float(i.maxTime)) for i in tier if i.mark]
        assert [text for text, *_ in heard] == [text for text, *_ in spans]
        np.testing.assert_allclose([times for _, *times in heard], [times for _, *times in spans], atol=1e-5)


def test_semantic_rows_add_up(files):
    rows = [line.split("\t") for line in files["sem/1_ada_0_1_1.txt"].decode().splitlines()]
    assert rows
    for label, start, end, length, score, word in rows:
        assert float(start) + float(length) == pytest.approx(float(end), abs=2e-3)
        assert float(length) > 0
        assert 0 < float(score) <= 1
        assert label.startswith("01") == (word == "")


def test_two_processes_write_the_same_bytes(tmp_path):
    yaml = YAML()
    with (ROOT / "params.yaml").open() as stream:
        values = yaml.load(stream)
    values["corpus"].update(
        {"make": True, "speakers": 1, "train_clips": 1, "val_clips": 1, "test_clips": 1, "clip_s": 4.0}
    )
    values["data"]["root"], values["data"]["name"] = "data/raw/twice", "twice"
    running, digests = [], []
    code = (
        "from omniges.config import load_params\nfrom omniges.workspace import Workspace\n"
        "from omniges.corpus.stage import run\np = load_params()\nrun(p, Workspace.of(p))"
    )
    for number in ("1", "2"):
        place = tmp_path / number
        place.mkdir()
        with (place / "params.yaml").open("w") as stream:
            yaml.dump(values, stream)
        settings = {**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": str(ROOT)}
        running.append((place, subprocess.Popen([sys.executable, "-c", code], cwd=place, env=settings)))
    for place, process in running:
        assert process.wait() == 0
        digests.append((sha256_tree(place / "data" / "raw"), sha256_tree(place / "data" / "twice")))
    assert digests[0] == digests[1]
