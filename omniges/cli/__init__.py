"""The `omniges` command. Each command is a module that imports heavy packages only when it runs."""

import importlib
import sys
from typing import Any

import typer

from omniges import log
from omniges.errors import OmnigesError

# command → module:function; the modules must be light at the top, since every start imports them.
COMMANDS = {
    "stage": "omniges.cli.stages:stage",
    "params": "omniges.cli.params:params",
    "status": "omniges.cli.status:status",
    "summary": "omniges.cli.summary:summary",
    "record": "omniges.cli.record:record",
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


app = _App(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

for _name, _target in COMMANDS.items():
    _module, _, _function = _target.partition(":")
    app.command(_name)(getattr(importlib.import_module(_module), _function))
