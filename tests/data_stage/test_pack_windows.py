"""Windows against slices of whole clips, in one process and in many."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from trees import make_tree, params_for, write_features, write_statistics

from omniges.data import extract, ingest, pack
from omniges.data.clips import read_clips
from omniges.data.packed import Pack, PackedClip, read_clip
from omniges.data.windows import Batch, WindowDataset, collate
from omniges.errors import ConfigError, DataError
from omniges.workspace import Workspace

CLIPS = {
    "1_ann_0_1_1": "train",
    "1_ann_0_2_2": "train",
    "2_bob_0_1_1": "train",
    "2_bob_0_2_2": "val",
    "2_bob_0_3_3": "test",
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of three shards; clips of 150 frames."""
    workplace = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        params = params_for(make_tree(workplace / "raw", CLIPS, n_frames=150), pack={"shards": 3})
        W = Workspace.of(params)
        ingest.run(params, W)
        assert not extract.motion(params, W, [clip.id for clip in read_clips(W)])
        write_features(W)
        write_statistics(W)
        pack.run(params, W)
        return workplace / W.pack


def check(batch: Batch, row: int, clip: PackedClip, frames: int) -> None:
    """A row of a batch is a slice of its clip."""
    start = int(batch.start_frame[row])
    for name in ("gesture", "side", "wavlm", "mfcc"):
        np.testing.assert_array_equal(
            getattr(batch, name)[row].float(), getattr(clip, name)[start : start + frames]
        )
    np.testing.assert_array_equal(batch.codes[row], clip.codes[start // 4 : (start + frames) // 4])
    begin_s, end_s = start / 30, (start + frames) / 30
    touched = [i for i, (a, b) in enumerate(clip.text_span_s) if b > begin_s and a < end_s]
    mask = batch.text_mask[row]
    assert int(mask.sum()) == len(touched)
    assert mask[: len(touched)].all()
    np.testing.assert_array_equal(batch.text[row][mask].float(), clip.text[touched])
    np.testing.assert_allclose(batch.text_span_s[row][mask], clip.text_span_s[touched] - begin_s, atol=1e-6)
    assert not batch.text[row][~mask].any()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(frames=st.integers(1, 37), stride=st.one_of(st.none(), st.integers(1, 12)), data=st.data())
def test_windows_are_slices_of_clips(
    packed: Path, frames: int, stride: int | None, data: st.DataObject
) -> None:
    windows = WindowDataset(packed, "train", 4 * frames, None if stride is None else 4 * stride)
    step = 4 * (stride or 1)
    assert len(windows) == 3 * len(range(0, 150 - 4 * frames + 1, step))
    chosen = data.draw(st.lists(st.integers(-len(windows), len(windows) - 1), min_size=1, max_size=5))
    batch = windows.__getitems__(chosen)
    assert [(clip, int(start)) for clip, start in zip(batch.clip, batch.start_frame, strict=True)] == [
        windows.window(index) for index in chosen
    ]
    for row, clip in enumerate(batch.clip):
        check(batch, row, read_clip(packed, clip), 4 * frames)


def test_every_window_comes_once_in_order(packed: Path) -> None:
    windows = WindowDataset(packed, "train", 64, 16)
    places = [windows.window(i) for i in range(len(windows))]
    assert places == [(clip, start) for clip in sorted(CLIPS)[:3] for start in range(0, 150 - 63, 16)]
    assert places[0][0].startswith("1_ann_0_1")
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_types_and_shapes_are_those_of_the_docstring(packed: Path) -> None:
    batch = WindowDataset(packed, "val", 64, 64).__getitems__([0, 1]).to("cpu")
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in batch._tensors().items()}
    n_words = batch.text.shape[1]
    assert shapes == {
        "gesture": ((2, 64, 415), torch.float32),
        "side": ((2, 64, 9), torch.float32),
        "codes": ((2, 16, 4, 6), torch.int64),
        "wavlm": ((2, 64, 12), torch.float32),
        "mfcc": ((2, 64, 8), torch.float32),
        "text": ((2, n_words, 16), torch.float32),
        "text_mask": ((2, n_words), torch.bool),
        "text_span_s": ((2, n_words, 2), torch.float32),
        "speaker": ((2,), torch.int64),
        "start_frame": ((2,), torch.int64),
    }
    assert batch.speaker.tolist() == [1, 1]
    assert len(batch) == 2


def test_batches_of_one_join_to_the_batch_made_at_once(packed: Path) -> None:
    windows = WindowDataset(packed, "train", 32, 4)
    chosen = [0, 31, 7, 50]
    one, many = windows.__getitems__(chosen), collate([windows[i] for i in chosen])
    assert one.clip == many.clip
    for name, value in one._tensors().items():
        torch.testing.assert_close(getattr(many, name), value, rtol=0, atol=0)


def read_all(loader: DataLoader[Batch]) -> dict[tuple[str, int], np.ndarray]:
    return {
        (clip, int(start)): batch.gesture[row].numpy()
        for batch in loader
        for row, (clip, start) in enumerate(zip(batch.clip, batch.start_frame, strict=True))
    }


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_what_one_process_reads(packed: Path, method: str) -> None:
    windows = WindowDataset(packed, "train", 64, 16)
    want = read_all(DataLoader(windows, batch_size=4, collate_fn=collate))  # opens the shards before the fork
    assert len(want) == len(windows)
    loader = DataLoader(
        windows, batch_size=4, collate_fn=collate, shuffle=True, num_workers=2, multiprocessing_context=method
    )
    for _ in range(2 if method == "fork" else 1):
        got = read_all(loader)
        assert got.keys() == want.keys()
        assert all(np.array_equal(got[key], want[key]) for key in want)


def _first(windows: WindowDataset, results: "multiprocessing.Queue[float]") -> None:
    results.put(float(windows[0].gesture.float().sum()))


def test_eight_forks_at_once_and_nested_readers(packed: Path) -> None:
    train, val = WindowDataset(packed, "train", 64, 16), WindowDataset(packed, "val", 64, 16)
    other = WindowDataset(packed, "train", 32, 4)  # the same shards, open twice over in one process
    want = float(train[0].gesture.float().sum())
    assert float(other[0].gesture.float().sum()) != 0 != float(val[0].gesture.float().sum())
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_first, args=(train, results)) for _ in range(8)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == [want] * 8
    for worker in workers:
        worker.join()
    assert float(train[0].gesture.float().sum()) == want


