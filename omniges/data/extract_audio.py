"""The per-clip stages `mfcc`, `wavlm` and `text`: sound and words in, one Parquet table a clip out.

A clip that can't be done becomes a fault with its reason, and the others go on. Networks are loaded at the
first clip that needs them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.audio.files import stream_wave
from omniges.audio.spectrum import TOP_DB, log_mel_blocks
from omniges.config import Params
from omniges.data.clips import PlannedClip, planned
from omniges.data.table import write_table, write_text_table
from omniges.data.textgrids import read_words
from omniges.errors import DataError, ShapeError
from omniges.features.mfcc import MelSpool, mfcc_frames
from omniges.features.source import settled_folder
from omniges.features.wavlm import chunks_of, wavlm_frames
from omniges.log import progress
from omniges.timing import SAMPLE_RATE, frames_in
from omniges.types import ClipFault
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)
_Extract = Callable[[PlannedClip, Path], None]


def mfcc(params: Params, W: Workspace, clips: Sequence[str]) -> list[ClipFault]:
    """Write MFCC tables [T, n_mfcc]; T counts the whole motion frames of the wave.

    Args:
        params: `mfcc` and `data` are read.
        W: the raw tree is read, `W.feature("mfcc")` is written.
        clips: ids.

    Returns:
        the clips that could not be done; the others' tables are written whatever happens to these.
    """
    settings = params.mfcc
    n_fft, hop = round(settings.window_s * SAMPLE_RATE), round(settings.hop_s * SAMPLE_RATE)

    def extract(clip: PlannedClip, path: Path) -> None:
        wave = _Counted(stream_wave(clip.wav))
        mel = log_mel_blocks(wave, sample_rate=SAMPLE_RATE, n_fft=n_fft, hop=hop, n_mels=settings.n_mels)
        with MelSpool(mel) as spool:
            n_frames = _whole_frames(clip, wave.samples, params.data.fps)
            blocks = mfcc_frames(
                spool,
                n_frames,
                n_mfcc=settings.n_mfcc,
                top_db=TOP_DB,
                hop_s=hop / SAMPLE_RATE,
                fps=params.data.fps,
            )
            values = _joined(blocks, settings.dtype)
        _write(path, values, clip, "mfcc", "cepstral coefficient of dB", params.data.fps, settings.dtype)

    return _each(params, W, clips, "mfcc", extract)


def wavlm(params: Params, W: Workspace, clips: Sequence[str]) -> list[ClipFault]:
    """Write WavLM tables [T, 768]; arguments and result as in `mfcc`, with the section `wavlm`."""
    if not clips:
        return []
    from omniges.features.wavlm_encoder import load_wavlm

    settings = params.wavlm
    encoder = load_wavlm(settled_folder(W.encoders, "wavlm"), layer=settings.layer, compute=settings.compute)

    def extract(clip: PlannedClip, path: Path) -> None:
        wave = _Counted(stream_wave(clip.wav))
        chunks = chunks_of(wave, settings.chunk_s, settings.overlap_s)
        values = _joined(
            wavlm_frames(chunks, encoder, batch=settings.batch, fps=params.data.fps), settings.dtype
        )
        _whole_frames(clip, wave.samples, params.data.fps)
        _write(path, values, clip, "wavlm", "hidden state", params.data.fps, settings.dtype)

    return _each(params, W, clips, "wavlm", extract)


def text(params: Params, W: Workspace, clips: Sequence[str]) -> list[ClipFault]:
    """Write words with their times and embeddings [n, 1024]; arguments and result as in `mfcc`."""
    if not clips:
        return []
    from omniges.features.text import load_text_encoder

    settings = params.text
    encoder = load_text_encoder(settled_folder(W.encoders, "text"), layer=settings.layer)

    def extract(clip: PlannedClip, path: Path) -> None:
        words = read_words(clip.textgrid)
        values = encoder([word.text for word in words], settings.window_words)
        write_text_table(path, words, values, clip.id, settings.dtype)

    return _each(params, W, clips, "text", extract)


def _each(
    params: Params, W: Workspace, clips: Sequence[str], name: str, extract: _Extract
) -> list[ClipFault]:
    """Run `extract` on every clip; a clip that can't be done becomes a fault."""
    sources = {clip.id: clip for clip in planned(params, W)}
    faults = []
    for clip in progress(clips, name):
        try:
            if clip not in sources:
                raise DataError(f"{clip}: not among the clips that the split file and data.* ask for.")
            extract(sources[clip], W.feature(name) / f"{clip}.parquet")
        except (DataError, ShapeError) as error:
            logger.warning("%s: %s: %s", name, clip, error)
            remedy = "Mend or replace the clip's files, or add it to data.exclude in params.yaml."
            faults.append(ClipFault(clip=clip, problem=f"{name}: {error}", remedy=remedy))
    return faults


class _Counted:
    """A wave's blocks, and how many samples have passed."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self._blocks:
            self.samples += len(block)
            yield block


def _whole_frames(clip: PlannedClip, samples: int, fps: float) -> int:
    n_frames = frames_in(samples / SAMPLE_RATE, fps)
    if n_frames == 0:
        raise DataError(
            f"{clip.wav}: got {samples} samples at 16 kHz, wanted one motion frame at least ({1 / fps:.3f} "
            "s)."
        )
    return n_frames


def _joined(blocks: Iterable[NDArray[np.float32]], dtype: str) -> NDArray[Any]:
    """All rows in their stored type; the only thing that grows with the clip."""
    return np.concatenate([block.astype(dtype) for block in blocks])


def _write(
    path: Path, values: NDArray[Any], clip: PlannedClip, feature: str, unit: str, fps: float, dtype: str
) -> None:
    write_table(path, values, clip=clip.id, feature=feature, unit=unit, fps=float(fps), dtype=dtype)
