"""The page in a real browser: it plays, moves, keeps in step with the sound, and asks the network for
nothing.
"""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from moving import moving
from PIL import Image

from omniges.errors import DataError
from omniges.rendering.viewer import motion_beats_s, write_viewer
from omniges.types import Word

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--no-first-run",
    ),
    *("--autoplay-policy=no-user-gesture-required", "--window-size=700,560", "--remote-debugging-port=0"),
)


class Page:
    """A tab, spoken to over the DevTools protocol."""

    def __init__(self, socket):
        self.socket, self.number, self.seen = socket, 0, []

    async def call(self, method, **params):
        self.number += 1
        number = self.number
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.seen.append(message)

    async def value(self, expression):
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def picture(self):
        shot = await self.call("Page.captureScreenshot", format="png")
        image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
        return np.asarray(image, np.int16)


def browse(path, act):
    """Open a file in headless Chromium and run `await act(page)`."""

    async def session(port):
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(t for t in await answer.json(content_type=None) if t["type"] == "page")
            async with client.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Network", "Log"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.navigate", url=path.resolve().as_uri())
                for _ in range(200):
                    if await page.value("window.omniges && window.omniges.drawn > 2"):
                        break
                    await asyncio.sleep(0.1)
                return await act(page), page

    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return asyncio.run(session(_port(Path(profile), process)))
        finally:
            process.terminate()
            process.wait(20)


def _port(profile, process):
    for _ in range(300):
        note = profile / "DevToolsActivePort"
        if note.is_file() and note.read_text().strip():
            return int(note.read_text().split()[0])
        assert process.poll() is None, "Chromium ended before it was ready"
        time.sleep(0.1)
    raise AssertionError("Chromium did not open its port in 30 s")


SAMPLE = """(async () => {
  const sound = document.getElementById('sound'), out = [], before = omniges.drawn;
  document.getElementById('play').click();
  for (let i = 0; i < 8; i++) {
    await new Promise(go => setTimeout(go, 120));
    await new Promise(requestAnimationFrame);
    out.push([omniges.time, sound.currentTime]);
  }
  document.getElementById('play').click();
  return { out, drawn: omniges.drawn - before, soundLength: sound.duration, ready: sound.readyState };
})()"""


async def look(page):
    first = await page.picture()
    played = await page.value(SAMPLE)
    later = await page.picture()
    await page.value(
        "[...document.querySelectorAll('#cameras button')].find(b => b.textContent == 'face').click()"
    )
    await page.value("new Promise(go => setTimeout(go, 400))")
    face = await page.picture()
    pressed = await page.value("document.querySelector('#cameras button[aria-pressed=true]').textContent")
    await page.value("window.dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}))")
    home = await page.value("omniges.time")
    return {
        "first": first,
        "later": later,
        "face": face,
        "pressed": pressed,
        "home": home,
        "played": played,
        "errors": await page.value("omniges.errors"),
        "labels": await page.value("[...document.querySelectorAll('.label')].map(e => e.textContent)"),
    }


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_page_plays_in_step_with_its_sound_and_needs_no_network(tmp_path, wave):
    path = tmp_path / "view.html"
    motions = {"ground truth": moving(8, seed=1), "<b>seed 0</b>": moving(8, seed=2)}
    write_viewer(path, motions, np.tile(wave, 4), [Word(text="</script>", start_s=0.2, end_s=0.6)])
    seen, page = browse(path, look)
    assert seen["errors"] == []
    assert seen["labels"] == ["ground truth", "<b>seed 0</b>"]  # as text, never as markup
    gap = np.abs(np.diff(np.array(seen["played"]["out"]), axis=1))
    assert gap.max() < 0.040, "motion and sound apart by more than 40 ms"
    times = [t for t, _ in seen["played"]["out"]]
    assert max(times) > times[0] + 0.2, "the sound's clock does not run"
    assert seen["played"]["soundLength"] == pytest.approx(8.0, abs=0.09)
    assert (np.abs(seen["later"] - seen["first"]).max(2) > 40).mean() > 0.01, "the picture stands still"
    assert (np.abs(seen["face"] - seen["later"]).max(2) > 40).mean() > 0.1, "the camera did not move"
    assert (seen["pressed"], seen["home"]) == ("face", 0)
    requests = [
        m["params"]["request"]["url"] for m in page.seen if m["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    logged = [m["params"] for m in page.seen if m["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert logged == []


def test_words_cannot_break_out_of_the_page(tmp_path, motion):
    path = tmp_path / "view.html"
    write_viewer(path, {"a": motion}, None, [Word(text="</script><script>alert(1)", start_s=0, end_s=1)])
    text = path.read_text("utf-8")
    assert text.count("</script>") == 1
    start = text.index("const DATA = ") + len("const DATA = ")
    data = json.loads(text[start : text.index(";\n", start)])
    assert data["words"][0]["text"] == "</script><script>alert(1)"
    assert len(base64.b64decode(data["mesh"]["weights"])) % 4 == 0
    weights = np.frombuffer(base64.b64decode(data["mesh"]["weights"]), np.uint8).reshape(-1, 4)
    assert (weights.astype(int).sum(1) == 255).all()


def test_beats_are_where_a_swinging_hand_turns():
    t = np.arange(300) / 30
    joints = np.zeros((300, 55, 3))
    joints[:, 20, 0] = 0.3 * np.cos(2 * np.pi * 0.5 * t)  # turns at every whole second
    beats = motion_beats_s(joints, 30)
    assert len(beats) == 9
    np.testing.assert_allclose(beats, np.arange(1, 10), atol=0.04)


def test_nothing_to_show_is_refused(tmp_path):
    with pytest.raises(DataError, match="got 0 motions"):
        write_viewer(tmp_path / "a.html", {}, None)
