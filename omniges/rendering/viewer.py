"""One HTML file that plays bodies beside each other with sound; nothing is fetched, it works from `file://`."""

import io
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from omniges.errors import DataError
from omniges.files import atomic_path
from omniges.rendering.page import base64_of, body_json, clip_json, piece, sound_json
from omniges.rendering.video import sound_packets
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion, Word


def write_viewer(
    path: Path,
    motions: Mapping[str, Motion],
    wave: NDArray[np.float32] | None,
    words: Sequence[Word] = (),
    title: str = "Omniges",
) -> None:
    """Write the page.

    Args:
        path: the HTML file, written atomically.
        motions: label -> motion, left to right; the shortest one ends the play.
        wave: [N] at 16 kHz; None plays without sound.
        words: shown under the waveform.
        title: of the page.

    Raises:
        DataError: there is no motion, or one without frames.
    """
    if not motions or any(motion.n_frames == 0 for motion in motions.values()):
        raise DataError(f"{path}: got {len(motions)} motions, or one without frames; wanted one at least.")
    data = {
        "title": title,
        "body": body_json(),
        "clips": [clip_json(label, motion, i) for i, (label, motion) in enumerate(motions.items())],
        "words": words_json(words),
        "sound": None if wave is None else base64_of(_sound(wave)),
        "soundType": "audio/mp4",
        **sound_json(wave, min(motion.duration_s for motion in motions.values())),
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(piece("viewer.html").replace("{{DATA}}", text), "utf-8")


def words_json(words: Sequence[Word]) -> list[dict[str, str | float]]:
    return [{"text": word.text, "start_s": word.start_s, "end_s": word.end_s} for word in words]


def _sound(wave: NDArray[np.float32]) -> bytes:
    """AAC in MP4, whose edit list lets players skip the encoder's delay."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate, audio.time_base = 64_000, Fraction(1, SAMPLE_RATE)
        for packet in sound_packets(audio, np.asarray(wave, np.float32)):
            container.mux(packet)
    return stream.getvalue()
