"""The `omniges` command. Each command is a module that imports heavy packages only when it runs."""

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import typer

from omniges import log
from omniges.errors import OmnigesError

# command → module:function. A start imports its own command's module alone, `--help` all of them.
COMMANDS = {
    "stage": "omniges.cli.stages:stage",
    "generate": "omniges.cli.generate:generate",
    "tokenizer": "omniges.cli.tokenizer:tokenizer",
    "corpus": "omniges.cli.corpus:corpus",
    "evaluate": "omniges.cli.evaluate:evaluate",
    "compare": "omniges.cli.compare:compare",
    "view": "omniges.cli.view:view",
    "serve": "omniges.cli.serve:serve",
    "doctor": "omniges.cli.doctor:doctor",
    "download": "omniges.cli.download:download",
    "params": "omniges.cli.params:params",
    "status": "omniges.cli.status:status",
    "summary": "omniges.cli.summary:summary",
    "record": "omniges.cli.record:record",
    "gc": "omniges.cli.gc:gc",
}


class _App(typer.Typer):
    """Prints errors that a user can act on, without a traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        log.setup()
        try:
            return super().__call__(*args, **kwargs)
        except OmnigesError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)


def __getattr__(name: str) -> Any:
    """`app` is built when it is asked for: the Snakefile needs this package, but none of its commands."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _build()


@cache
def _build() -> _App:
    app = _App(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback(help="Gesture from speech; the pipeline runs by `dvc repro` or `snakemake`.")(_group)
    for name in _wanted():
        module, _, function = COMMANDS[name].partition(":")
        app.command(name)(getattr(importlib.import_module(module), function))
    return app


def _group() -> None:
    """Keeps `app` a group of commands, even where only one of them is loaded."""


def _wanted() -> list[str]:
    """The command that is being called; all of them where that can't be told (help, tests)."""
    called = Path(sys.argv[0]).name in ("omniges", "__main__.py") and len(sys.argv) > 1
    return [sys.argv[1]] if called and sys.argv[1] in COMMANDS else list(COMMANDS)
