"""Writing a clip in BEAT2's exact layout: names, keys, dtypes, line ends."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from omniges.corpus.accents import Talk
from omniges.corpus.clips import Clip
from omniges.corpus.files import clip_files
from omniges.corpus.strokes import Stroke, strokes
from omniges.files import atomic_path
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion, Word

_LABELS = {
    "beat": "01_beat_align",
    "deictic": "02_deictic",
    "iconic": "05_iconic",
    "metaphoric": "09_metaphoric",
    "emblem": "00_emblem",
}


def clip_bytes(clip: Clip) -> dict[str, bytes]:
    """A clip's files: path relative to the root -> contents."""
    motion, wave, grid, sem = clip_files(clip.id)
    return {
        motion: motion_bytes(clip.motion),
        wave: wave_bytes(clip.talk.wave),
        grid: textgrid_text(clip.talk).encode("ascii"),
        sem: sem_text(clip).encode("ascii"),
    }


def split_bytes(clips: Iterable[tuple[str, str]]) -> bytes:
    """`train_test_split.csv` with BEAT2's CRLF line ends."""
    return "".join(f"{a},{b}\r\n" for a, b in [("id", "type"), *clips]).encode("ascii")


def motion_bytes(motion: Motion) -> bytes:
    """npz; numpy writes a fixed date into the archive, so equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        betas=motion.betas.astype(np.float32),
        poses=motion.poses.reshape(motion.n_frames, -1).astype(np.float32),
        expressions=motion.expressions.astype(np.float64),
        trans=motion.trans.astype(np.float64),
        model=np.array("smplx2020"),
        gender=np.array("neutral"),
        mocap_frame_rate=np.array(round(motion.fps)),
    )
    return buffer.getvalue()


def wave_bytes(wave: np.ndarray) -> bytes:
    """16-bit PCM: a float wav would carry a time stamp in its PEAK chunk."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.round(wave * 32767).astype(np.int16), SAMPLE_RATE, subtype="PCM_16", format="WAV"
    )
    return buffer.getvalue()


def textgrid_text(talk: Talk) -> str:
    """Praat's long format with the tiers `words` and `phones`; silence is an empty text."""
    end_s = talk.speech.duration_s
    phones = [Word(text=p.label, start_s=p.start_s, end_s=p.end_s) for p in talk.speech.phones]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        f"xmax = {_number(end_s)} ",
        "tiers? <exists> ",
    ]
    lines += ["size = 2 ", "item []: "]
    for number, (name, tier) in enumerate((("words", talk.speech.words), ("phones", phones)), start=1):
        spans = list(_with_silence(tier, end_s))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier" ',
            f'        name = "{name}" ',
            "        xmin = 0 ",
        ]
        lines += [f"        xmax = {_number(end_s)} ", f"        intervals: size = {len(spans)} "]
        for i, (start, end, text) in enumerate(spans, start=1):
            lines += [
                f"        intervals [{i}]:",
                f"            xmin = {start} ",
                f"            xmax = {end} ",
                f'            text = "{text}" ',
            ]
    return "\n".join(lines) + "\n"


def _with_silence(tier: Iterable[Word], end_s: float) -> Iterable[tuple[str, str, str]]:
    """Spans that cover all of the recording, as text, so that rounded borders still touch."""
    border = "0"
    for word in tier:
        start, end = _number(word.start_s), _number(word.end_s)
        if start != border:
            yield border, start, ""
        yield start, end, word.text
        border = end
    if border != _number(end_s):
        yield border, _number(end_s), ""


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def sem_text(clip: Clip) -> str:
    """Label, start, end, duration, score, keywords by tab, for the gestures that the speech asks for."""
    spans: list[tuple[Stroke, float]] = [
        (stroke, max(0.0, stroke.time_s - 0.3)) for stroke in strokes(clip.talk.accents)
    ]
    ends = [*(start for _, start in spans[1:]), clip.motion.duration_s]
    lines = []
    for (stroke, start_s), next_s in zip(spans, ends, strict=True):
        end_s = min(stroke.time_s + 0.6, next_s, clip.motion.duration_s)
        if end_s <= start_s:
            continue
        label, score = _LABELS[stroke.sign.kind], 0.1
        if stroke.sign.kind in ("iconic", "metaphoric", "deictic"):
            size, score = (
                ("l", 0.5) if stroke.strength < 0.6 else ("m", 0.6) if stroke.strength < 0.85 else ("h", 0.7)
            )
            label = f"{label}_{size}"
        word = "" if stroke.sign.kind == "beat" else stroke.word
        lines.append(f"{label}\t{start_s:.3f}\t{end_s:.3f}\t{end_s - start_s:.3f}\t{score}\t{word}")
    return "\n".join(lines) + "\n"


def write_bytes(path: Path, contents: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)
