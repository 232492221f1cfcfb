"""`omniges serve`: the model behind a page, for one machine."""

import logging
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from omniges.errors import ConfigError

log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.1", "localhost")
NEEDED = ("fastapi", "uvicorn", "websockets")


def serve(
    model: Annotated[
        Path | None, typer.Option(help="A folder such as models/demo; the newest in models/ by default.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; anything but loopback lets others in.")
    ] = LOOPBACK[0],
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8765,
    upload_mb: Annotated[float, typer.Option(min=0.1, help="Largest sound file.")] = 50.0,
    minutes: Annotated[float, typer.Option(min=0.1, help="Longest recording.")] = 10.0,
    keep_minutes: Annotated[
        float, typer.Option(min=0.1, help="Takes are dropped after so long without use.")
    ] = 30.0,
    takes: Annotated[int, typer.Option(min=1, help="Takes kept at once; the oldest goes first.")] = 16,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Drop or record a voice in a web page, watch the body move, take the files."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"serve: {', '.join(missing)} not installed. Run: pip install 'omniges[serve]'")
    import uvicorn

    from omniges.api import Omniges
    from omniges.serve.app import make_app
    from omniges.serve.limits import Limits

    limits = Limits(
        upload_bytes=round(upload_mb * 1e6), longest_s=60 * minutes, keep_s=60 * keep_minutes, takes=takes
    )
    local = host in LOOPBACK
    app = make_app(Omniges.load(model), limits, [*LOOPBACK] if local else ["*"])
    if not local:
        log.warning("%s: everybody who reaches this address can use the server; it knows no accounts.", host)
    url = f"http://{host}:{port}/"
    log.info(
        "%s until Ctrl-C; a take goes %g minutes after it was last asked for, all go with the server",
        url,
        keep_minutes,
    )
    if show:
        webbrowser.open(url)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=2**20,
        timeout_graceful_shutdown=3,
    )
