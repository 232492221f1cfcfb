"""`omniges view`: look at motion in a browser."""

import logging
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omniges.errors import DataError
from omniges.files import read_json

if TYPE_CHECKING:
    from omniges.types import Word

log = logging.getLogger(__name__)
TRUTH = "ground truth"


def view(
    what: Annotated[
        list[Path], typer.Argument(help="A folder that `omniges generate` wrote, or BEAT2 npz files.")
    ],
    truth: Annotated[
        Path | None, typer.Option(help="A BEAT2 npz of the speaker's own motion, shown first.")
    ] = None,
    sound: Annotated[Path | None, typer.Option(help="A sound file; the folder's own by default.")] = None,
    words: Annotated[Path | None, typer.Option(help="A .TextGrid; the folder's words by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page to write.")] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Put motions side by side in one self-contained page, with sound."""
    found, labels, home = _motions(what)
    from omniges.audio.files import read_wave
    from omniges.data.beat2 import read_motion
    from omniges.rendering.viewer import write_viewer

    heard = sound or (home / "speech.wav" if (home / "speech.wav").is_file() else None)
    page = out or home / "view.html"
    motions = {} if truth is None else {TRUTH: read_motion(truth)}
    motions |= {label: read_motion(path) for label, path in zip(labels, found, strict=True)}
    wave = None if heard is None else read_wave(heard)
    write_viewer(page, motions, wave, _words(words, home), title=home.resolve().name)
    log.info("%s: %d motion(s), %.1f MB", page, len(motions), page.stat().st_size / 1e6)
    if show:
        webbrowser.open(page.resolve().as_uri())


def _motions(what: list[Path]) -> tuple[list[Path], list[str], Path]:
    """The npz files meant, a label for each, and the folder that they share their sound with."""
    if len(what) == 1 and what[0].is_dir():
        folder = what[0]
        inner = sorted(path.name for path in folder.iterdir() if path.is_dir())
        found = sorted(folder.glob("*.npz"))
        if not found:
            hint = f" Did you mean {folder / inner[0]}?" if inner else " Run `omniges generate` first."
            raise DataError(f"{folder}: holds no .npz motion.{hint}")
        return found, [path.stem for path in found], folder
    for path in what:
        if not path.is_file() or path.suffix != ".npz":
            raise DataError(f"{path}: wanted one folder, or .npz files that exist.")
    labels = [path.stem for path in what]
    if len(set(labels)) < len(labels):
        labels = [f"{path.parent.name}/{path.stem}" for path in what]
    if len(set(labels)) < len(labels):
        raise DataError(f"{', '.join(map(str, what))}: named twice.")
    return what, labels, what[0].parent


def _words(given: Path | None, home: Path) -> "list[Word]":
    from omniges.data.textgrids import read_words
    from omniges.types import Word

    if given is not None:
        return read_words(given)
    path = home / "words.json"
    return [Word(**word) for word in read_json(path)] if path.is_file() else []
