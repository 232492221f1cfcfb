"""Which network a feature comes from: the local tiny one, a folder, or a model on the Hugging Face hub.

The stage `encoders` settles it once and writes `record.json`; the feature stages follow that record. A hub
model may be
pinned: `microsoft/wavlm-base@<revision>`. Nothing heavy is imported here, so that reports and planning can
    ask.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from omniges.errors import CheckpointError
from omniges.files import read_json, sha256_file, write_json

TINY = "tiny"
UNTRAINED_KEY = "omniges_untrained"
"""Marks the config of a network whose weights are random."""
RECORD = "record.json"
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
_PICKLED = "*.bin"  # read with weights_only=True, and only where there are no safetensors


@dataclass(frozen=True, kw_only=True)
class EncoderRecord:
    """Where a network's weights came from."""

    model: str  # as params.yaml names it
    source: Literal["tiny", "folder", "hub"]
    revision: str | None  # the hub's commit
    sha256: str  # of the files that define the network
    untrained: bool

    @property
    def label(self) -> str:
        """For reports: the name, and what must not be overlooked about it."""
        if self.untrained:
            return f"{self.model} (untrained, random weights {self.sha256[:8]})"
        return f"{self.model} ({self.revision or self.sha256[:12]})"


def write_record(folder: Path, record: EncoderRecord) -> None:
    write_json(folder / RECORD, asdict(record))


def read_record(folder: Path) -> EncoderRecord:
    """What the stage `encoders` settled.

    Raises:
        CheckpointError: that stage has not been run.
    """
    try:
        return EncoderRecord(**read_json(folder / RECORD))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder / RECORD}: can't be read ({error}). Run: omniges stage encoders."
        ) from error


def locate(model: str, section: str) -> tuple[Path, str | None]:
    """Folder and revision of a model that is not tiny; a hub model is downloaded if it isn't cached.

    Args:
        model: a folder, or a hub name with an optional `@revision`.
        section: params section that named it, for messages.

    Raises:
        CheckpointError: there is no such folder or hub model, or the hub can't be reached.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder, None
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise CheckpointError(
            f"{section}.model: {model}: no such folder. Correct it in params.yaml, or set it to `{TINY}` "
            "for a run without downloads."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = model.partition("@")
    try:
        first = Path(snapshot_download(name, revision=revision or None, allow_patterns=list(_FILES)))
        if not any(first.glob("*.safetensors")):
            first = Path(snapshot_download(name, revision=first.name, allow_patterns=[_PICKLED]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        offline = " HF_HUB_OFFLINE is set, so only cached models can be used." if _offline() else ""
        raise CheckpointError(
            f"{section}.model: {model} is no folder, and can't be had from the Hugging Face hub: "
            f"{reason}.{offline} "
            "Check the name and the network, download the model to a folder and name that, or set "
            f"{section}.model to "
            f"`{TINY}` in params.yaml for a run without downloads."
        ) from error
    return first, first.name


def settled_folder(encoders: Path, kind: Literal["wavlm", "text"]) -> Path:
    """The folder to load a network from, as the stage `encoders` settled it.

    Args:
        encoders: `Workspace.encoders`.
        kind: which network.

    Raises:
        CheckpointError: the stage has not been run, or the files are not those it saw.
    """
    record = read_record(encoders / kind)
    if record.source == "tiny":
        folder = encoders / kind
    else:
        model = (
            record.model if record.revision is None else f"{record.model.partition('@')[0]}@{record.revision}"
        )
        folder = locate(model, kind)[0]
    found = fingerprint(folder)
    if found != record.sha256:
        raise CheckpointError(
            f"{folder}: its files changed since the stage `encoders` saw them (sha256 {found[:12]}, wanted "
            f"{record.sha256[:12]}). Run: omniges stage encoders."
        )
    return folder


def defining_files(folder: Path) -> list[Path]:
    """The files of a folder that define a network, sorted: configuration, vocabulary, weights."""
    weights = list(folder.glob("*.safetensors")) or list(folder.glob(_PICKLED))
    others = [
        p for pattern in ("*.json", "*.txt", "*.model") for p in folder.glob(pattern) if p.name != RECORD
    ]
    return sorted([*weights, *others])


def fingerprint(folder: Path) -> str:
    """One digest of the names and contents of `defining_files`."""
    digest = hashlib.sha256()
    for path in defining_files(folder):
        digest.update(f"{path.name}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def loading(folder: Path, parameter: str) -> Iterator[None]:
    """Turn the library's many ways to fail at loading into one error with a remedy."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{folder}: can't be loaded ({type(error).__name__}: {reason}). Wanted a folder as "
            f"save_pretrained writes it; set {parameter} in params.yaml, or fetch the model again."
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' progress bars and its list of missing tensors, which callers check themselves."""
    from transformers.utils import logging as library

    shown, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if shown:
            library.enable_progress_bar()


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
