"""The app, asked over the network as a page or a program would ask it."""

import base64
import contextlib
import io
import json

import httpx
import numpy as np
import pytest
import soundfile as sf
from scipy.spatial.transform import Rotation
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from omniges.data.beat2 import read_motion


def wav(wave, rate=16_000):
    stream = io.BytesIO()
    sf.write(stream, wave, rate, format="WAV")
    return stream.getvalue()


def post(server, data, **options):
    return httpx.post(
        f"{server.url}/takes", content=data, params={"name": "my voice.wav"} | options, timeout=60
    )


def messages(answer):
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def turns_of(blocks):
    raw = b"".join(base64.b64decode(block["turns"]) for block in blocks)
    return np.frombuffer(raw, "<i2").reshape(-1, 4) / 32767


def download(server, key, name, tmp_path):
    answer = httpx.get(f"{server.url}/takes/{key}/{name}", timeout=120)
    assert answer.status_code == 200, answer.text
    path = tmp_path / name
    path.write_bytes(answer.content)
    return path, answer.headers.get("content-disposition", "")


def test_a_file_moves_block_by_block_and_its_files_hold_what_was_shown(server, tone, tmp_path):
    wave = np.tile(tone, 2)
    seen = messages(post(server, wav(wave), seed=4, speaker=2))
    assert [message["kind"] for message in seen[:2]] == ["begun", "block"]
    assert seen[-1]["kind"] == "done"
    blocks = seen[1:-1]
    assert len(blocks) > 2
    starts = np.cumsum([0] + [block["frames"] for block in blocks])
    assert [block["start_frame"] for block in blocks] == list(starts[:-1])
    assert starts[-1] == 180  # 6 s at 30 fps
    path, disposition = download(server, seen[-1]["id"], "motion.npz", tmp_path)
    assert 'filename="my-voice-seed4.npz"' in disposition
    motion = read_motion(path)
    shown = Rotation.from_quat(turns_of(blocks))
    want = Rotation.from_rotvec(motion.poses.reshape(-1, 3).astype(float))
    assert (shown.inv() * want).magnitude().max() < 1e-3  # 16 bits
    sound, _ = download(server, seen[-1]["id"], "speech.wav", tmp_path)
    np.testing.assert_allclose(sf.read(sound)[0], wave, atol=1e-4)
    for kind in ("bvh", "json", "glb"):
        assert download(server, seen[-1]["id"], f"motion.{kind}", tmp_path)[0].stat().st_size > 1000
    held = {path.name for path in server.state.store.folder.iterdir()}
    assert not [name for name in held if name.startswith("upload")], "the upload was kept"


def test_words_and_another_take_of_the_same_recording(server, tone):
    first = messages(post(server, wav(tone), said="hello out there"))
    assert [word["text"] for word in first[0]["words"]] == ["hello", "out", "there"]
    again = httpx.post(f"{server.url}/takes/{first[0]['id']}/again", params={"seed": 9}, timeout=60)
    second = messages(again)
    assert second[0]["id"] != first[0]["id"]
    assert second[0]["words"] == first[0]["words"]
    assert np.abs(turns_of(second[1:-1]) - turns_of(first[1:-1])).max() > 1e-3


CONCAT = b"ffconcat version 1.0\nfile speech.wav\n"


@pytest.mark.parametrize(
    ("data", "options", "status", "says"),
    [
        (b"", {}, 400, "my voice.wav: got an empty file"),
        (b"this is not sound\n" * 50, {}, 400, "my voice.wav: no sound that"),
        (CONCAT, {}, 400, "my voice.wav: no sound that"),
        (wav(np.zeros(800, np.float32)), {}, 400, "lasts 0.050 s, wanted 0.2 s"),
        (wav(np.zeros(16_000, np.float32)), {"speaker": 9}, 400, "speaker 9: the model knows [1, 2]"),
        (bytes(2_000_001), {}, 413, "my voice.wav: got 2.0 MB, wanted 2 MB at most"),
        (wav(np.zeros(30 * 16_000, np.float32)), {}, 413, "lasts more than"),
        (wav(np.full(16_000, np.nan)[:, None].astype("f4"))[:44], {}, 400, "got no samples"),
        (wav(np.zeros(16_000, np.float32)), {"seed": -1}, 422, "seed"),
    ],
    ids=["empty", "text", "playlist", "short", "speaker", "large", "long", "header", "seed"],
)
def test_what_cannot_be_moved_is_refused_in_words(server, data, options, status, says):
    answer = post(server, data, **options)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert str(server.state.store.folder) not in answer.text  # nothing of this machine's paths
    assert not list(server.state.store.folder.glob("upload*"))


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(server):
    def endless():
        for _ in range(100):
            yield bytes(100_000)

    answer = post(server, endless())
    assert answer.status_code == 413
    assert "got more than 2 MB" in answer.text


