"""`omniges gc`: make room in the store of earlier results."""

from typing import Annotated

import typer

from omniges.errors import PipelineError


def gc(
    days: Annotated[float, typer.Option(help="Keep what was used within this many days.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Drop earlier results that no output of this checkout uses; DVC's cache has its own `dvc gc`."""
    from omniges.cli.planning import STATE, records
    from omniges.pipeline.collect import collect, in_use
    from omniges.pipeline.locks import acquire, holder

    lock = acquire(STATE / "lock")
    if lock is None:
        raise PipelineError(f"a run (process {holder(STATE / 'lock')}) is at work here; wait for its end.")
    with lock:
        found = collect(records() / "store", used=in_use(), older_than_s=days * 86400, dry_run=dry_run)
    verb = "would drop" if dry_run else "dropped"
    print(f"{verb} {found.results} results, {found.files} files; {found.size / 1e6:.1f} MB freed.")
