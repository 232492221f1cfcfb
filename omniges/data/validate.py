"""One clip's files, read once and judged: what it measures, and everything that is wrong with it.

Nothing is repaired except what BEAT2 itself needs (motion and audio cut to the shorter) and what can be
converted without doubt (a sound file of another kind). Whatever else is wrong leaves the clip out.
"""

from dataclasses import dataclass, field

from omniges.data.beat2 import read_motion
from omniges.data.clips import PlannedClip
from omniges.data.lengths import audio_seconds, common_frames, length_problem
from omniges.data.textgrids import read_words
from omniges.errors import DataError
from omniges.timing import SAMPLE_RATE
from omniges.types import ClipFault, Motion

LEFT_OUT, CONVERTED, IGNORED = "left out", "converted", "ignored"
_FETCH = "Fetch the clip again, or add it to data.exclude in params.yaml."


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A usable clip's figures."""

    n_frames: int  # at data.fps, motion and audio cut to the shorter
    motion_s: float
    audio_s: float
    motion_fps: float  # as recorded
    n_words: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What reading a clip gave: figures if it is usable, and faults either way."""

    clip: PlannedClip
    measured: Measured | None
    faults: list[ClipFault] = field(default_factory=list)


def validate(clip: PlannedClip, fps: float, max_gap_s: float) -> Verdict:
    """Read all files of a clip and judge them; never raises for what the files hold.

    Args:
        clip: the files.
        fps: the pipeline's rate.
        max_gap_s: how much motion and audio may differ in length.
    """
    absent = _absent(clip)
    if absent:
        remedy = "Fetch the files, or leave the clip out by data.speakers or data.exclude in params.yaml."
        return _left_out(clip, [_fault(clip, f"missing: {', '.join(absent)}", remedy)])
    faults: list[ClipFault] = []
    motion = _motion(clip, faults)
    audio_s = _audio(clip, faults)
    n_words = _words(clip, faults)
    if motion is None or audio_s is None or n_words is None:
        return _left_out(clip, faults)
    problem = length_problem(motion, audio_s, fps, max_gap_s)
    if problem:
        return _left_out(clip, [*faults, _fault(clip, problem, _FETCH)])
    measured = Measured(
        n_frames=common_frames(motion, audio_s, fps),
        motion_s=motion.duration_s,
        audio_s=audio_s,
        motion_fps=motion.fps,
        n_words=n_words,
    )
    return Verdict(clip=clip, measured=measured, faults=faults)


def _absent(clip: PlannedClip) -> list[str]:
    wanted = [clip.npz, clip.wav, clip.textgrid]
    return [f"{path.parent.name}/{path.name}" for path in wanted if not path.is_file()]


def _motion(clip: PlannedClip, faults: list[ClipFault]) -> Motion | None:
    try:
        return read_motion(clip.npz, clip.expression)
    except DataError as error:
        faults.append(_fault(clip, f"motion: {error}", _FETCH))
        return None


def _audio(clip: PlannedClip, faults: list[ClipFault]) -> float | None:
    """Seconds of sound; a file of another kind than BEAT2's is taken, and named."""
    try:
        seconds = audio_seconds(clip.wav)
    except DataError as error:
        faults.append(_fault(clip, f"audio: {error}", _FETCH))
        return None
    foreign = _foreign_sound(clip)
    if foreign:
        problem = f"audio: {clip.wav.name} is {foreign}, wanted a 16 kHz mono WAV"
        remedy = "None needed: it is decoded, averaged over channels and resampled on every reading."
        faults.append(ClipFault(clip=clip.id, problem=problem, remedy=remedy, action=CONVERTED))
    return seconds


def _words(clip: PlannedClip, faults: list[ClipFault]) -> int | None:
    try:
        return len(read_words(clip.textgrid))
    except DataError as error:
        faults.append(_fault(clip, f"text: {error}", _FETCH))
        return None


def _foreign_sound(clip: PlannedClip) -> str | None:
    """What the sound file is, unless it is the 16 kHz mono WAV that its name promises."""
    import soundfile

    try:
        info = soundfile.info(str(clip.wav))
    except soundfile.LibsndfileError:
        return "a container that only FFmpeg reads"
    if info.format in ("WAV", "WAVEX") and info.samplerate == SAMPLE_RATE and info.channels == 1:
        return None
    return f"{info.format} of {info.samplerate} Hz with {info.channels} channel(s)"


def _fault(clip: PlannedClip, problem: str, remedy: str) -> ClipFault:
    return ClipFault(clip=clip.id, problem=problem, remedy=remedy, action=LEFT_OUT)


def _left_out(clip: PlannedClip, faults: list[ClipFault]) -> Verdict:
    return Verdict(clip=clip, measured=None, faults=faults)
