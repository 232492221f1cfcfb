"""Per-clip tables: what goes in comes out, in equal bytes; what a type can't hold is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from omniges.data.motion_table import read_motion_features, write_motion_table
from omniges.data.table import all_finite, read_table, read_text_table, write_table, write_text_table
from omniges.errors import DataError, ShapeError
from omniges.motion.features import motion_to_features
from omniges.types import Motion, Word

WORDS = [Word(text='say "naïve"\nnow', start_s=0.125, end_s=1 / 3), Word(text="", start_s=0.5, end_s=0.75)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["float16", "float32", "int16"]))
def test_values_come_back_and_bytes_repeat(tmp_path: Path, data: st.DataObject, dtype: str) -> None:
    shape = data.draw(st.tuples(st.integers(0, 9), st.integers(1, 7)))
    finite = {} if dtype == "int16" else {"allow_nan": False, "allow_infinity": False}
    elements = hnp.from_dtype(np.dtype(dtype), **finite)  # type: ignore[arg-type]
    values = data.draw(hnp.arrays(np.dtype(dtype), shape, elements=elements))
    for name in ("a", "b"):
        path = tmp_path / f"{name}.parquet"
        write_table(path, values, clip="c", feature="f", unit="m", fps=7.5, dtype=dtype, extra={"k": [1.5]})
    table = read_table(path)
    np.testing.assert_array_equal(table.values, values)
    assert table.values.dtype == dtype
    assert (table.clip, table.feature, table.unit, table.fps, table.extra) == (
        "c",
        "f",
        "m",
        7.5,
        {"k": [1.5]},
    )
    assert path.read_bytes() == (tmp_path / "a.parquet").read_bytes()


@pytest.mark.parametrize("words", [WORDS, []])
def test_text_comes_back(tmp_path: Path, words: list[Word]) -> None:
    path, values = tmp_path / "t.parquet", np.arange(len(words) * 4.0).reshape(-1, 4)
    write_text_table(path, words, values, "c", "float16")
    table = read_text_table(path)
    assert (table.words, table.clip) == (words, "c")
    np.testing.assert_array_equal(table.values, values)


@pytest.mark.parametrize(
    ("values", "dtype", "error", "match"),
    [
        (np.array([[1.0, 7e4]]), "float16", DataError, r"70000.0 at row 0, channel 1; .*float16"),
        (np.array([[np.nan]]), "float32", DataError, "got nan at row 0, channel 0"),
        (np.array([[40_000]]), "int16", DataError, "40000"),
        (np.zeros(3), "float32", ShapeError, r"got shape \(3,\), wanted \[N, W\]"),
        (np.zeros((3, 0)), "float32", ShapeError, "wanted"),
    ],
)
def test_what_can_not_be_stored_is_refused(
    tmp_path: Path, values: np.ndarray, dtype: str, error: type[Exception], match: str
) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(error, match=match):
        write_table(path, values, clip="c", feature="f", unit="1", fps=None, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_words_and_embeddings_must_be_equally_many(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="3 embeddings for 2 words"):
        write_text_table(tmp_path / "a.parquet", WORDS, np.zeros((3, 4)), "c", "float16")


def test_foreign_and_cut_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, np.ones((50, 3)), clip="c", feature="f", unit="1", fps=None, dtype="float32")
    whole = path.read_bytes()
    for length in range(0, len(whole), 53):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="no readable feature table"):
            read_table(path)
    path.write_bytes(whole)
    with pytest.raises(DataError, match="got a table of f, wanted one of words"):
        read_text_table(path)
    with pytest.raises(DataError, match="got a table of f with 3 columns"):
        read_motion_features(path)


def test_a_table_of_lists_from_an_earlier_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2)
    metadata = {"omniges": '{"clip": "c", "feature": "mfcc", "unit": "1", "fps": 30.0, "extra": {}}'}
    pq.write_table(pa.table({"values": rows}).replace_schema_metadata(metadata), path)
    with pytest.raises(DataError, match=r"a\.parquet: got a table of mfcc .*without its width.*Delete it"):
        read_table(path)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, None])
def test_finiteness_is_numpys_for_every_half(bad: float | None) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = np.concatenate([every[np.isfinite(every)], np.float16([1.0 if bad is None else bad])])
    for kind in (np.float16, np.float32):
        assert all_finite(values.astype(kind)) is (bad is None)
        assert all_finite(values.astype(kind)[::-1]) is (bad is None)
    assert all_finite(np.zeros((0, 3), np.float16))


def test_a_motion_tables_features_are_the_motions_but_for_rounding(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    motion = Motion(
        poses=(rng.standard_normal((40, 55, 3)) * 2).astype(np.float32),
        trans=rng.standard_normal((40, 3)),
        expressions=rng.standard_normal((40, 100)),
        betas=rng.standard_normal(300).astype(np.float32),
        fps=30.0,
    )
    write_motion_table(tmp_path / "a.parquet", motion, clip="a")
    got, want = read_motion_features(tmp_path / "a.parquet"), motion_to_features(motion)
    half_turn, half_expression = 2.0**-24, 2.0**-16  # half a step
    np.testing.assert_array_equal(got.values[:, 330:333], want.values[:, 330:333])
    np.testing.assert_allclose(got.values[:, 333:], want.values[:, 333:], rtol=0, atol=half_expression)
    np.testing.assert_allclose(got.side, want.side, rtol=0, atol=half_turn)
    steps = got.values[:, 333:].astype(np.float64) * 2.0**15
    np.testing.assert_array_equal(steps, np.rint(steps))  # rounded, hence smaller
    np.testing.assert_array_equal(got.origin, want.origin)
    rows = Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_matrix()[:, :2].reshape(40, 330)
    np.testing.assert_allclose(got.values[:, :330], rows, atol=1e-6)
