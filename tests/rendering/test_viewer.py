"""The page in a real browser: it plays, moves, keeps in step with the sound, and asks the network for
nothing.
"""

import base64
import json
import re

import numpy as np
import pytest
from browsing import browser, moved, needs_chromium, play, tab, until
from moving import moving

from omniges.audio.onsets import onset_times
from omniges.errors import DataError
from omniges.rendering.page import motion_beats_s, sound_json
from omniges.rendering.viewer import write_viewer
from omniges.types import Word


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page_of_two(tmp_path_factory):
    """Two bodies, 8 s of clicks with a tone, a word that would like to be markup."""
    t = np.arange(32_000) / 16_000
    click = (0.5 * np.sin(2 * np.pi * 440 * t) * np.exp(-8 * np.maximum(t - 1, 0)) * (t >= 1)).astype("f4")
    path = tmp_path_factory.mktemp("viewer") / "view.html"
    motions = {"ground truth": moving(8, seed=1), "<b>seed 0</b>": moving(8, seed=2)}
    write_viewer(path, motions, np.tile(click, 4), [Word(text="</script>", start_s=0.2, end_s=0.6)])
    return path


def opened(watched, path):
    watched.page.goto(path.resolve().as_uri())
    until(watched.page, "window.omniges && omniges.drawn > 0")
    return watched.page


def press(page, group, text):
    page.locator(f"#{group} button", has_text=re.compile(f"^{re.escape(text)}$")).click()


def settled(watched):
    """What is shown once the next frame is drawn."""
    watched.page.evaluate("new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")
    return watched.picture()


@needs_chromium
def test_page_plays_in_step_with_its_sound_and_needs_no_network(chromium, page_of_two):
    with tab(chromium) as watched:
        page = opened(watched, page_of_two)
        labels = page.locator(".label").all_text_contents()
        assert labels == ["ground truth", "<b>seed 0</b>"]  # as text, never as markup
        first = watched.picture()
        times = play(page, 1.5)
        assert len(times) > 5
        assert np.abs(times[:, 0] - times[:, 1]).max() < 0.040, "motion and sound apart by more than 40 ms"
        assert times[-1, 1] > times[0, 1] + 0.5, "the sound's clock does not run"
        assert page.evaluate("document.getElementById('sound').duration") == pytest.approx(8.0, abs=0.09)
        assert moved(first, settled(watched)) > 0.002, "the picture stands still"
        assert [url for url in watched.requests if not url.startswith(("file:", "data:", "blob:"))] == []
        assert (watched.said, page.evaluate("omniges.errors")) == ([], [])


@needs_chromium
def test_keys_and_buttons_move_time_camera_parts_and_bodies(chromium, page_of_two):
    with tab(chromium) as watched:
        page = opened(watched, page_of_two)
        page.keyboard.press("ArrowRight")
        page.keyboard.press(".")
        assert page.evaluate("omniges.time") == pytest.approx(0.5 + 1 / 30)
        box = page.locator("#line").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert page.evaluate("omniges.time") == pytest.approx(4.0, abs=0.02)
        before = settled(watched)
        page.keyboard.press("3")
        assert page.locator("#cameras button[aria-pressed=true]").all_text_contents() == ["face"]
        assert moved(before, settled(watched)) > 0.1, "the camera did not move"
        press(page, "cameras", "body")
        page.mouse.move(200, 200)
        page.mouse.down()
        page.mouse.move(260, 210, steps=3)
        page.mouse.up()
        assert page.evaluate("omniges.yaw") == pytest.approx(-0.48)
        press(page, "bodies", "<b>seed 0</b>")
        settled(watched)
        assert page.locator(".label:visible").all_text_contents() == ["ground truth"]
        page.select_option("#speed", "2")
        assert page.evaluate("document.getElementById('sound').playbackRate") == 2
        page.keyboard.press("Home")
        assert page.evaluate("omniges.time") == 0


