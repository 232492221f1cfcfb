"""The stage `corpus`: make the tree and its card, or leave both as they are."""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from omniges.config import CorpusParams, Params
from omniges.corpus.files import SPLIT_FILE, clip_files
from omniges.corpus.speakers import planned_clips
from omniges.errors import ConfigError, DataError
from omniges.files import atomic_folder, half_written, read_json, remove, sha256_file, write_json
from omniges.log import progress
from omniges.workspace import Workspace

GENERATOR = 4
"""Raised with every change that makes other bytes from the same parameters."""
MANIFEST = ".corpus.json"
"""At the tree's root, since a pipeline may delete the card before it makes it anew."""

logger = logging.getLogger(__name__)


def run(params: Params, W: Workspace) -> None:
    """Make the corpus at `W.raw` and its card, unless they are there already.

    Files that somebody edited are never overwritten: with unchanged parameters the tree stays as it is
    (missing files come back), with changed ones the stage refuses and names the edited files.
    """
    if not params.corpus.make:
        from omniges.corpus.card import external_card, write_card

        write_card(W.corpus_card, external_card(params))
        return
    root, wanted = _checked_root(W.raw), identity(params.corpus)
    state = read_json(root / MANIFEST) if (root / MANIFEST).exists() else None
    missing = _missing(root, params.corpus)
    if state is not None and state["identity"] == wanted:
        if not missing and _card_is_of(W.corpus_card, wanted):
            logger.info("corpus: %s is what the parameters ask for; nothing to do", root)
            return
        _write(params.corpus, W, missing)
        return
    _refuse_foreign(root, state)
    for path in half_written(root):  # whole trees that killed runs were about to put here
        remove(path)
    with atomic_folder(root) as temporary:
        hashes = _fill(temporary, params.corpus, None, card_at=W.corpus_card)
        write_json(temporary / MANIFEST, {"identity": wanted, "files": hashes})


def identity(params: CorpusParams) -> dict[str, Any]:
    """What decides the tree's bytes."""
    return {"generator": GENERATOR, "params": params.model_dump(mode="json")}


def _write(params: CorpusParams, W: Workspace, missing: set[str]) -> None:
    """Bring back missing files, and the card."""
    for name in sorted(missing):
        logger.warning("corpus: %s was missing and is made again", W.raw / name)
        for path in half_written(W.raw / name):
            remove(path)
    _fill(W.raw, params, missing, card_at=W.corpus_card)


def _fill(root: Path, params: CorpusParams, only: set[str] | None, *, card_at: Path) -> dict[str, str]:
    """Make all clips, write their files (or only some) and the card; returns path -> sha256."""
    from omniges.corpus.card import Notebook, write_card
    from omniges.corpus.clips import cast, make_clips
    from omniges.corpus.tree import clip_bytes, split_bytes, write_bytes

    hashes: dict[str, str] = {}

    def keep(name: str, contents: bytes) -> None:
        hashes[name] = hashlib.sha256(contents).hexdigest()
        if only is None or name in only:
            write_bytes(root / name, contents)

    notebook = Notebook(params, identity(params))
    for number in progress(range(1, params.speakers + 1), "speakers that speak and gesture"):
        whole = cast(params, number)
        for clip in make_clips(params, whole):
            notebook.add_clip(clip)
            for name, contents in clip_bytes(clip).items():
                keep(name, contents)
        notebook.add_speaker(whole)
    keep(SPLIT_FILE, split_bytes((clip, split) for clip, _, _, split in planned_clips(params)))
    write_card(card_at, notebook.card())
    return hashes


def _checked_root(root: Path) -> Path:
    if root.is_absolute() or ".." in root.parts or root == Path("."):
        raise ConfigError(
            f"data.root: got {root}, but with corpus.make the tree is written there, so it must be "
            f"a folder below the repository, like data/raw/demo. For your own corpus set corpus.make: false."
        )
    return root


def _missing(root: Path, params: CorpusParams) -> set[str]:
    names = {SPLIT_FILE, *(name for clip, *_ in planned_clips(params) for name in clip_files(clip))}
    return {name for name in names if not (root / name).exists()}


def _card_is_of(folder: Path, wanted: dict[str, Any]) -> bool:
    path = folder / "card.json"
    return path.exists() and (folder / "card.md").exists() and read_json(path).get("identity") == wanted


def _refuse_foreign(root: Path, state: Any) -> None:
    """Raise if the folder holds anything that this stage didn't write."""
    found = {
        Path(at, name).relative_to(root).as_posix() for at, _, names in os.walk(root) for name in names
    } - {MANIFEST}
    if state is None:
        if found:
            raise DataError(
                f"{root}: holds {len(found)} file(s) that the corpus stage did not write (no {MANIFEST}); "
                f"wanted an empty or missing folder. Move them away, point data.root elsewhere, or set "
                f"corpus.make: false to use them."
            )
        return
    known: dict[str, str] = state["files"]
    edited = sorted(name for name in found if name not in known or sha256_file(root / name) != known[name])
    if edited:
        more = f" and {len(edited) - 5} more" if len(edited) > 5 else ""
        raise DataError(
            f"{root}: the corpus parameters (or the generator) changed, but these files were edited or "
            f"added by hand and would be lost: {', '.join(edited[:5])}{more}. Move them away or "
            f"delete {root}; or change data.name and data.root to make the new corpus beside it."
        )
