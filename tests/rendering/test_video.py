from fractions import Fraction

import av
import numpy as np
import pytest
from moving import moving

from omniges.errors import DataError
from omniges.files import sha256_file
from omniges.rendering import video
from omniges.rendering.video import Film, render_comparison
from omniges.timing import frames_in


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


def test_the_same_input_gives_the_same_bytes_on_any_number_of_cores(tmp_path, wave):
    """Between the runs the heap is filled with noise: x264 was seen to read memory that it never wrote."""
    digests, rng = set(), np.random.default_rng(0)
    for workers in (1, 2, 1, 3):
        noise = [rng.integers(0, 256, rng.integers(1000, 100_000), dtype=np.uint8) for _ in range(1500)]
        rng.shuffle(noise)
        del noise
        path = tmp_path / f"{len(digests)}.mp4"
        render_comparison(path, {"one": moving(seed=3)}, wave, height=240, workers=workers)
        digests.add(sha256_file(path))
    assert len(digests) == 1


@pytest.mark.parametrize("fps", [30.0, 15.0, 29.97])
def test_segments_join_to_one_video_without_a_seam(tmp_path, wave, monkeypatch, fps):
    """Every decoded frame is the picture that was drawn, at its time, over segments and a short last one."""
    drawn = {}
    pictures = Film._pictures

    def noted(film, first, stop):
        for frame, picture in zip(range(first, stop), pictures(film, first, stop), strict=True):
            drawn[frame] = picture.astype(int)
            yield picture

    monkeypatch.setattr(Film, "_pictures", noted)
    monkeypatch.setattr(video, "SEGMENT_FRAMES", 13)
    path = tmp_path / "a.mp4"
    render_comparison(path, {"one": moving(seed=1)}, wave, height=160, fps=fps, workers=2)
    n = frames_in(2.0, fps)
    with av.open(str(path)) as container:
        frames = [(f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert len(frames) == len(drawn) == n
    rate = Fraction(fps).limit_denominator(1001)
    assert [time for time, _ in frames] == [k / rate for k in range(n)]
    errors = [np.abs(frame - drawn[k]).mean() for k, (_, frame) in enumerate(frames)]
    assert max(errors) < 6.0
    with av.open(str(path)) as container:
        shown = [(p.dts, p.is_keyframe) for p in container.demux(video=0) if p.dts is not None]
    assert (np.diff([dts for dts, _ in shown]) > 0).all()
    assert [k for k, (_, key) in enumerate(shown) if key] == list(range(0, n, 13))
    with av.open(str(path)) as container:
        heard = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
    assert heard[-1] == pytest.approx(2.0, abs=0.1)


def test_sound_lies_beside_its_pictures(tmp_path, wave):
    """A player reads on without searching: the sound of a second isn't a whole video away."""
    path = tmp_path / "a.mp4"
    long = np.tile(wave, 4)
    render_comparison(path, {"one": moving(seed=1, seconds=8.0)}, long, height=120)
    with av.open(str(path)) as container:
        places = {kind: [] for kind in ("video", "audio")}
        for packet in container.demux():
            if packet.pos is not None and packet.pts is not None:
                places[packet.stream.type].append((packet.pos, float(packet.pts * packet.time_base)))
    for position, time in places["video"]:
        before = [heard for at, heard in places["audio"] if at < position]
        assert max(before, default=0.0) > time - 2.5 * video.SEGMENT_FRAMES / 30


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
