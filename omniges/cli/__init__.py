"""The `omniges` command. Each command is a module that imports heavy packages only when it runs."""

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
