"""The corpus card: statistics beside a real clip's, and how predictable motion is from speech."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omniges.config import CorpusParams, Params
from omniges.corpus.clips import Clip
from omniges.files import atomic_path, write_json


def make_card(params: CorpusParams, clips: Iterable[Clip], identity: dict[str, Any]) -> dict[str, Any]:
    listed = [clip.id for clip in clips]
    return {"made": True, "identity": identity, "clips": len(listed), "share": params.share}


def external_card(params: Params) -> dict[str, Any]:
    """Card of somebody else's corpus: nothing is known about its ceiling."""
    return {
        "made": False,
        "root": params.data.root,
        "note": "External corpus; Omniges made none of it and knows no ceiling.",
    }


def write_card(folder: Path, card: dict[str, Any]) -> None:
    write_json(folder / "card.json", card)
    with atomic_path(folder / "card.md") as temporary:
        temporary.write_text(f"# Corpus card\n\n```\n{card}\n```\n", "utf-8")
