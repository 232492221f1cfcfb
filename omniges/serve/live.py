"""A voice that is being spoken: samples come over a WebSocket, a body's frames go back. Shapes: N samples."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from omniges.errors import DataError, OmnigesError
from omniges.serve.limits import Limits
from omniges.serve.moving import Message, Mover, begun
from omniges.serve.takes import TakeStore
from omniges.serve.uploads import TooLargeError, check_length, clean_name
from omniges.timing import SAMPLE_RATE

Say = Callable[[Message | None], object]


class Start(BaseModel):
    """The first message of a live voice; binary ones follow: float32 samples, little-endian, one channel."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rate: int = Field(ge=8_000, le=192_000)
    name: str = "recording"
    seed: int = Field(default=0, ge=0)
    speaker: int | None = None


class Incoming:
    """Samples on their way from the socket to the model, at 16 kHz."""

    def __init__(self, rate: int, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.waves: list[NDArray[np.float32]] = []
        self._resampler = soxr.ResampleStream(
            rate, SAMPLE_RATE, num_channels=1, dtype="float32", quality="HQ"
        )
        self._queue: queue.Queue[NDArray[np.float32] | None] = queue.Queue()
        self._gone = threading.Event()

    def push(self, data: bytes) -> None:
        """Take in one binary message."""
        if len(data) % 4:
            raise DataError(f"{self.name}: got {len(data)} bytes, wanted float32 samples.")
        wave = np.frombuffer(data, "<f4")
        if not np.isfinite(wave).all():
            raise DataError(f"{self.name}: got samples that aren't finite.")
        self._put(self._resampler.resample_chunk(wave, last=False))
        check_length(sum(map(len, self.waves)), self.name, self.limits)

    def end(self) -> None:
        self._put(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._queue.put(None)

    def leave(self) -> None:
        """Nobody listens any more: the model stops at its next piece."""
        self._gone.set()
        self._queue.put(None)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        while (wave := self._queue.get()) is not None:
            if self._gone.is_set():
                break
            yield wave
        if self._gone.is_set():
            raise DataError(f"{self.name}: the page was closed.")

    def wave(self) -> NDArray[np.float32]:
        """All samples so far, [N]."""
        return np.concatenate([np.zeros(0, np.float32), *self.waves])

    def _put(self, wave: NDArray[np.float32]) -> None:
        if len(wave):
            self.waves.append(wave)
            self._queue.put(wave)


async def live(socket: WebSocket, mover: Mover, store: TakeStore, limits: Limits) -> None:
    """Serve one live voice, from its first message to `done` or `failed`."""
    await socket.accept()
    try:
        start = Start.model_validate_json(await socket.receive_text())
    except (ValidationError, KeyError) as error:
        await _say(socket, {"kind": "failed", "error": f"The first message can't be read: {error}"})
        return
    except WebSocketDisconnect:
        return
    sound = Incoming(start.rate, clean_name(start.name), limits)
    outgoing: asyncio.Queue[Message | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    worker = threading.Thread(
        target=_work,
        args=(mover, store, sound, start, lambda item: loop.call_soon_threadsafe(outgoing.put_nowait, item)),
        daemon=True,
    )
    worker.start()
    hearing = asyncio.create_task(_hear(socket, sound, outgoing))
    try:
        while (message := await outgoing.get()) is not None:
            await socket.send_json(message)
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):  # the page was closed
        pass
    finally:
        sound.leave()
        hearing.cancel()


async def _hear(socket: WebSocket, sound: Incoming, outgoing: asyncio.Queue[Message | None]) -> None:
    """Pass on what the page sends, until it says `end` or goes."""
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect
            if (data := message.get("bytes")) is not None:
                sound.push(data)
            else:
                sound.end()
                return
    except TooLargeError:
        sound.end()  # what was heard so far is a recording of the greatest length
    except DataError as error:
        sound.leave()
        await outgoing.put({"kind": "failed", "error": str(error)})
        await outgoing.put(None)
    except WebSocketDisconnect:
        sound.leave()
        await outgoing.put(None)


def _work(mover: Mover, store: TakeStore, sound: Incoming, start: Start, say: Say) -> None:
    """Generate in a thread of its own; `say(message)` reaches the page, `say(None)` ends."""
    kept = store.add(sound.name, np.zeros(0, np.float32))

    def chunks() -> Iterator[NDArray[np.float32]]:
        yield from sound
        kept.wave = sound.wave()

    try:
        with mover.turn:
            say(begun(kept, 0.0))
            options = mover.omniges.live()
            for message in mover.streamed(kept, chunks(), start.seed, start.speaker, **options):
                say(message)
    except OmnigesError as error:
        store.remove(kept.key)
        say({"kind": "failed", "error": str(error)})
    except Exception:
        store.remove(kept.key)
        say({"kind": "failed", "error": "The server failed; its log says why."})
        raise
    finally:
        with contextlib.suppress(RuntimeError):  # the server's loop may have ended
            say(None)


async def _say(socket: WebSocket, message: Message) -> None:
    await socket.send_json(message)
    await socket.close(code=1008)
