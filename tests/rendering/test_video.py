import av
import numpy as np
import pytest
from moving import moving

from omniges.errors import DataError
from omniges.files import sha256_file
from omniges.rendering.video import render_comparison


def decoded(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = (
            [(f.time, f.to_ndarray()[0]) for f in container.decode(audio=0)]
            if container.streams.audio
            else []
        )
    return frames, sound


def test_video_has_the_asked_size_length_and_sound_in_step(tmp_path, wave):
    path = tmp_path / "a.mp4"
    render_comparison(path, {"one": moving(seed=1), "two": moving(seed=2)}, wave, height=240)
    frames, sound = decoded(path)
    assert len(frames) == 60
    assert frames[0].shape == (240, 432, 3)
    samples = np.concatenate([part for _, part in sound])
    onset_s = sound[0][0] + np.argmax(np.abs(samples) > 0.2) / 16_000
    assert onset_s == pytest.approx(1.0, abs=0.040)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.streams.audio[0].codec_context.name == "aac"
    head = path.read_bytes()[:4096]
    assert b"moov" in head, "not laid out for a fast start"


def test_the_same_input_gives_the_same_bytes(tmp_path, motion, wave):
    digests = set()
    for name in ("a.mp4", "b.mp4"):
        render_comparison(tmp_path / name, {"one": motion}, wave, height=160, max_s=0.7)
        digests.add(sha256_file(tmp_path / name))
    assert len(digests) == 1


def test_bodies_move_and_differ_and_the_cut_is_kept(tmp_path):
    path = tmp_path / "a.mp4"
    render_comparison(path, {"one": moving(seed=1), "two": moving(seed=2)}, None, height=240, max_s=1.0)
    frames, sound = decoded(path)
    assert (len(frames), sound) == (30, [])
    first, last = frames[0].astype(int), frames[-1].astype(int)
    assert (np.abs(first - last).max(2) > 40).mean() > 0.01
    assert (np.abs(first[:, :216] - first[:, 216:]).max(2) > 40).mean() > 0.02


@pytest.mark.parametrize("height", [60, 241, 4000])
def test_heights_that_cannot_be_encoded_are_refused(tmp_path, motion, height):
    with pytest.raises(DataError, match="even number from 120 to 2160"):
        render_comparison(tmp_path / "a.mp4", {"a": motion}, None, height=height)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(DataError, match="got 0 motions"):
        render_comparison(tmp_path / "a.mp4", {}, None)


@pytest.mark.slow
def test_a_licensed_body_is_drawn_where_one_is_given(tmp_path, motion, shared):
    model = shared / "reference" / "smplx_synthetic" / "smplx_models" / "smplx" / "SMPLX_NEUTRAL_2020.npz"
    for name, body in (("own.mp4", None), ("smplx.mp4", model)):
        render_comparison(tmp_path / name, {"a": motion}, None, height=160, max_s=0.1, smplx_model=body)
    own, licensed = (decoded(tmp_path / name)[0][0].astype(int) for name in ("own.mp4", "smplx.mp4"))
    assert (np.abs(own - licensed).max(2) > 40).mean() > 0.01