def test_datasets_pickle_small(packed: Path) -> None:
    windows = WindowDataset(packed, "train", 64, 16)
    windows[0]
    again = pickle.loads(pickle.dumps(windows))
    torch.testing.assert_close(again[3].codes, windows[3].codes)


def test_seeded_loaders_repeat_their_random_windows(packed: Path) -> None:
    windows = WindowDataset(packed, "train", 64)

    def order(seed: int) -> list[tuple[str, ...]]:
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(windows, batch_size=8, shuffle=True, generator=generator, collate_fn=collate)
        return [tuple(f"{c}@{int(s)}" for c, s in zip(b.clip, b.start_frame, strict=True)) for b in loader]

    assert order(1) == order(1) != order(2)


def test_clips_shorter_than_a_window_are_counted(packed: Path) -> None:
    windows = WindowDataset(packed, "train", 152)
    assert len(windows) == 0
    assert windows.too_short == sorted(CLIPS)[:3]


@pytest.mark.parametrize(("frames", "stride"), [(0, 4), (66, 4), (64, 6), (64, -4)])
def test_windows_that_codes_can_not_fill_are_refused(packed: Path, frames: int, stride: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        WindowDataset(packed, "train", frames, stride)


def test_a_pack_replaced_while_it_is_read_is_noticed(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    for path in packed.iterdir():
        (folder / path.name).parent.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    reader = Pack(folder)
    shard = reader.index.clips["1_ann_0_1_1"].shard
    (tmp_path / "new.mdb").write_bytes((folder / shard).read_bytes())
    (tmp_path / "new.mdb").replace(folder / shard)
    with pytest.raises(DataError, match="replaced while it was being read"):
        reader.clip("1_ann_0_1_1")
    assert read_clip(folder, "1_ann_0_1_1").n_frames == 150


def test_damaged_and_missing_shards_are_named(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    for path in packed.iterdir():
        (folder / path.name).write_bytes(b"not LMDB" if path.suffix == ".mdb" else path.read_bytes())
    with pytest.raises(DataError, match="no readable LMDB shard"):
        read_clip(folder, "1_ann_0_1_1")
    for path in folder.glob("*.mdb"):
        path.unlink()
    with pytest.raises(DataError, match=r"3 of 3 shards are missing: \S+/shard-000\.mdb .*dvc pull"):
        Pack(folder)


def test_chosen_shards_need_no_others(packed: Path, tmp_path: Path) -> None:
    """One of the shards with train clips, alone in its folder: its clips' windows, and no word of others."""
    whole = WindowDataset(packed, "train", 64, 16)
    shard = whole.clips[-1].shard
    for name in ("index.json", shard):
        (tmp_path / name).write_bytes((packed / name).read_bytes())
    number = int(shard[6:9])
    alone = WindowDataset(tmp_path, "train", 64, 16, shards=[number])
    assert {clip.shard for clip in alone.clips} == {shard} != {clip.shard for clip in whole.clips}
    places = [i for i in range(len(whole)) if whole.pack.index.clips[whole.window(i)[0]].shard == shard]
    assert [alone.window(i) for i in range(len(alone))] == [whole.window(i) for i in places]
    assert torch.equal(alone.__getitems__(range(len(alone))).gesture, whole.__getitems__(places).gesture)
    with pytest.raises(DataError, match="2 of 3 shards are missing"):
        WindowDataset(tmp_path, "train", 64, 16)
    other = next(int(name[6:9]) for name in whole.pack.index.shards if name != shard)
    with pytest.raises(DataError, match=rf"1 of 1 shards are missing: \S+shard-00{other}\.mdb"):
        WindowDataset(tmp_path, "train", 64, 16, shards=[other])
    for wrong in ([], [number, 7]):
        with pytest.raises(ConfigError, match=r"wanted some of \[0, 1, 2\]"):
            Pack(packed, wrong)
