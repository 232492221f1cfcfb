"""Ingest on a whole tree and on every damage that BEAT2 users have met: each is named, none stops the run."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from trees import CLIPS, make_tree, params_for, textgrid, write_clip

from omniges.audio.files import read_wave
from omniges.data import extract, ingest
from omniges.data.clips import planned, read_clips
from omniges.data.motion_table import read_motion_features, read_motion_of
from omniges.errors import DataError
from omniges.files import read_json, sha256_tree
from omniges.workspace import Workspace

CLIP = "1_ann_0_1_1"
OTHERS = sorted(clip for clip, split in CLIPS.items() if clip != CLIP and split != "additional")


def ingested(tree: Path, **data: object) -> Workspace:
    params = params_for(tree, **data)
    W = Workspace.of(params)
    ingest.run(params, W)
    return W


def faults_of(W: Workspace) -> dict[str, dict[str, str]]:
    return {fault["clip"]: fault for fault in read_json(W.ingest / "faults.json")["faults"]}


def ids(W: Workspace) -> list[str]:
    return [clip.id for clip in read_clips(W)]


def change(tree: Path, **arrays: object) -> None:
    path = tree / "smplxflame_30" / f"{CLIP}.npz"
    np.savez(path, **{**dict(np.load(path)), **arrays})  # type: ignore[arg-type]


def cut(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


def wave_path(tree: Path) -> Path:
    return tree / "wave16k" / f"{CLIP}.wav"


def test_a_whole_tree_is_taken_and_trimmed(tree: Path) -> None:
    W = ingested(tree)
    assert ids(W) == sorted([*OTHERS, CLIP])
    assert [clip.n_frames for clip in read_clips(W)] == [100] * 4
    assert read_clips(W)[0].duration_s == pytest.approx(100 / 30)
    assert [clip.id for clip in read_clips(W, "val")] == ["1_ann_0_2_2"]
    assert {clip.speaker for clip in read_clips(W)} == {1, 3}
    found = read_json(W.ingest / "faults.json")
    assert found["faults"] == []
    assert found["summary"]["clips_trimmed"] == 4
    assert "4 clips asked for, 4 usable, 0 left out" in (W.ingest / "report.md").read_text()
    assert "by 0.20 to 0.20 s" in (W.ingest / "report.md").read_text()
    row = pq.read_table(W.ingest / "clips.parquet").to_pylist()[0]
    assert (row["motion_fps"], row["n_words"]) == (30, 7)
    assert row["audio_s"] - row["motion_s"] == pytest.approx(0.2, abs=1e-4)


def test_two_runs_write_equal_bytes(tree: Path) -> None:
    (tree / "wave16k" / f"{CLIP}.wav").unlink()
    first = sha256_tree(ingested(tree).ingest)
    assert sha256_tree(ingested(tree).ingest) == first


def grid_path(tree: Path) -> Path:
    return tree / "textgrid" / f"{CLIP}.TextGrid"


def mp3_stereo(tree: Path) -> None:
    wave, _ = soundfile.read(wave_path(tree))
    upsampled = np.interp(
        np.arange(len(wave) * 44_100 // 16_000) * 16_000 / 44_100, np.arange(len(wave)), wave
    )
    soundfile.write(wave_path(tree), np.stack([upsampled] * 2, 1), 44_100, format="MP3")


def aac(tree: Path) -> None:
    wave, _ = soundfile.read(wave_path(tree), dtype="float32")
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    wave_path(tree).write_bytes(sink.getvalue())


def nan_wave(tree: Path) -> None:
    wave, rate = soundfile.read(wave_path(tree), dtype="float32")
    wave[500] = np.nan
    soundfile.write(wave_path(tree), wave, rate, subtype="FLOAT")


def short_wave(tree: Path) -> None:
    wave, rate = soundfile.read(wave_path(tree))
    soundfile.write(wave_path(tree), wave[: len(wave) // 3], rate)


def nan_motion(tree: Path) -> None:
    poses = np.zeros((100, 165), np.float32)
    poses[50, 7] = np.nan
    change(tree, poses=poses)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "corrupt npz": (lambda t: cut(t / "smplxflame_30" / f"{CLIP}.npz", 0.7), "motion: .*no readable npz"),
    "npz that is a web page": (
        lambda t: (t / "smplxflame_30" / f"{CLIP}.npz").write_text("<html>404"),
        "motion: .*no readable npz",
    ),
    "missing npz": (lambda t: (t / "smplxflame_30" / f"{CLIP}.npz").unlink(), "missing: smplxflame_30/"),
    "NaN in motion": (nan_motion, "poses holds 1 values that are NaN"),
    "wrong shape": (lambda t: change(t, trans=np.zeros((99, 3))), r"trans has shape \(99, 3\)"),
    "missing wav": (lambda t: wave_path(t).unlink(), "missing: wave16k/1_ann_0_1_1.wav"),
    "empty wav": (lambda t: wave_path(t).write_bytes(b""), "audio: .*the file is empty"),
    "NaN in sound": (nan_wave, "audio: .*NaN or infinite samples"),
    "sound of another length": (short_wave, r"audio 1\.1.* s; allowed gap 1\.00 s"),
    "truncated TextGrid": (
        lambda t: cut(grid_path(t), 0.6),
        "text: .*no whole TextGrid",
    ),
    "missing TextGrid": (lambda t: grid_path(t).unlink(), "missing: textgrid/"),
    "TextGrid without words": (
        lambda t: grid_path(t).write_text(textgrid([], 3.0).replace("words", "phon")),
        "text: .*wanted words",
    ),
    "rate too high": (
        lambda t: change(t, mocap_frame_rate=np.array(120)),
        r"100 frames at 120 fps.*; the length fits 30 fps",
    ),
    "rate too low": (
        lambda t: change(t, mocap_frame_rate=np.array(15)),
        r"100 frames at 15 fps.*; the length fits 30 fps",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_clip_is_named_and_left_out(tree: Path, damage: str) -> None:
    do, match = DAMAGES[damage]
    write_clip(tree, CLIP, n_frames=100, fps=30.0)
    do(tree)
    W = ingested(tree)
    assert ids(W) == OTHERS  # no clip is invented in its place, the others stay
    fault = faults_of(W)[CLIP]
    assert fault["action"] == "left out"
    assert re.search(match, fault["problem"])
    assert fault["remedy"]
    report = (W.ingest / "report.md").read_text()
    assert "## Left out: 1\n" in report
    assert CLIP in report
    with pytest.raises(DataError, match=f"1 bad clip.*\n.*{CLIP}"):
        ingested(tree, on_bad_clip="stop")


def test_all_that_is_wrong_with_a_clip_is_said_at_once(tree: Path) -> None:
    change(tree, trans=np.zeros((99, 3)))
    wave_path(tree).write_bytes(b"no sound")
    cut(grid_path(tree), 0.5)
    W = ingested(tree)
    faults = [f["problem"].partition(":")[0] for f in read_json(W.ingest / "faults.json")["faults"]]
    assert faults == ["audio", "motion", "text"]
    assert read_json(W.ingest / "faults.json")["summary"]["clips_left_out"] == 1


@pytest.mark.parametrize(
    ("convert", "match"),
    [(mp3_stereo, r"MP3 of 44100 Hz with 2 channel\(s\)"), (aac, "a container that only FFmpeg reads")],
)
def test_sound_of_another_kind_is_decoded_and_named(
    tree: Path, convert: Callable[[Path], None], match: str
) -> None:
    before = read_wave(wave_path(tree))
    convert(tree)
    W = ingested(tree)
    assert ids(W) == sorted([*OTHERS, CLIP])
    fault = faults_of(W)[CLIP]
    assert fault["action"] == "converted"
    assert re.search(match, fault["problem"])
    assert abs(len(read_wave(wave_path(tree))) - len(before)) < 0.2 * 16_000
    ingested(tree, on_bad_clip="stop")  # nothing was lost, so nothing stops


def test_lines_files_and_excludes_that_fit_nothing_are_named(tree: Path) -> None:
    write_clip(tree, "9_eve_0_1_1", n_frames=40, fps=30.0)
    rows = (tree / "train_test_split.csv").read_bytes()
    bad = ["../../etc/passwd,train", f"{CLIP},test", "1_ann_0_3_3,tset", ",train", "7_zoe_0_1_1,val"]
    (tree / "train_test_split.csv").write_bytes(rows + "".join(f"{line}\r\n" for line in bad).encode())
    W = ingested(tree, exclude=["12_zhao_2_*", "3_bob_0_1_1"])
    assert ids(W) == ["1_ann_0_10_10", CLIP, "1_ann_0_2_2"]
    found = {(f["clip"], f["action"]): f["problem"] for f in read_json(W.ingest / "faults.json")["faults"]}
    assert found[("9_eve_0_1_1", "ignored")].startswith("not in train_test_split.csv: smplxflame_30/")
    assert "line 7: got id '../../etc/passwd'" in found[("../../etc/passwd", "left out")]
    assert "stands twice, as train and as test" in found[(CLIP, "left out")]
    assert "got type 'tset'" in found[("1_ann_0_3_3", "left out")]
    assert "got id ''" in found[("", "left out")]
    assert found[("7_zoe_0_1_1", "left out")].startswith("missing: smplxflame_30/7_zoe_0_1_1.npz, wave16k/")
    assert "meets no id" in found[("12_zhao_2_*", "ignored")]
    assert len(found) == 7


@pytest.mark.parametrize(
    ("damage", "why"), [(True, "all 1 of its clips were left out"), (False, "no selected clip belongs to it")]
)
def test_an_empty_split_stops_the_run_after_the_report(tree: Path, damage: bool, why: str) -> None:
    if damage:
        (tree / "wave16k" / "1_ann_0_2_2.wav").unlink()
    exclude = [] if damage else ["1_ann_0_2_2"]
    with pytest.raises(DataError, match=f"the val split is empty: {why}"):
        ingested(tree, exclude=exclude)
    assert (Workspace.of(params_for(tree)).ingest / "report.md").exists()
    W = ingested(tree, exclude=exclude, required_splits=["train", "test"])
    assert read_clips(W, "val") == []


def test_speakers_and_additional_clips_are_chosen_by_params(tree: Path) -> None:
    asked = dict.fromkeys(("train", "val", "test"), 0)
    for clip in planned(params_for(tree, speakers=[1]), Workspace.of(params_for(tree))):
        assert clip.speaker == 1
        asked[clip.split] += 1
    assert asked == {"train": 1, "val": 1, "test": 1}
    W = ingested(tree, additional=True)
    assert {clip.id: clip.split for clip in read_clips(W)}["3_bob_0_2_2"] == "train"


def test_both_layouts_give_the_same_clips_and_features(workplace: Path) -> None:
    trees = {
        "plain": make_tree(workplace / "plain"),
        "apart": make_tree(workplace / "apart", motion_folder="beat_smplx_141", apart=True),
    }
    digests = {}
    for name, tree in trees.items():
        params = params_for(tree, name=name)
        W = ingested(tree, name=name)
        assert extract.motion(params, W, ids(W)) == []
        digests[name] = (sha256_tree(W.ingest / "clips.parquet"), sha256_tree(W.feature("motion")))
    assert digests["plain"] == digests["apart"]


@pytest.mark.parametrize(("recorded", "fps"), [(30.0, 15), (120.0, 30), (15.0, 30), (25.0, 30)])
def test_motion_is_taken_at_the_wanted_rate(workplace: Path, recorded: float, fps: int) -> None:
    tree = make_tree(workplace / "raw", n_frames=round(4 * recorded), fps=recorded)
    params = params_for(tree, fps=fps)
    W = ingested(tree, fps=fps)
    assert [clip.n_frames for clip in read_clips(W)] == [4 * fps] * 4
    assert extract.motion(params, W, [CLIP]) == []
    got = read_motion_of(W.feature("motion") / f"{CLIP}.parquet")
    with np.load(tree / "smplxflame_30" / f"{CLIP}.npz") as want:
        times = np.minimum(np.arange(4 * fps) / fps, (round(4 * recorded) - 1) / recorded)
        recorded_at = np.arange(round(4 * recorded)) / recorded
        for axis in range(3):
            y = np.interp(times, recorded_at, want["trans"][:, axis])
            np.testing.assert_allclose(got.trans[:, axis], y, atol=1e-5)
    assert got.fps == fps


def test_motion_is_cut_where_the_sound_ends(tree: Path) -> None:
    wave, rate = soundfile.read(wave_path(tree))
    soundfile.write(wave_path(tree), wave[: 3 * rate], rate)
    params, W = params_for(tree), ingested(tree)
    assert {c.id: c.n_frames for c in read_clips(W)}[CLIP] == 90
    assert extract.motion(params, W, [CLIP]) == []
    assert read_motion_features(W.feature("motion") / f"{CLIP}.parquet").values.shape == (90, 433)


def test_a_bad_clip_does_not_keep_others_from_their_motion(tree: Path) -> None:
    (tree / "smplxflame_30" / f"{CLIP}.npz").write_bytes(b"")
    params = params_for(tree)
    W = Workspace.of(params)
    faults = extract.motion(params, W, [CLIP, "1_ann_0_2_2", "5_not_asked"])
    assert [(fault.clip, "motion" in fault.problem) for fault in faults] == [
        (CLIP, True),
        ("5_not_asked", True),
    ]
    assert [path.stem for path in W.feature("motion").iterdir()] == ["1_ann_0_2_2"]


def test_a_folder_that_is_no_tree_is_refused(workplace: Path) -> None:
    with pytest.raises(DataError, match="no motion folder; wanted smplxflame_30 or beat_smplx_141"):
        ingested(workplace)
    (workplace / "smplxflame_30").mkdir()
    with pytest.raises(DataError, match=r"train_test_split.csv: No such file"):
        ingested(workplace)
    (workplace / "train_test_split.csv").write_text("name,split\na,b\n")
    with pytest.raises(DataError, match="wanted id and type"):
        ingested(workplace)


def test_the_real_clips_are_taken(beat2_sample: Path, workplace: Path) -> None:
    data = {"required_splits": ["train", "test"], "name": "sample"}
    W = ingested(beat2_sample.resolve(), **data)
    clips = {clip.id: clip for clip in read_clips(W)}
    assert {clip: (c.split, c.n_frames) for clip, c in clips.items()} == {
        "2_scott_0_1_1": ("train", 1906),
        "2_scott_0_3_3": ("test", 2034),
    }
    assert read_json(W.ingest / "faults.json")["faults"] == []
    params = params_for(beat2_sample.resolve(), **data)
    assert extract.motion(params, W, list(clips)) == []
    got = read_motion_of(W.feature("motion") / "2_scott_0_1_1.parquet")
    with np.load(beat2_sample / "smplxflame_30" / "2_scott_0_1_1.npz") as want:
        np.testing.assert_allclose(got.poses.reshape(-1, 165), want["poses"], atol=1e-5)
        np.testing.assert_allclose(got.trans, want["trans"], atol=1e-5)
        np.testing.assert_array_equal(got.betas, want["betas"])
