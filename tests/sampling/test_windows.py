import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniges.errors import ConfigError
from omniges.sampling.windows import Cover


@given(st.integers(1, 600), st.integers(3, 40), st.data())
def test_every_token_is_settled_once_in_order_and_the_past_is_always_settled(n_tokens, window, data):
    overlap = data.draw(st.integers(1, window - 2))
    lookahead = data.draw(st.integers(0, window - overlap - 1))
    cover = Cover(window, overlap, lookahead)
    settled = 0
    for w in cover.plan(n_tokens):
        assert w.start + w.past == settled
        assert settled < w.keep <= min(n_tokens, w.start + window)
        assert w.past == min(overlap, settled)
        settled = w.keep
    assert settled == n_tokens


def test_all_but_the_last_window_leave_their_lookahead_to_the_next():
    windows = Cover(16, 4, 2).plan(60)
    assert [w.start + 16 - w.keep for w in windows[:-1]] == [2] * (len(windows) - 1)


def test_the_last_window_is_as_long_as_its_clip_needs():
    cover = Cover(16, 4, 2)
    whole, last = cover.plan(21)
    assert (last.start, last.past, last.keep, last.last) == (10, 4, 21, True)
    assert not whole.last
    assert [cover.length([last], span) for span in (1, 2, 8)] == [11, 12, 16]
    assert cover.length([whole, last], 1) == 16


@pytest.mark.parametrize("sizes", [(64, 16, 6), (62, 16, 8), (64, 48, 16)])
def test_sizes_that_cannot_work_are_refused(sizes):
    with pytest.raises(ConfigError, match="sampling"):
        Cover.of_frames(*sizes)
