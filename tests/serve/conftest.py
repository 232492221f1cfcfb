"""The app on a port of its own, with the untrained model of tests/api."""

import threading
import time
from types import SimpleNamespace

import pytest
import uvicorn
from api.conftest import model_folder, omniges, tone  # noqa: F401

from omniges.serve.app import make_app
from omniges.serve.limits import Limits

LIMITS = Limits(upload_bytes=2_000_000, longest_s=20.0, keep_s=60.0, takes=6)


@pytest.fixture(scope="module")
def server(omniges):  # noqa: F811
    app = make_app(omniges, LIMITS, ["127.0.0.1", "localhost"])
    config = uvicorn.Config(app, port=0, log_level="warning", ws="websockets-sansio", ws_max_size=2**20)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield SimpleNamespace(url=f"http://127.0.0.1:{port}", host=f"127.0.0.1:{port}", state=app.state)
    running.should_exit = True
    thread.join(20)
    assert not app.state.store.folder.exists(), "the server left files behind"