@needs_chromium
def test_a_part_that_is_switched_off_stands_still_and_the_others_go_on(chromium, page_of_two):
    """Bones of the first body at two times, as three.js holds them."""
    bones = "player.clips[0].stage.bones.map(b => [b.quaternion.x, b.quaternion.y, b.quaternion.z])"
    with tab(chromium) as watched:
        page = opened(watched, page_of_two)
        press(page, "parts", "upper")
        now = np.array(page.evaluate(bones))
        page.evaluate("player.seek(0.4)")
        settled(watched)
        turned = np.abs(np.array(page.evaluate(bones)) - now).max(1)
        assert turned[16:22].max() < 1e-6  # shoulders to wrists
        assert turned[25:55].max() > 0.05
        assert turned[[1, 2, 4, 5]].max() > 0.05


@needs_chromium
def test_bones_stand_where_the_motion_puts_them(chromium, page_of_two):
    from omniges.motion.skeleton import joint_positions

    with tab(chromium) as watched:
        page = opened(watched, page_of_two)
        page.evaluate("player.seek(37 / 30)")
        settled(watched)
        got = page.evaluate("player.clips[0].stage.bones.map(b => b.matrixWorld.elements.slice(12, 15))")
        np.testing.assert_allclose(got, joint_positions(moving(8, seed=1))[37], atol=1e-3)


@needs_chromium
def test_on_a_phone_everything_fits_and_bodies_stand_where_there_is_room(chromium, page_of_two):
    with tab(chromium, 390, 780, has_touch=True, is_mobile=True, device_scale_factor=2) as watched:
        page = opened(watched, page_of_two)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("#stage").bounding_box()["height"] > 300
        for name in ("play", "line", "cameras", "parts"):
            box = page.locator(f"#{name}").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 391
            assert box["y"] + box["height"] <= 781
        page.locator("#play").tap()
        until(page, "omniges.time > 0.2")
        assert watched.said == []


def test_on_a_phone_neither_names_nor_words_lie_over_three_bodies(chromium, tmp_path, motion, wave):
    words = [Word(text="hello", start_s=0.0, end_s=2.0)]
    three = {"ground truth": motion, "seed 0": motion, "seed 1": motion}
    write_viewer(tmp_path / "view.html", three, wave, words)
    with tab(chromium, 390, 844, has_touch=True, is_mobile=True) as watched:
        page = opened(watched, tmp_path / "view.html")
        until(page, "document.getElementById('caption').textContent.includes('hello')")
        stage, caption = (page.locator(name).bounding_box() for name in ("#stage", "#caption"))
        assert caption["y"] >= stage["y"] + stage["height"] - 1
        names = [page.locator(".label").nth(i).bounding_box() for i in range(3)]
        bodies = page.evaluate("player.boxes")
        for name, body in zip(names, bodies, strict=True):
            assert name["y"] + name["height"] <= stage["y"] + body["y"] + 1
        assert (bodies[0]["y"], bodies[0]["width"], bodies[2]["width"]) == (bodies[1]["y"], 195, 390)
        assert bodies[2]["y"] >= bodies[0]["y"] + bodies[0]["height"]


def test_words_cannot_break_out_of_the_page(tmp_path, motion):
    path = tmp_path / "view.html"
    write_viewer(path, {"a": motion}, None, [Word(text="</script><script>alert(1)", start_s=0, end_s=1)])
    text = path.read_text("utf-8")
    assert text.count("</script>") == text.count("<script>") == 3
    start = text.index("const DATA = ") + len("const DATA = ")
    data = json.loads(text[start : text.index(";\n", start)])
    assert data["words"][0]["text"] == "</script><script>alert(1)"
    for mesh in data["body"]["mesh"].values():
        weights = np.frombuffer(base64.b64decode(mesh["skinWeight"]), np.uint8).reshape(-1, 4)
        assert (weights.astype(int).sum(1) == 255).all()
    assert "The MIT License" in text  # three.js travels with its notice


def test_peaks_and_onsets_are_those_of_the_wave(wave):
    found = sound_json(wave, 2.0)
    peaks = np.array(found["peaks"])
    assert len(peaks) == 900
    assert peaks[:440].max() == 0  # silence up to 1 s
    assert peaks.max() == 1
    np.testing.assert_allclose(found["onsets"], onset_times(wave), atol=1e-3)
    assert sound_json(None, 2.0) == {"peaks": [], "onsets": []}


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
