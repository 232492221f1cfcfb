"""Resampling by time against closed forms: a straight line stays a straight line."""

import numpy as np
import pytest

from omniges.errors import ShapeError
from omniges.features.resample import frames_from_blocks, rows_at


def line(n_rows: int, first_s: float, step_s: float) -> np.ndarray:
    """Rows whose two channels are their own time and twice that."""
    times_s = first_s + step_s * np.arange(n_rows)
    return np.stack([times_s, 2 * times_s], axis=1).astype(np.float32)


@pytest.mark.parametrize("fps", [15.0, 30.0])
@pytest.mark.parametrize(("first_s", "step_s"), [(0.0, 0.01), (0.0125, 0.02)])
def test_frames_get_the_value_at_their_middle(fps, first_s, step_s):
    frames = np.concatenate(
        list(frames_from_blocks([line(500, first_s, step_s)], 60, fps=fps, first_s=first_s, step_s=step_s))
    )
    middle_s = (np.arange(60) + 0.5) / fps
    np.testing.assert_allclose(frames, np.stack([middle_s, 2 * middle_s], axis=1), atol=1e-5)


@pytest.mark.parametrize("portion", [1, 2, 3, 7, 100])
def test_portions_of_the_rows_change_nothing(portion):
    rows = np.random.default_rng(0).standard_normal((101, 4)).astype(np.float32)
    settings = {"fps": 30.0, "first_s": 0.0125, "step_s": 0.02}
    whole = np.concatenate(list(frames_from_blocks([rows], 62, **settings)))
    portions = [rows[i : i + portion] for i in range(0, len(rows), portion)]
    got = np.concatenate(list(frames_from_blocks(portions, 62, **settings)))
    assert whole.shape == (62, 4)
    np.testing.assert_allclose(got, whole, atol=1e-5)


def test_nearest_row_holds_beyond_the_ends():
    got = rows_at(line(3, 1.0, 0.5), np.asarray([0.0, 1.25, 9.0]), first_s=1.0, step_s=0.5)
    np.testing.assert_allclose(got[:, 0], [1.0, 1.25, 2.0])


def test_one_row_holds_everywhere_and_none_is_refused():
    np.testing.assert_array_equal(
        rows_at(line(1, 1.0, 0.5), np.asarray([0.0, 5.0]), first_s=1.0, step_s=0.5)[:, 0], [1.0, 1.0]
    )
    with pytest.raises(ShapeError, match="K > 0"):
        rows_at(np.zeros((0, 2), np.float32), np.zeros(1), first_s=0.0, step_s=0.02)
    with pytest.raises(ShapeError, match="no rows"):
        list(frames_from_blocks([], 3, fps=30.0, first_s=0.0, step_s=0.02))
