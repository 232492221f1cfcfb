"""BEAT2's npz: real files, round trips, and every way in which a file can be wrong."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import motion

from omniges.data import beat2
from omniges.data.beat2 import read_motion, write_motion
from omniges.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_motion(tmp_path / "2_scott_0_1_1.npz", motion("2_scott_0_1_1", 20))
    return tmp_path / "2_scott_0_1_1.npz"


def change(path: Path, **arrays: Any) -> None:
    """Rewrite an npz with other arrays; None drops one."""
    merged = {**dict(np.load(path)), **arrays}
    np.savez(path, allow_pickle=True, **{key: value for key, value in merged.items() if value is not None})


def test_a_motion_comes_back_bit_by_bit(path: Path) -> None:
    want, got = motion("2_scott_0_1_1", 20), read_motion(path)
    for name in ("poses", "trans", "expressions", "betas"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
        assert getattr(got, name).dtype == getattr(want, name).dtype
    assert got.fps == 30


def test_equal_motion_gives_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_motion(tmp_path / "again.npz", read_motion(path))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_files_are_written_in_blocks_as_numpy_writes_them(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat2, "_ROWS", 7)
    write_motion(tmp_path / "again.npz", read_motion(path))
    with np.load(path) as stored:
        np.savez(tmp_path / "numpy.npz", **stored)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()


def test_written_files_have_the_keys_order_and_types_of_real_ones(beat2_sample: Path, tmp_path: Path) -> None:
    for real in sorted((beat2_sample / "smplxflame_30").glob("*.npz")):
        write_motion(tmp_path / "written.npz", read_motion(real))
        with np.load(real) as want, np.load(tmp_path / "written.npz") as got:
            assert got.files == want.files
            for key in want.files:
                assert (got[key].dtype, got[key].shape) == (want[key].dtype, want[key].shape), key
                np.testing.assert_array_equal(got[key], want[key])


def test_expressions_may_lie_in_a_file_of_their_own(path: Path, tmp_path: Path) -> None:
    want = read_motion(path)
    apart = tmp_path / "expression.npz"
    np.savez(apart, expressions=want.expressions)
    change(path, expressions=None)
    np.testing.assert_array_equal(read_motion(path, apart).expressions, want.expressions)
    with pytest.raises(DataError, match="wanted also expressions"):
        read_motion(path)
    np.savez(apart, expressions=want.expressions[:-1])
    with pytest.raises(DataError, match=r"expressions has shape \(19, 100\), wanted \(20, 100\)"):
        read_motion(path, apart)
    np.savez(apart, faces=want.expressions)
    with pytest.raises(DataError, match=r"got arrays \['faces'\]"):
        read_motion(path, apart)


def test_an_expressions_file_that_nothing_needs_is_not_read(path: Path) -> None:
    assert read_motion(path, path.with_name("absent.npz")).n_frames == 20


NAN = np.zeros((20, 3))
NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"poses": np.zeros((20, 156), np.float32)}, r"poses has shape \(20, 156\), wanted \('T', 165\)"),
        ({"poses": np.zeros((20, 55, 3), np.float32)}, r"poses has shape \(20, 55, 3\)"),
        ({"poses": np.zeros((0, 165), np.float32)}, "no frames"),
        ({"trans": np.zeros((19, 3))}, r"trans has shape \(19, 3\), wanted \(20, 3\)"),
        ({"trans": NAN}, "trans holds 1 values that are NaN or infinite, of 60"),
        ({"trans": np.full((20, 3), 95.0) * 100}, "wanted metres"),
        ({"poses": np.full((20, 165), 90.0)}, "wanted radians"),
        ({"poses": np.full((20, 165), -90.0)}, "wanted radians"),
        ({"trans": np.full((20, 3), -128, np.int8)}, "trans reaches 128.0, wanted metres"),
        ({"betas": np.zeros(10, np.float32)}, r"betas has shape \(10,\), wanted \(300,\)"),
        ({"betas": None}, "wanted also betas"),
        ({"expressions": np.full((20, 100), "x")}, "expressions holds <U1, wanted numbers"),
        ({"mocap_frame_rate": np.array(0)}, "mocap_frame_rate of 0"),
        ({"mocap_frame_rate": np.array([30])}, "mocap_frame_rate has shape"),
        ({"poses": np.array([{"a": 1}], object)}, "no readable npz .*allow_pickle=False"),
    ],
)
def test_wrong_arrays_are_named(path: Path, arrays: dict[str, Any], match: str) -> None:
    change(path, **arrays)
    with pytest.raises(DataError, match=match) as error:
        read_motion(path)
    assert path.name in str(error.value)
    assert "Fetch or make the file again" in str(error.value)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "a.npz"
    np.savez(path, allow_pickle=True, poses=np.array([Bomb()], object))
    with pytest.raises(DataError, match="no readable npz"):
        read_motion(path)
    np.save(tmp_path / "b.npy", np.array([Bomb()], object), allow_pickle=True)
    shutil.move(tmp_path / "b.npy", path)
    with pytest.raises(DataError, match="no readable npz"):
        read_motion(path)
    assert not (tmp_path / "exploded").exists()


def test_a_file_cut_short_is_refused_wherever_it_is_cut(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 97):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="no readable npz"):
            read_motion(path)


def test_flipped_bytes_never_pass_for_motion(path: Path) -> None:
    """Zip checksums guard the arrays; a flip elsewhere is either refused or changes nothing that is read."""
    whole, want = path.read_bytes(), read_motion(path)
    for at in range(7, len(whole), len(whole) // 211):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            got = read_motion(path)
        except DataError:
            continue
        np.testing.assert_array_equal(got.poses, want.poses)
        np.testing.assert_array_equal(got.trans, want.trans)


def test_an_array_that_claims_absurd_memory_is_refused(path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,), }"
    body = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", body)
    with pytest.raises(DataError, match="no readable npz"):
        read_motion(path)


def test_a_bare_array_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros((4, 165)))
    with pytest.raises(DataError, match="a single array"):
        read_motion(tmp_path / "a.npz")
    with pytest.raises(DataError, match="the file is missing"):
        read_motion(tmp_path / "b.npz")


def test_a_broken_rate_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"29\.97 fps"):
        write_motion(tmp_path / "a.npz", motion("2_a_0_1_1", 4, fps=29.97))
    assert not (tmp_path / "a.npz").exists()
