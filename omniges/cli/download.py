"""`omniges download`: data and weights from their own hubs, with size and licence shown first."""

import logging
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any

import typer

from omniges.errors import DataError
from omniges.files import read_json

log = logging.getLogger(__name__)
BY_HAND = """Behind a registration, so not fetched here:
  SMPL-X body  https://smpl-x.is.tue.mpg.de  (own licence; set evaluate.smplx_model)"""


def download(
    what: Annotated[
        list[str] | None, typer.Argument(help="Names from the list; none shows the list.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to; each thing has a usual place.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="The licence is read and agreed to.")] = False,
) -> None:
    """Fetch BEAT2, WavLM, a text encoder or published tokenizers; interrupted downloads go on."""
    sources = read_json(Path(__file__).with_name("sources.json"))
    if not what:
        for name, source in sources.items():
            typer.echo(f"{name:8} {source['what']}\n         {source['repo']} → {source['folder']}")
            typer.echo(f"         licence: {source['licence']}")
        typer.echo(BY_HAND)
        return
    unknown = sorted(set(what) - set(sources))
    if unknown:
        raise DataError(f"download: got {', '.join(unknown)}; wanted some of {', '.join(sources)}.")
    if folder is not None and len(what) > 1:
        raise DataError("download: --folder takes one thing at a time.")
    for name in what:
        _fetch(name, sources[name], folder or Path(sources[name]["folder"]), yes)


def _fetch(name: str, source: dict[str, Any], folder: Path, yes: bool) -> None:
    """Show size and licence, ask, fetch; the hub's client checks hashes and resumes."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        info: Any = HfApi().repo_info(source["repo"], repo_type=source["kind"], files_metadata=True)
        sizes = [
            entry.size or 0
            for entry in info.siblings or []
            if any(fnmatch(entry.rfilename, pattern) for pattern in source["files"])
        ]
        if not sizes:
            raise DataError(
                f"{name}: {source['repo']} holds none of {', '.join(source['files'])} any more. "
                "Look at its page, and fetch by hand."
            )
        typer.echo(f"{name}: {source['what']}; {len(sizes)} files, {sum(sizes) / 1e9:.2f} GB → {folder}")
        typer.echo(f"licence: {source['licence']}")
        if not yes and not typer.confirm("Fetch it?"):
            raise typer.Abort()
        snapshot_download(
            source["repo"],
            repo_type=source["kind"],
            revision=info.sha,
            allow_patterns=source["files"],
            local_dir=folder,
        )
    except Exception as error:
        if not _is_networks(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{name}: {source['repo']} can't be had from the Hugging Face hub: {reason}. "
            "Is there a network, and is HF_HUB_OFFLINE unset? Run the same command again to go on."
        ) from error
    log.info("%s: fetched into %s. %s", name, folder, source["then"])


def _is_networks(error: Exception) -> bool:
    """Whether the hub's client raised, or the HTTP library below it, which has changed before."""
    packages = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(packages & {"huggingface_hub", "httpx", "httpx2", "requests"})
