"""The pack against the tables that it was made from, and against itself across runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from trees import CLIPS, make_tree, params_for, write_features, write_statistics

from omniges.config import Params
from omniges.data import extract, ingest, pack
from omniges.data.clips import ClipRecord, read_clips
from omniges.data.motion_table import read_motion_features
from omniges.data.pack_arrays import common_length
from omniges.data.packed import read_clip, read_index
from omniges.data.statistics import Accumulator
from omniges.data.table import read_table, read_text_table, write_table, write_text_table
from omniges.errors import DataError
from omniges.files import sha256_tree
from omniges.motion.layout import PARTS
from omniges.workspace import Workspace

CLIP = "1_ann_0_1_1"


def with_pack(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"pack": params.pack.model_copy(update=changes)})


def with_data(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"data": params.data.model_copy(update=changes)})


def test_a_clip_comes_back_as_its_tables_hold_it(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    pack.run(params, W)
    got = read_clip(W.pack, CLIP)
    motion = read_motion_features(W.feature("motion") / f"{CLIP}.parquet")
    for name, part in PARTS.items():
        found = load_file(W.tokenizer(name) / "statistics.safetensors")
        want = (motion.values[:, part.channels] - found["mean"]) / found["std"]
        np.testing.assert_array_equal(got.gesture[:, part.gesture], want.astype(np.float16))
    np.testing.assert_array_equal(got.side, motion.side.astype(np.float16))
    for name in ("mfcc", "wavlm"):
        want = read_table(W.feature(name) / f"{CLIP}.parquet").values
        np.testing.assert_array_equal(getattr(got, name), want)
    codes = read_table(W.feature("codes") / f"{CLIP}.parquet").values
    np.testing.assert_array_equal(got.codes.reshape(25, 24), codes)
    text = read_text_table(W.feature("text") / f"{CLIP}.parquet")
    assert got.words == [word.text for word in text.words]
    assert got.text_span_s.tolist() == [[word.start_s, word.end_s] for word in text.words]
    np.testing.assert_array_equal(got.text, text.values)
    assert (got.split, got.speaker, got.fps, got.n_frames) == ("train", 1, 30, 100)


def test_float32_packs_keep_every_bit(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    pack.run(with_pack(params, dtype="float32"), W)
    motion = read_motion_features(W.feature("motion") / f"{CLIP}.parquet")
    np.testing.assert_array_equal(read_clip(W.pack, CLIP).side, motion.side)


def test_the_index_describes_the_clips_and_train_statistics_only(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    pack.run(params, W)
    index = read_index(W.pack)
    assert index.speakers == (1, 3)
    assert index.clips_of("train") == [CLIP, "3_bob_0_1_1"]
    assert [index.clips[c].speaker for c in index.clips_of("train")] == [0, 1]
    assert index.clips_of("test") == ["1_ann_0_10_10"]
    assert (index.text_width, index.quantizers, index.fps) == (16, 6, 30)
    for name in ("mfcc", "wavlm"):
        rows = np.concatenate(
            [read_table(W.feature(name) / f"{c}.parquet").values for c in index.clips_of("train")]
        ).astype(np.float64)
        np.testing.assert_allclose(index.statistics[name].mean, rows.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(index.statistics[name].std, rows.std(0), rtol=1e-5)
    stored = load_file(W.tokenizer("hands") / "statistics.safetensors")["mean"]
    np.testing.assert_array_equal(index.statistics["gesture"].mean[PARTS["hands"].gesture], stored)


@pytest.mark.parametrize("shards", [1, 3])
def test_two_runs_write_equal_bytes(workplace: Path, shards: int) -> None:
    digests = []
    for name in ("first", "second"):
        clips = dict(sorted(CLIPS.items(), reverse=name == "second"))  # order is no content
        tree = make_tree(workplace / name / "raw", clips)
        params = params_for(tree, name=name, pack={"shards": shards})
        W = Workspace.of(params)
        ingest.run(params, W)
        usable = [clip.id for clip in read_clips(W)]
        extract.motion(params, W, usable if name == "first" else usable[::-1])
        write_features(W)
        write_statistics(W)
        pack.run(params, W)
        features = {f: sha256_tree(W.feature(f)) for f in ("ingest", "motion", "mfcc", "text", "codes")}
        features.pop("ingest")  # its report names the corpus
        digests.append((features, sha256_tree(W.pack)))
        assert len(list(W.pack.glob("*.mdb"))) <= shards
    assert digests[0] == digests[1]
    assert not list(W.pack.glob("*lock*"))


def test_an_edited_clip_changes_only_its_shard(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    pack.run(with_pack(params, shards=3), W)
    before = {path.name: path.read_bytes() for path in W.pack.glob("*.mdb")}
    values = np.zeros((100, 8), np.float32)
    path = W.feature("mfcc") / f"{CLIP}.parquet"
    write_table(path, values, clip=CLIP, feature="mfcc", unit="1", fps=30, dtype="float16")
    pack.run(with_pack(params, shards=3), W)
    changed = [path.name for path in W.pack.glob("*.mdb") if path.read_bytes() != before[path.name]]
    assert changed == [read_index(W.pack).clips[CLIP].shard]
    assert len(before) > 1
    np.testing.assert_array_equal(read_clip(W.pack, CLIP).mfcc, values)  # and the reader notices the new pack


def test_disk_use_is_little_more_than_the_values(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    pack.run(params, W)
    index = read_index(W.pack)
    floats = sum(index.widths[name] for name in ("gesture", "mfcc", "side", "wavlm"))
    words = sum(clip.n_words for clip in index.clips.values())
    values = 400 * floats * 2 + 100 * 24 * 2 + words * (16 * 2 + 16)
    size = sum(path.stat().st_size for path in W.pack.glob("*.mdb"))
    assert values < size < values + 4 * 8 * 4096 + 8 * 4096  # a page's rest for each array, and the tree


DAMAGES = {
    "missing feature": (lambda W: (W.feature("wavlm") / f"{CLIP}.parquet").unlink(), "no readable feature"),
    "truncated feature": (
        lambda W: (W.feature("mfcc") / f"{CLIP}.parquet").write_bytes(b"PAR1 and then nothing"),
        "no readable feature table",
    ),
    "feature of another clip": (lambda W: short(W, "mfcc", 90, 8), r"'mfcc': 90.*wanted 98 to 132 frames"),
    "feature far too long": (lambda W: short(W, "wavlm", 140, 12), r"'wavlm': 140.*wanted 98 to 132 frames"),
    "codes of another clip": (lambda W: codes(W, 23), "23 codes; wanted 98 to 132 frames and 25 codes"),
    "another rate": (lambda W: short(W, "mfcc", 100, 8, fps=15), "'mfcc': 15.*wanted .*'mfcc': 30"),
    "text instead of mfcc": (
        lambda W: shutil.copy(W.feature("text") / f"{CLIP}.parquet", W.feature("motion") / f"{CLIP}.parquet"),
        "got a table of text",
    ),
    "too wide for float16": (lambda W: loud(W), "mfcc reaches 1e.06 in channel 3, which float16 can't hold"),
}


def short(W: Workspace, name: str, n: int, width: int, fps: int = 30) -> None:
    path = W.feature(name) / f"{CLIP}.parquet"
    write_table(path, np.ones((n, width)), clip=CLIP, feature=name, unit="1", fps=fps, dtype="float16")


def codes(W: Workspace, n: int) -> None:
    path = W.feature("codes") / f"{CLIP}.parquet"
    write_table(path, np.ones((n, 24)), clip=CLIP, feature="codes", unit="index", fps=7.5, dtype="int16")


def loud(W: Workspace) -> None:
    values = np.ones((100, 8))
    values[9, 3] = 1e6
    path = W.feature("mfcc") / f"{CLIP}.parquet"
    write_table(path, values, clip=CLIP, feature="mfcc", unit="1", fps=30, dtype="float32")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_clip_that_can_not_be_packed_is_named_and_left_out(
    featured: tuple[Params, Workspace], damage: str
) -> None:
    params, W = featured
    do, match = DAMAGES[damage]
    do(W)
    pack.run(params, W)
    index = read_index(W.pack)
    assert list(index.left_out) == [CLIP]
    assert index.clips_of("train") == ["3_bob_0_1_1"]
    with pytest.raises(DataError, match=match):
        read_clip(W.pack, CLIP)
    with pytest.raises(DataError, match=match):
        pack.run(with_data(params, on_bad_clip="stop"), W)
    assert read_index(W.pack).left_out == index.left_out  # the earlier pack still stands


def test_an_emptied_split_stops_the_stage(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    (W.feature("mfcc") / "1_ann_0_2_2.parquet").unlink()
    with pytest.raises(DataError, match=r"the val split is empty; 1 clips were left out\. 1_ann_0_2_2: "):
        pack.run(params, W)
    assert not W.pack.exists()
    pack.run(with_data(params, required_splits=["train", "test"]), W)
    for clip in (CLIP, "3_bob_0_1_1"):
        (W.feature("mfcc") / f"{clip}.parquet").unlink()
    with pytest.raises(DataError, match="the train split is empty"):
        pack.run(with_data(params, required_splits=[]), W)


def test_statistics_that_can_not_normalise_are_refused(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    path = W.tokenizer("face") / "statistics.safetensors"
    save_file({"mean": np.zeros(100, np.float32), "std": np.zeros(100, np.float32)}, path)
    with pytest.raises(DataError, match=r"face/statistics.safetensors: got a std of 0"):
        pack.run(params, W)
    save_file({"mean": np.zeros(99, np.float32)}, path)
    with pytest.raises(DataError, match=r"wanted mean and std of shape \(100,\)"):
        pack.run(params, W)
    path.unlink()
    with pytest.raises(DataError, match="Run its stage: omniges stage tokenizers --part face"):
        pack.run(params, W)


def test_clips_with_different_widths_never_share_a_pack(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    short(W, "mfcc", 100, 9)
    with pytest.raises(DataError, match="features have widths"):
        pack.run(params, W)


def test_a_clip_without_words_is_packed(featured: tuple[Params, Workspace]) -> None:
    params, W = featured
    write_text_table(W.feature("text") / f"{CLIP}.parquet", [], np.empty((0, 16)), CLIP, "float16")
    pack.run(params, W)
    got = read_clip(W.pack, CLIP)
    assert (got.words, got.text.shape, got.text_span_s.shape) == ([], (0, 16), (0, 2))


def test_sound_that_outlasts_motion_is_cut_and_late_words_dropped(workplace: Path) -> None:
    tree = make_tree(workplace / "raw", n_frames=60)
    params = params_for(tree)
    W = Workspace.of(params)
    ingest.run(params, W)
    extract.motion(params, W, [clip.id for clip in read_clips(W)])
    write_features(W)
    write_statistics(W)
    short(W, "mfcc", 66, 8)
    short(W, "wavlm", 59, 12)
    pack.run(params, W)
    got = read_clip(W.pack, CLIP)
    assert {len(x) for x in (got.gesture, got.side, got.mfcc, got.wavlm)} == {59}
    assert len(got.codes) == 14
    assert got.text_span_s[:, 0].max() < 59 / 30


@given(
    n=st.integers(8, 400),
    mfcc=st.integers(-5, 40),
    wavlm=st.integers(-5, 40),
    codes=st.integers(-3, 3),
)
def test_the_common_length_fits_all_features_or_is_refused(n: int, mfcc: int, wavlm: int, codes: int) -> None:
    record = ClipRecord(id=CLIP, speaker=1, split="train", n_frames=n, duration_s=n / 30)
    lengths, n_codes = {"motion": n, "mfcc": n + mfcc, "wavlm": n + wavlm}, n // 4 + codes
    fits = min(mfcc, wavlm) >= -2 and max(mfcc, wavlm) <= 32 and abs(codes) <= 1
    if not fits:
        with pytest.raises(DataError, match="made from different files"):
            common_length(record, lengths, n_codes, 32)
        return
    got = common_length(record, lengths, n_codes, 32)
    assert got <= min(lengths.values())
    assert got // 4 <= n_codes
    assert n - got <= 2 + 4  # two frames of slack, one code


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.floats(-1e4, 1e4))
def test_statistics_do_not_depend_on_how_rows_arrive(lengths: list[int], offset: float) -> None:
    rng = np.random.default_rng(len(lengths))
    pieces = [offset + rng.standard_normal((n, 3)) * [1.0, 0.01, 0.0] for n in lengths]
    rows, found = np.concatenate(pieces), Accumulator()
    for piece in pieces:
        found.add(piece)
    if len(rows) < 2:
        return
    mean, std = found.finish()
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(std[0], rows[:, 0].std(), rtol=1e-6)
    assert std[2] == 1.0  # constant: maps to zero, never divides by zero


def test_statistics_of_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="got no rows"):
        Accumulator().finish()


def test_what_is_no_pack_is_refused(workplace: Path) -> None:
    with pytest.raises(DataError, match="no pack here"):
        read_index(workplace)
    (workplace / "index.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="got pack format 99, wanted 1"):
        read_index(workplace)
