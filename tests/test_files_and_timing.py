"""Half-written files are never seen; time never drifts."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniges.files import atomic_folder, atomic_path, read_json, sha256_tree, write_json
from omniges.timing import SAMPLE_RATE, frame_to_sample, frames_in


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_a_failed_folder_leaves_the_old_one_and_no_litter(tmp_path):
    folder = tmp_path / "model"
    with atomic_folder(folder) as temporary:
        (temporary / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "new").touch()
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["old"]
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"fgd": math.nan})
    assert not list(tmp_path.iterdir())


def test_tree_hash_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    before = sha256_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = sha256_tree(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, sha256_tree(tmp_path)}) == 3


@given(st.integers(0, 10**6), st.sampled_from([15, 30, 25, 60]))
def test_frame_starts_are_exact_to_half_a_sample(frame, fps):
    exact = Fraction(frame * SAMPLE_RATE, fps)
    assert abs(frame_to_sample(frame, fps) - exact) <= Fraction(1, 2)


def test_an_hour_of_frames_does_not_drift():
    assert frame_to_sample(3600 * 30, 30) == 3600 * SAMPLE_RATE  # 533 samples a frame would be 2.25 s short


@given(st.integers(0, 10**6), st.sampled_from([15, 30]))
def test_frames_survive_the_way_through_seconds(n_frames, fps):
    assert frames_in(n_frames / fps, fps) == n_frames
