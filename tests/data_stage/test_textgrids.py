"""TextGrids against the textgrid package, and cut at every place."""

from itertools import pairwise
from pathlib import Path

import pytest
import textgrid as oracle
from hypothesis import given
from hypothesis import strategies as st
from trees import textgrid, words_of

from omniges.data.textgrids import read_tiers, read_words
from omniges.errors import DataError

WORDS = words_of("any", 3.0)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("short", [False, True])
def test_words_are_those_of_the_textgrid_package(tmp_path: Path, short: bool) -> None:
    path = write(tmp_path / "a.TextGrid", textgrid(WORDS, 3.0, short=short))
    want = [(i.mark, i.minTime, i.maxTime) for i in oracle.TextGrid.fromFile(str(path)).getFirst("words")]
    got = read_words(path)
    assert [(w.text, w.start_s, w.end_s) for w in got] == [word for word in want if word[0]]
    assert len(got) == 6


def test_real_words_are_those_of_the_textgrid_package(beat2_sample: Path) -> None:
    for path in sorted((beat2_sample / "textgrid").glob("*.TextGrid")):
        grid = oracle.TextGrid.fromFile(str(path))
        for tier in grid:
            want = [(i.mark, i.minTime, i.maxTime) for i in tier]
            got = [(i.text, round(i.start_s, 5), round(i.end_s, 5)) for i in read_tiers(path)[tier.name]]
            assert got == want  # the package rounds to five digits


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.TextGrid", textgrid([(0.0, 1.0, "naïve")], 1.0), encoding)
    assert [word.text for word in read_words(path)] == ["naïve"]


def test_doubled_quotes_and_line_breaks_belong_to_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.TextGrid", textgrid([(0.0, 1.0, 'say ""xmin = 5""\n1.5 now')], 1.0))
    assert read_words(path)[0].text == 'say "xmin = 5"\n1.5 now'


@pytest.mark.parametrize("short", [False, True])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, short: bool) -> None:
    whole = textgrid(WORDS[:2], 3.0, short=short)
    last = whole.rindex('"')  # what follows the last text's closing quote is white space
    for length in range(last + 1):
        with pytest.raises(DataError, match="no whole TextGrid"):
            read_words(write(tmp_path / "a.TextGrid", whole[:length]))


@given(at=st.integers(0, 2000), put=st.text(alphabet='"<>0 .x\n', min_size=1, max_size=3))
def test_damage_never_invents_words(tmp_path_factory: pytest.TempPathFactory, at: int, put: str) -> None:
    whole = textgrid(WORDS, 3.0)
    path = tmp_path_factory.mktemp("grids") / "a.TextGrid"
    write(path, whole[:at] + put + whole[at:])
    try:
        found = read_words(path)
    except DataError:
        return
    assert len(found) <= len(WORDS)
    assert all(a.end_s <= b.start_s + 1e-3 for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "the file ends where"),
        ("<html>404</html>", "wanted a quoted text"),
        (textgrid(WORDS, 3.0).replace('"words"', '"wörter"'), "wanted words"),
        (textgrid([(0.0, 2.0, "a"), (1.0, 3.0, "b")], 3.0), "run backwards"),
        (textgrid([(2.0, 1.0, "a")], 3.0), "run backwards"),
        (textgrid(WORDS, 3.0) + '"more"', "after the last tier"),
        (textgrid(WORDS, 3.0).replace('"TextGrid"', '"Pitch 1"'), "a file of kind"),
        (textgrid(WORDS, 3.0).replace("IntervalTier", "WaveTier"), "a tier of class"),
    ],
)
def test_what_is_no_textgrid_is_refused(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        read_words(write(tmp_path / "a.TextGrid", text))


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.TextGrid").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match="not utf-8"):
        read_words(tmp_path / "b.TextGrid")
    with pytest.raises(DataError, match="No such file"):
        read_words(tmp_path / "c.TextGrid")
