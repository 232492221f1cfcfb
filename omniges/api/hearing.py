"""From a recording, and words where there are any, to the features that a checkpoint was trained on.

Sound and features lie on disk (`Spool`), so that an hour needs no more memory than a minute.

Shapes: N samples, T frames, W words.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from omniges.audio.spectrum import TOP_DB, log_mel_blocks
from omniges.config import MfccParams, TextParams, WavlmParams
from omniges.data.textgrids import read_words
from omniges.errors import CheckpointError, DataError
from omniges.features.mfcc import MelSpool, mfcc_frames
from omniges.features.source import settled_folder
from omniges.features.text import TextEncoder, load_text_encoder
from omniges.features.wavlm import chunks_of, wavlm_frames
from omniges.features.wavlm_encoder import WavlmEncoder, load_wavlm
from omniges.sampling.speech import Speech
from omniges.spool import Spool, let_go
from omniges.timing import SAMPLE_RATE, frames_in
from omniges.types import Word

logger = logging.getLogger(__name__)

T = TypeVar("T")
SHORTEST_S = 0.2
_BLOCK_S = 20.0
_QUIET_DB = -40.0  # below the loudest tenth of a second: no speech there, for words without times


@dataclass(frozen=True)
class FeatureSettings:
    """How features are made, as the checkpoint's provenance records it."""

    mfcc: MfccParams
    wavlm: WavlmParams
    text: TextParams

    @classmethod
    def of(cls, provenance: dict[str, Any], where: Path) -> "FeatureSettings":
        """Read them from a checkpoint.

        Raises:
            CheckpointError: an older checkpoint, which doesn't say how its features were made.
        """
        features = provenance.get("features")
        if not isinstance(features, dict) or set(features) != {"mfcc", "wavlm", "text"}:
            raise CheckpointError(
                f"{where}: its provenance doesn't say how features are made. Train again with this version."
            )
        return cls(
            mfcc=MfccParams.model_validate(features["mfcc"]),
            wavlm=WavlmParams.model_validate(features["wavlm"]),
            text=TextParams.model_validate(features["text"]),
        )


