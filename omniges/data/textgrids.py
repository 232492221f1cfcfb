"""Praat TextGrids, long and short: the words of a clip with their times.

The reader is strict: a file that ends early, wherever that is, is an error and never a shorter list of words.
"""

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omniges.errors import DataError
from omniges.types import Word

WORD_TIER = "words"
_REMEDY = "Fetch or make the file again."
_SLACK_S = 1e-4  # seconds that neighbouring intervals may overlap by rounding

# Praat reads only free-standing tokens: quoted texts, flags in angle brackets, numbers. Labels such as
# `xmin =` and counters such as `intervals [3]:` are decoration: one grammar reads the long and short form.
_NUMBER, _QUOTED = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", r'"((?:[^"]|"")*)"'
_TOKEN = re.compile(rf'{_QUOTED}|<([^<>\s]*)>|(?<!\S){_NUMBER}(?!\S)|(")')
# An interval as Praat itself labels it, its three tokens at once: a third of the time. What does not look so
# is read token by token.
_LABELLED = re.compile(
    rf"\s*intervals\s*\[\d+\]:\s+xmin\s*=\s+{_NUMBER}\s+xmax\s*=\s+{_NUMBER}\s+text\s*=\s+{_QUOTED}(?=\s)"
)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A labelled stretch of time."""

    text: str  # empty for silence
    start_s: float
    end_s: float


def read_words(path: Path) -> list[Word]:
    """The words of a clip in order of time; silence is left out.

    Raises:
        DataError: the file is missing, truncated, no TextGrid, without a tier `words`, or runs backwards.
    """
    tiers = read_tiers(path)
    if WORD_TIER not in tiers:
        raise DataError(f"{path}: got tiers {sorted(tiers)}, wanted {WORD_TIER}. {_REMEDY}")
    _check_order(tiers[WORD_TIER], path)
    spoken = (
        interval
        for interval in tiers[WORD_TIER]
        if interval.text.strip() and interval.end_s > interval.start_s
    )
    return [Word(text=i.text.strip(), start_s=i.start_s, end_s=i.end_s) for i in spoken]


def read_tiers(path: Path) -> dict[str, list[Interval]]:
    """All interval tiers by name, silences included; point tiers are read over.

    Raises:
        DataError: see `read_words`.
    """
    try:
        return dict(_tiers(_Tokens(_text(path))))
    except _GrammarError as error:
        raise DataError(f"{path}: no whole TextGrid: {error}. {_REMEDY}") from error


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. {_REMEDY}") from error
    encoding = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not {encoding} text ({error.reason} at byte {error.start}). {_REMEDY}"
        ) from error


class _GrammarError(Exception):
    pass


class _Tokens:
    """The tokens of a file, asked for by kind."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def text(self) -> str:
        return _unquoted(self._next(1, "a quoted text"))

    def flag(self) -> str:
        return self._next(2, "a flag")

    def number(self) -> float:
        return float(self._next(3, "a number"))

    def count(self) -> int:
        number = self.number()
        if number < 0 or not number.is_integer():
            raise _GrammarError(f"got {number:g}, wanted a count")
        return int(number)

    def interval(self) -> Interval:
        match = _LABELLED.match(self._text, self._at)
        if match is None:
            return Interval(start_s=self.number(), end_s=self.number(), text=self.text())
        self._at = match.end()
        start, end, text = match.groups()
        return Interval(start_s=float(start), end_s=float(end), text=_unquoted(text))

    def end(self) -> None:
        match = _TOKEN.search(self._text, self._at)
        if match is not None:
            raise _GrammarError(f"got {match.group(0)[:20]!r} after the last tier, wanted the end")

    def _next(self, kind: int, wanted: str) -> str:
        match = _TOKEN.search(self._text, self._at)
        if match is None:
            raise _GrammarError(f"the file ends where {wanted} should stand")
        value = match.group(kind)
        if value is None:
            raise _GrammarError(f"got {match.group(0)[:20]!r} at character {match.start()}, wanted {wanted}")
        self._at = match.end()
        return value


def _unquoted(text: str) -> str:
    return text.replace('""', '"')


def _tiers(tokens: _Tokens) -> Iterator[tuple[str, list[Interval]]]:
    kinds = (tokens.text(), tokens.text())
    if kinds != ("ooTextFile", "TextGrid"):
        raise _GrammarError(f"got a file of kind {kinds}, wanted ('ooTextFile', 'TextGrid')")
    tokens.number(), tokens.number()
    if tokens.flag() == "exists":
        for _ in range(tokens.count()):
            kind, name = tokens.text(), tokens.text()
            tokens.number(), tokens.number()
            if kind == "IntervalTier":
                yield name, [tokens.interval() for _ in range(tokens.count())]
            elif kind == "TextTier":
                for _ in range(tokens.count()):
                    tokens.number(), tokens.text()
            else:
                raise _GrammarError(f"got a tier of class {kind!r}, wanted IntervalTier or TextTier")
    tokens.end()


def _check_order(intervals: list[Interval], path: Path) -> None:
    before_s = -_SLACK_S
    for number, interval in enumerate(intervals, start=1):
        in_order = before_s - _SLACK_S <= interval.start_s <= interval.end_s and math.isfinite(interval.end_s)
        if not in_order:
            raise DataError(
                f"{path}: interval {number} of tier {WORD_TIER} runs from {interval.start_s} to "
                f"{interval.end_s} s after one that ends at {before_s} s; "
                f"wanted times that never run backwards. {_REMEDY}"
            )
        before_s = interval.end_s
