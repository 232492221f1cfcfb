"""Logging and progress: one handler, one way to show that something is under way."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
console = Console(stderr=True)


def setup(level: int | None = None) -> None:
    """Send the `omniges` loggers to stderr; `OMNIGES_DEBUG=1` raises the level to DEBUG."""
    debug = os.environ.get("OMNIGES_DEBUG", "") not in ("", "0")
    handler = RichHandler(console=console, show_path=debug, rich_tracebacks=debug, markup=False)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", datefmt="%H:%M:%S", handlers=[handler], force=True
    )
    logging.getLogger("omniges").setLevel(level or (logging.DEBUG if debug else logging.INFO))


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate under a progress bar on stderr; where stderr is no terminal, print a line every tenth instead.

    Args:
        items: anything iterable.
        description: what is being done, in a few words.
        total: number of items, where `len(items)` is not known.
    """
    if total is None:
        total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            yield from bar.track(items, total=total, description=description)
        return
    logger = logging.getLogger("omniges.progress")
    step = max(1, (total or 100) // 10)
    for done, item in enumerate(items, start=1):
        yield item
        if done % step == 0:
            logger.info("%s: %d of %s", description, done, total if total is not None else "?")