class Ear:
    """Turns waves and words into what the model hears; networks are loaded once, the text one on first need.

    Args:
        encoders: folder with `wavlm/` and `text/`, as the stage `encoders` writes it.
        settings: see `FeatureSettings`.
        fps: motion frames a second.
        device: where the networks run.
    """

    def __init__(self, encoders: Path, settings: FeatureSettings, fps: float, device: str) -> None:
        self.encoders, self.settings, self.fps, self.device = encoders, settings, fps, device
        wavlm = settings.wavlm
        folder = settled_folder(encoders, "wavlm")
        self.wavlm: WavlmEncoder = load_wavlm(folder, layer=wavlm.layer, compute=wavlm.compute, device=device)
        self._text: TextEncoder | None = None

    def hear(
        self,
        wave: NDArray[np.float32],
        words: Sequence[Word],
        name: str,
        speaker: int,
        track: "Track | None" = None,
    ) -> Speech:
        """Features of one recording.

        Args:
            wave: [N] at 16 kHz.
            words: with their times; none is fine.
            name: of the recording, for messages and for its randomness.
            speaker: row of the model's speaker table, or -1.
            track: shows how far it is.
        """
        n_frames = frames_in(len(wave) / SAMPLE_RATE, self.fps)
        if len(wave) < SHORTEST_S * SAMPLE_RATE or n_frames == 0:
            raise DataError(
                f"{name}: lasts {len(wave) / SAMPLE_RATE:.3f} s, wanted {SHORTEST_S} s at least. "
                "Give a longer recording."
            )
        blocks = blocks_of(wave)
        if track is not None:
            blocks = track(blocks, "hearing", -(-len(wave) // round(_BLOCK_S * SAMPLE_RATE)))
        wavlm = self._wavlm_frames(blocks)[:n_frames]
        mfcc = self._mfcc_frames(wave, n_frames)
        if self._text is None and words:
            folder = settled_folder(self.encoders, "text")
            self._text = load_text_encoder(folder, layer=self.settings.text.layer, device=self.device)
        text = np.zeros((0, 1024), np.float32)
        if self._text is not None and words:
            text = self._text([word.text for word in words], self.settings.text.window_words)
        spans = torch.tensor([(word.start_s, word.end_s) for word in words], dtype=torch.float64)
        return Speech(
            clip=name,
            wavlm=torch.from_numpy(wavlm),
            mfcc=torch.from_numpy(mfcc),
            text=torch.from_numpy(text.astype(self.settings.text.dtype)),
            text_span_s=spans.reshape(-1, 2),
            speaker=speaker,
        )

    def _wavlm_frames(self, blocks: Iterable[NDArray[np.float32]]) -> NDArray[Any]:
        settings = self.settings.wavlm
        chunks = chunks_of(blocks, settings.chunk_s, settings.overlap_s)
        frames = wavlm_frames(chunks, self.wavlm, batch=settings.batch, fps=self.fps)
        return Spool.of(frames, settings.dtype)

    def _mfcc_frames(self, wave: NDArray[np.float32], n_frames: int) -> NDArray[Any]:
        settings = self.settings.mfcc
        n_fft, hop = round(settings.window_s * SAMPLE_RATE), round(settings.hop_s * SAMPLE_RATE)
        mel = log_mel_blocks(
            blocks_of(wave), sample_rate=SAMPLE_RATE, n_fft=n_fft, hop=hop, n_mels=settings.n_mels
        )
        with MelSpool(mel) as spool:
            frames = mfcc_frames(
                spool,
                n_frames,
                n_mfcc=settings.n_mfcc,
                top_db=TOP_DB,
                hop_s=hop / SAMPLE_RATE,
                fps=self.fps,
            )
            return Spool.of(frames, settings.dtype)


class Track(Protocol):
    """Passes items on and shows how many of `total` went by; see `omniges.log.progress`."""

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterator[T]: ...


def blocks_of(wave: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """A wave [N] in blocks of some seconds; pages of a spooled one are given back after use."""
    size = round(_BLOCK_S * SAMPLE_RATE)
    for start in range(0, len(wave), size):
        yield np.asarray(wave[start : start + size])
        let_go(wave)


def words_of(transcript: Path, wave: NDArray[np.float32]) -> list[Word]:
    """Words from a TextGrid (exact times) or from plain text (times guessed by `spread_words`).

    Args:
        transcript: `.TextGrid`, or a text file of the words spoken.
        wave: [N] at 16 kHz.
    """
    if transcript.suffix.lower() == ".textgrid":
        return _within(read_words(transcript), len(wave) / SAMPLE_RATE, transcript)
    try:
        text = transcript.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{transcript}: no transcript ({error}). Give a .TextGrid or a UTF-8 text."
        ) from error
    return spread_words(text.split(), wave)


def _within(words: list[Word], seconds: float, transcript: Path) -> list[Word]:
    """The words that begin while there is sound; the last one ends with it."""
    kept = [replace(w, end_s=min(w.end_s, seconds)) for w in words if w.start_s < seconds]
    if len(kept) < len(words):
        logger.warning(
            "%s: %d of %d words begin after the sound's end at %.2f s and are left out; wrong file?",
            transcript,
            len(words) - len(kept),
            len(words),
            seconds,
        )
    return kept


def spread_words(words: Sequence[str], wave: NDArray[np.float32]) -> list[Word]:
    """Lay words over the loud parts of a recording, each as long as it has letters; a rough guess, no
    alignment.

    Args:
        words: in the order of speech.
        wave: [N] at 16 kHz.
    """
    block = SAMPLE_RATE // 10
    n_blocks = len(wave) // block
    if not words or n_blocks == 0:
        return []
    whole = (part[: len(part) // block * block].reshape(-1, block) for part in blocks_of(wave))
    power = np.concatenate([np.square(rows, dtype=np.float64).mean(1) for rows in whole])
    loud = power > power.max() * 10 ** (_QUIET_DB / 10)
    if not loud.any():
        return []
    ends = np.cumsum([len(word) + 1 for word in words])
    shares = np.concatenate([[0], ends]) / ends[-1]
    passed = np.concatenate([[0], np.cumsum(loud)]) / loud.sum()  # share of loud time at each block's border
    borders = np.arange(n_blocks + 1) * 0.1
    # a share that falls on a pause stands at both its sides: a word starts after it and ends before it
    first = np.searchsorted(passed, shares[:-1] + 1e-12, side="right") - 1
    last = np.searchsorted(passed, shares[1:] - 1e-12, side="left")
    starts = borders[first] + 0.1 * (shares[:-1] - passed[first]) * loud.sum()
    stops = borders[last] - 0.1 * (passed[last] - shares[1:]) * loud.sum()
    return [
        Word(text=word, start_s=float(a), end_s=float(max(a, b)))
        for word, a, b in zip(words, starts, stops, strict=True)
    ]
