"""The app's page in a real browser: a file and a microphone go in, a body moves, files come out."""

import av
import numpy as np
import pytest
import soundfile as sf
from browsing import browser, moved, needs_chromium, play, tab, until

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """4 s of harmonic bursts."""
    t = np.arange(64_000) / 16_000
    wave = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12)) * 0.1 * ((t % 1.5) < 1.0)
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    sf.write(path, wave, 16_000)
    return path


@pytest.fixture(scope="module")
def chromium(voice):
    with browser(f"--use-file-for-fake-audio-capture={voice}") as opened:
        yield opened


def opened(watched, server):
    watched.page.goto(server.url)
    until(watched.page, "window.omniges && omniges.drawn > 0")
    return watched.page


def kept_to_itself(watched, server):
    own = (server.url, f"ws://{server.host}/live", "blob:", "data:")
    assert [url for url in watched.requests if not url.startswith(own)] == []
    assert watched.said == []
    assert watched.page.evaluate("[...app.errors, ...omniges.errors]") == []


def test_a_file_moves_the_body_in_step_and_its_files_can_be_taken(chromium, server, voice, tmp_path):
    with tab(chromium) as watched:
        page = opened(watched, server)
        empty = watched.picture()
        page.set_input_files("#file", voice)
        until(page, "app.player.clips.length > 0")
        until(page, "app.takes.length == 1 && !app.busy")
        page.evaluate("app.player.pause(); app.player.seek(0)")
        page.wait_for_timeout(300)
        first = watched.picture()
        assert moved(empty, first) > 0.01, "no body came"
        times = play(page, 1.0)
        assert np.abs(times[:, 0] - times[:, 1]).max() < 0.040, "motion and sound apart by more than 40 ms"
        page.click("#again")
        until(page, "app.takes.length == 2 && !app.busy")
        assert page.locator(".label").all_text_contents() == ["seed 0", "seed 1"]
        with page.expect_download() as taken:
            page.locator("#files a", has_text="bvh").first.click()
        assert taken.value.suggested_filename == "voice-seed0.bvh"
        assert taken.value.path().read_text().startswith("HIERARCHY")
        kept_to_itself(watched, server)


def test_the_video_of_a_take_can_be_taken(chromium, server, voice):
    with tab(chromium) as watched:
        page = opened(watched, server)
        page.set_input_files("#file", voice)
        until(page, "app.takes.length == 1 && !app.busy")
        with page.expect_download(timeout=120_000) as taken:
            page.locator("#files a", has_text="mp4").click()
        assert taken.value.suggested_filename == "voice-seed0.mp4"
        with av.open(str(taken.value.path())) as film:
            assert sum(1 for _ in film.decode(video=0)) == 120  # 4 s
        with av.open(str(taken.value.path())) as film:
            seconds = sum(frame.samples for frame in film.decode(audio=0)) / 16_000
        assert seconds == pytest.approx(4.0, abs=0.15)
        kept_to_itself(watched, server)


def test_a_microphone_moves_the_body_while_it_is_still_on(chromium, server):
    with tab(chromium) as watched:
        page = opened(watched, server)
        page.click("#record")
        until(page, "app.player.clips.length > 0 && omniges.time > 0")  # still recording
        assert page.locator("#record").text_content() == "Stop"
        heard, shown = page.evaluate("[app.player.total, app.player.ready]")
        assert 0 < shown < heard
        page.click("#record")
        until(page, "app.takes.length == 1 && !app.busy")
        sound = until(page, "document.getElementById('sound').duration || 0")  # NaN until it is read
        assert sound == pytest.approx(page.evaluate("app.player.ready"), abs=0.04)
        assert page.evaluate("app.player.peaks.some(p => p > 0.5)"), "the microphone was silent"
        times = play(page, 0.5)
        assert np.abs(times[:, 0] - times[:, 1]).max() < 0.040
        kept_to_itself(watched, server)


def test_a_bad_file_is_explained_and_the_next_good_one_still_works(chromium, server, voice, tmp_path):
    bad, large = tmp_path / "notes.wav", tmp_path / "large.wav"
    bad.write_text("no sound at all " * 40)
    large.write_bytes(bytes(2_000_001))
    with tab(chromium, 390, 780, is_mobile=True, has_touch=True) as watched:
        page = opened(watched, server)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#options summary").tap()
        box = page.locator("#options > div").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        page.locator("#options summary").tap()
        page.set_input_files("#file", bad)
        until(page, "document.getElementById('status').classList.contains('bad')")
        assert "notes.wav: no sound that" in page.locator("#status").text_content()
        page.set_input_files("#file", large)
        until(page, "app.errors.length == 2")
        assert "2 MB at most" in page.locator("#status").text_content()
        page.set_input_files("#file", voice)
        until(page, "app.takes.length == 1 && !app.busy")
        assert page.locator("#status").text_content() == "All of it is ready."
        assert page.locator("#stage").bounding_box()["height"] > 200
