"""Pages in headless Chromium, by Playwright, and what a page asked for and said while it was open."""

import contextlib
import fcntl
import io
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--use-angle=swiftshader --enable-unsafe-swiftshader --autoplay-policy=no-user-gesture-required "
    "--use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@dataclass
class Watched:
    """A tab with its requests, console messages and faults."""

    page: object
    requests: list = field(default_factory=list)
    said: list = field(default_factory=list)

    def picture(self):
        """What the tab shows, [H, W, 3]."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"), np.int16)


@contextlib.contextmanager
def browser(*more):
    """A browser with a profile of its own, which Playwright makes and removes; `more` flags are appended.

    One at a time on a machine: of two, each was seen to stand still for a minute now and then.
    """
    from playwright.sync_api import sync_playwright

    with (Path(tempfile.gettempdir()) / "omniges-test-browser.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS.split(), *more])
            try:
                yield chromium
            finally:
                chromium.close()


@contextlib.contextmanager
def tab(chromium, width=640, height=480, **options):
    """A fresh tab, watched from its first request on."""
    context = chromium.new_context(viewport={"width": width, "height": height}, **options)
    watched = Watched(context.new_page())
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.on("websocket", lambda socket: watched.requests.append(socket.url))
    watched.page.on("console", lambda message: watched.said.append(f"{message.type}: {message.text}"))
    watched.page.on("pageerror", lambda error: watched.said.append(f"fault: {error}"))
    try:
        yield watched
    finally:
        context.close()


def until(page, expression, seconds=120):
    """Wait until an expression holds. (Playwright's own waiting needs `eval`, which the pages forbid.)"""
    end = time.monotonic() + seconds
    while not (value := page.evaluate(expression)):
        if time.monotonic() > end:
            said = page.evaluate("typeof app === 'object' ? [app.errors, app.busy, app.takes.length] : null")
            pytest.fail(f"{expression} did not come true in {seconds} s; errors, busy, takes: {said}")
        page.wait_for_timeout(50)
    return value


def moved(one, other):
    """Share of the pixels that differ plainly."""
    return float((np.abs(one - other).max(2) > 40).mean())


STEPS = """(async () => {
  // at every drawn frame: the time of the drawn pose and the sound's own time
  const sound = document.getElementById("sound"), out = [];
  const begun = performance.now(), before = omniges.drawn;
  let seen = omniges.drawn;
  document.getElementById("play").click();
  while (performance.now() - begun < 60000 && !(out.length > 12 && omniges.time > SECONDS)) {
    await new Promise(requestAnimationFrame);
    if (omniges.drawn > seen && omniges.playing && !omniges.waiting && sound.currentTime > 0)
      out.push([omniges.drawnTime, sound.currentTime]);
    seen = omniges.drawn;
  }
  document.getElementById("play").click();
  return { out, drawn: omniges.drawn - before };
})()"""


def play(page, seconds):
    """Play that far and pause. Returns [n, 2]: the drawn pose's time and the sound's, frame by frame."""
    return np.array(page.evaluate(STEPS.replace("SECONDS", str(seconds)))["out"])
