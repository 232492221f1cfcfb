"""`omniges generate`: a body for any voice."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from omniges.cli.pipe import take_of_pipe
from omniges.errors import DataError, OmnigesError

log = logging.getLogger(__name__)
PIPE = Path("-")
_RECORDERS = "Such as: arecord -f S16_LE -r 16000 | omniges generate - -o out"
SOUND = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".mp4", ".webm")


def generate(
    audio: Annotated[Path, typer.Argument(help="A sound file, a folder of them, or - for a pipe.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Each recording gets a folder of its own here.")],
    model: Annotated[
        Path | None,
        typer.Option(help="A folder such as models/demo, or runs:/ID/model; else the newest in models/."),
    ] = None,
    transcript: Annotated[
        Path | None, typer.Option(help="A .TextGrid or a text file; for a folder: the folder of such files.")
    ] = None,
    speaker: Annotated[int | None, typer.Option(help="Move in this speaker's manner.")] = None,
    seed: Annotated[int, typer.Option(help="The first take's seed.")] = 0,
    variants: Annotated[int, typer.Option(min=1, help="Takes of each recording.")] = 1,
    formats: Annotated[
        str,
        typer.Option(
            "--formats", "-f", help="Some of npz,bvh,glb,json,mp4,html, or all; html is the viewer's page."
        ),
    ] = "npz,mp4",
    steps: Annotated[int | None, typer.Option(min=1, max=50, help="Steps of the flow.")] = None,
    audio_guidance: Annotated[float | None, typer.Option(min=0, help="1 is none.")] = None,
    text_guidance: Annotated[float | None, typer.Option(min=0, help="1 is none.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0)] = None,
    clean: Annotated[
        str, typer.Option(help="Clean-up after the model: some of drift,limits,feet; none by default.")
    ] = "",
    height: Annotated[int, typer.Option(help="Pixels of the video.")] = 480,
    blendshape_matrix: Annotated[
        Path | None, typer.Option(help="ARKit to FLAME, 51 x 103 (.npy), for json.")
    ] = None,
    smplx_model: Annotated[
        Path | None, typer.Option(help="Your licensed SMPL-X file: its mesh is drawn in the video.")
    ] = None,
    raw_hz: Annotated[
        int | None, typer.Option(min=1, help="The pipe holds no WAV but 16-bit mono samples at this rate.")
    ] = None,
) -> None:
    """Make motion for a recording, for every recording in a folder, or for sound while it comes in by a pipe
    (arecord -f S16_LE -r 16000 | omniges generate - -o out).
    """
    live = audio == PIPE
    if live and sys.stdin.isatty():
        raise DataError(f"generate -: wanted sound from a pipe, got the keyboard. {_RECORDERS}")
    recordings = [] if live else _recordings(audio)
    from omniges.api import FORMATS, Omniges
    from omniges.motion.cleanup import check_steps

    kinds = tuple(kind.strip() for kind in formats.split(",") if kind.strip())
    kinds = FORMATS if kinds == ("all",) else kinds
    if not kinds or set(kinds) - set(FORMATS):
        raise DataError(f"--formats: got {formats!r}, wanted some of {','.join(FORMATS)}, or all.")
    if transcript is not None and audio.is_dir() and not transcript.is_dir():
        raise DataError(f"{transcript}: with a folder of recordings, --transcript is a folder too.")
    cleaning = tuple(step.strip() for step in clean.split(",") if step.strip())
    check_steps(cleaning)
    omniges = Omniges.load(model)
    options: dict[str, Any] = {
        "steps": steps,
        "audio_guidance": audio_guidance,
        "text_guidance": text_guidance,
        "temperature": temperature,
    }
    ways: dict[str, Any] = {
        "height": height,
        "blendshape_matrix": blendshape_matrix,
        "smplx_model": smplx_model,
    }
    if live:
        if transcript is not None or variants > 1:
            raise DataError(
                "generate -: a pipe gives one take, without a transcript. Leave those options out."
            )
        take = take_of_pipe(omniges, sys.stdin.buffer, raw_hz, speaker=speaker, seed=seed, **options)
        take = take.cleaned(cleaning)
        take.save(out / take.name, kinds, **ways)
        log.info(
            "%s: %d frames; look: omniges view %s", out / take.name, take.motion.n_frames, out / take.name
        )
        return
    failed = []
    for number, path in enumerate(recordings, start=1):
        try:
            words = _transcript(transcript, path, audio.is_dir())
            heard = omniges.hear(path, transcript=words, speaker=speaker, show=True)
            for take_seed in range(seed, seed + variants):
                take = omniges.generate(heard, seed=take_seed, clean=cleaning, show=True, **options)
                files = take.save(out / path.stem, kinds, **ways)
                log.info("%d of %d: %s", number, len(recordings), ", ".join(map(str, files)))
        except OmnigesError as error:
            if len(recordings) == 1:
                raise
            log.error("%s", error)
            failed.append(path.name)
    done = len(recordings) - len(failed)
    if done:
        look = out / recordings[0].stem if len(recordings) == 1 else out / "NAME"
        log.info("%s: %d recording(s), %d take(s) each; look: omniges view %s", out, done, variants, look)
    if failed:
        raise DataError(f"{len(failed)} of {len(recordings)} recordings failed: {', '.join(failed)}.")


def _recordings(audio: Path) -> list[Path]:
    """The sound files meant, in order of name; two that would share an output folder are refused."""
    if not audio.exists():
        raise DataError(f"{audio}: no such file. Name a sound file, or a folder of them.")
    if not audio.is_dir():
        return [audio]
    found = sorted(path for path in audio.iterdir() if path.suffix.lower() in SOUND)
    if not found:
        raise DataError(f"{audio}: a folder without sound files ({' '.join(SOUND)}).")
    twice = sorted({path.stem for path in found if sum(p.stem == path.stem for p in found) > 1})
    if twice:
        raise DataError(
            f"{audio}: several files are called {', '.join(twice)}; give them names of their own."
        )
    return found


def _transcript(transcript: Path | None, audio: Path, batch: bool) -> Path | None:
    if transcript is None or not batch:
        return transcript
    for suffix in (".TextGrid", ".txt"):
        if (transcript / f"{audio.stem}{suffix}").is_file():
            return transcript / f"{audio.stem}{suffix}"
    log.warning("%s: no %s.TextGrid or .txt there, so it is heard without words.", transcript, audio.stem)
    return None
