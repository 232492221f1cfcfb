"""The web app: one page, and what it asks for. Nothing is loaded from anywhere else."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, WebSocket, WebSocketException
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as ASGIMessage

from omniges.api import FORMATS, Omniges
from omniges.api.hearing import spread_words
from omniges.api.take import write_sound
from omniges.errors import OmnigesError
from omniges.rendering.page import body_json, piece
from omniges.rendering.painter import HUES, shirt_color
from omniges.serve.limits import Limits
from omniges.serve.live import live
from omniges.serve.moving import Message, Mover
from omniges.serve.takes import Kept, TakeStore
from omniges.serve.uploads import TooLargeError, clean_name, receive

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PIECES = {
    "three.min.js": "omniges.rendering",
    "player.js": "omniges.rendering",
    "player.css": "omniges.rendering",
    "serve.js": "omniges.serve",
    "serve.css": "omniges.serve",
    "recorder.js": "omniges.serve",
}
TYPES = {"js": "text/javascript", "css": "text/css"}
HEIGHTS = (480, 720, 1080)
SWEEP_S = 20.0
MOST_WORDS = 4000  # characters

Seed = Annotated[int, Query(ge=0, le=2**31 - 1)]


def same_origin(connection: HTTPConnection) -> None:
    """Refuse what another site's page sends: browsers let it reach this machine, but say where it is from."""
    origin = connection.headers.get("origin")
    if origin is None or urlsplit(origin).netloc == connection.headers.get("host"):
        return
    reason = f"This server answers its own page only, not {origin}."
    if connection.scope["type"] == "websocket":
        raise WebSocketException(1008, reason)
    raise HTTPException(403, reason)


class Headers:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: ASGIMessage) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, with_headers)


class Lines(StreamingResponse):
    """Messages, one a line; when the reader leaves, what makes them is closed: others get their turn."""

    def __init__(self, messages: Generator[Message, None, None]) -> None:
        self.messages = messages
        super().__init__(self._lines(), media_type="application/x-ndjson")

    def _lines(self) -> Iterator[str]:
        try:
            for message in self.messages:
                yield json.dumps(message, separators=(",", ":")) + "\n"
        except OmnigesError as error:
            yield json.dumps({"kind": "failed", "error": str(error)}) + "\n"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.messages.close()


def make_app(omniges: Omniges, limits: Limits, hosts: list[str]) -> FastAPI:
    """The application.

    Args:
        omniges: the model.
        limits: see `Limits`.
        hosts: names under which it may be asked (another name is another site's trick); `*` allows all.
    """
    store, mover = TakeStore(limits), Mover(omniges)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP_S)
                await run_in_threadpool(store.sweep)

        sweeping = asyncio.create_task(sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            mover.closing.set()
            store.close()

    app = FastAPI(title="Omniges", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.store, app.state.mover, app.state.limits = store, mover, limits
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.add_middleware(Headers)
    app.include_router(router)

    @app.exception_handler(OmnigesError)
    async def explain(_: Request, error: OmnigesError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 413 if isinstance(error, TooLargeError) else 400)

    @app.exception_handler(HTTPException)
    async def refuse(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    return app


router = APIRouter(dependencies=[Depends(same_origin)])


@router.get("/")
def page() -> Response:
    return Response(piece("serve.html", "omniges.serve"), media_type="text/html")


@router.get("/settings.json")
def settings(request: Request) -> dict[str, Any]:
    """What the page must know before anything moves."""
    limits: Limits = request.app.state.limits
    omniges: Omniges = request.app.state.mover.omniges
    return {
        "body": body_json(),
        "speakers": list(omniges.speakers),
        "live_delay_s": omniges.stream([], **omniges.live()).delay_s,
        "colors": [list(shirt_color(index)) for index in range(len(HUES))],
        "upload_bytes": limits.upload_bytes,
        "longest_s": limits.longest_s,
        "keep_s": limits.keep_s,
    }


@router.get("/{name}", response_class=Response)
def page_piece(name: str) -> Response:
    if name not in PIECES:
        raise HTTPException(404, f"{name}: there is no such page.")
    kind = TYPES[name.rpartition(".")[2]]
    return Response(piece(name, PIECES[name]), media_type=kind)


@router.post("/takes")
async def upload(
    request: Request,
    name: str = "speech",
    seed: Seed = 0,
    speaker: int | None = None,
    said: Annotated[str, Query(max_length=MOST_WORDS)] = "",
) -> Lines:
    """Motion for the sound file in the request's body; answers one JSON message a line, see `moving`."""
    state = request.app.state
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isdigit() else None
    shown = name[:200] or "speech"
    wave = await receive(request.stream(), declared, shown, state.store.folder, state.limits)
    _check_speaker(state.mover, speaker)
    words = await run_in_threadpool(spread_words, said.split(), wave)
    kept = state.store.add(clean_name(name), wave, tuple(words))
    return Lines(state.mover.recorded(kept, seed, speaker))


@router.post("/takes/{key}/again")
def again(request: Request, key: str, seed: Seed = 0, speaker: int | None = None) -> Lines:
    """Another take of a recording that is still kept."""
    state, old = request.app.state, _kept(request, key)
    _check_speaker(state.mover, speaker)
    kept = state.store.add(old.name, old.wave, old.words)
    return Lines(state.mover.recorded(kept, seed, speaker))


@router.websocket("/live")
async def voice(socket: WebSocket) -> None:
    """A voice that is being spoken; see `live`."""
    state = socket.app.state
    await live(socket, state.mover, state.store, state.limits)


@router.get("/takes/{key}/speech.wav")
def sound(request: Request, key: str) -> FileResponse:
    """The recording as the model heard it: 16 kHz, mono."""
    kept = _kept(request, key)
    with kept.lock:
        path = kept.folder / "speech.wav"
        if not path.is_file():
            write_sound(path, kept.wave)
    return FileResponse(path, media_type="audio/wav")


@router.get("/takes/{key}/motion.{kind}")
def motion(request: Request, key: str, kind: str, height: int = HEIGHTS[0]) -> FileResponse:
    """A take in one of `FORMATS`, made when it is first asked for."""
    kept = _kept(request, key)
    if kind not in FORMATS or height not in HEIGHTS:
        raise HTTPException(
            404, f"motion.{kind}: wanted one of {', '.join(FORMATS)}, and a height of {HEIGHTS}."
        )
    if kept.take is None:
        raise HTTPException(409, "The motion isn't whole yet.")
    with kept.lock:
        folder = kept.folder / str(height)
        path = folder / f"seed{kept.take.seed}.{kind}"
        if not path.is_file():
            kept.take.save(folder, (kind,), height=height)
    return FileResponse(path, filename=f"{kept.name}-seed{kept.take.seed}.{kind}")


@router.delete("/takes/{key}", status_code=204)
def forget(request: Request, key: str) -> None:
    """Drop a take now."""
    request.app.state.store.remove(key)


def _kept(request: Request, key: str) -> Kept:
    kept: Kept | None = request.app.state.store.get(key)
    if kept is None:
        minutes = request.app.state.limits.keep_s / 60
        raise HTTPException(
            404, f"This take is no longer kept (dropped after {minutes:g} minutes without use)."
        )
    return kept


def _check_speaker(mover: Mover, speaker: int | None) -> None:
    """Before the answer begins, since its status can't be changed afterwards."""
    if speaker is not None and speaker not in mover.omniges.speakers:
        raise HTTPException(400, f"speaker {speaker}: the model knows {list(mover.omniges.speakers)}.")