def test_a_reader_who_leaves_frees_the_model_for_the_next(server, tone):
    with httpx.stream("POST", f"{server.url}/takes", content=wav(np.tile(tone, 6)), timeout=60) as answer:
        next(answer.iter_lines())
    assert messages(post(server, wav(tone)))[-1]["kind"] == "done"


def test_other_sites_and_other_names_are_refused(server, tone):
    foreign = {"Origin": "http://elsewhere.example"}
    answer = httpx.post(f"{server.url}/takes", content=wav(tone), headers=foreign)
    assert answer.status_code == 403
    assert httpx.get(server.url, headers={"Host": "elsewhere.example"}).status_code == 400
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(f"ws://{server.host}/live", origin=foreign["Origin"]),
    ):
        pass


def test_pages_carry_their_policy_and_unknown_ones_do_not_exist(server):
    page = httpx.get(server.url)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "http" not in page.text.replace("https only", "")  # nothing from elsewhere
    assert httpx.get(f"{server.url}/player.js").headers["content-type"].startswith("text/javascript")
    for path in ("/nothing.js", "/takes/none/motion.npz", "/takes/none/speech.wav", "/../pyproject.toml"):
        assert httpx.get(f"{server.url}{path}").status_code == 404


def test_a_take_can_be_forgotten_at_once(server, tone):
    key = messages(post(server, wav(tone)))[0]["id"]
    assert httpx.get(f"{server.url}/takes/{key}/motion.exe").status_code == 404
    assert httpx.delete(f"{server.url}/takes/{key}").status_code == 204
    gone = httpx.get(f"{server.url}/takes/{key}/motion.npz")
    assert (gone.status_code, "no longer kept" in gone.text) == (404, True)


@contextlib.contextmanager
def spoken(server, wave, rate=16_000, **start):
    with connect(f"ws://{server.host}/live", max_size=None) as socket:
        socket.send(json.dumps({"rate": rate, **start}))
        for at in range(0, len(wave), 2048):
            socket.send(wave[at : at + 2048].astype("<f4").tobytes())
        yield socket


def failure(socket):
    """The error that a live voice ends with."""
    while (message := json.loads(socket.recv(30)))["kind"] != "failed":
        assert message["kind"] == "begun"
    return message["error"]


def test_a_live_voice_moves_the_body_before_it_has_ended(server, tone, tmp_path):
    wave = np.tile(tone, 2)
    with spoken(server, np.repeat(wave, 3), rate=48_000, seed=1) as socket:
        begun, block = json.loads(socket.recv(30)), json.loads(socket.recv(30))
        assert (begun["kind"], block["kind"], block["start_frame"]) == ("begun", "block", 0)
        socket.send("end")  # only now
        seen = [begun, block]
        while seen[-1]["kind"] not in ("done", "failed"):
            seen.append(json.loads(socket.recv(30)))
    assert seen[-1]["kind"] == "done"
    assert abs(sum(m["frames"] for m in seen[1:-1]) - 180) <= 1
    path, _ = download(server, begun["id"], "motion.npz", tmp_path)
    assert abs(read_motion(path).n_frames - 180) <= 1


def test_a_live_voice_that_is_none_is_told_so(server):
    for first in ("{}", "no json", json.dumps({"rate": 16_000, "colour": "red"}), json.dumps({"rate": 1})):
        with connect(f"ws://{server.host}/live") as socket:
            socket.send(first)
            assert json.loads(socket.recv(30))["kind"] == "failed"
            with pytest.raises(ConnectionClosed):
                socket.recv(30)
    with spoken(server, np.zeros(100, np.float32)) as socket:
        socket.send("end")
        assert "0.2 s" in failure(socket)
    with spoken(server, np.zeros(0, np.float32)) as socket:
        socket.send(b"abc")
        assert "float32" in failure(socket)


def test_a_live_voice_that_goes_leaves_nothing_and_frees_the_model(server, tone):
    before = set(server.state.store._kept)
    with spoken(server, tone) as socket:
        socket.recv(30)
    assert messages(post(server, wav(tone)))[-1]["kind"] == "done"
    assert len(set(server.state.store._kept) - before) <= 1  # the post's alone
