"""A trained model, ready for any recording."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from omniges import checkpoint
from omniges.api.hearing import Ear, FeatureSettings, words_of
from omniges.api.models import default_sampling, find_model, live_options, notes_of
from omniges.api.streaming import LiveEar, MotionStream
from omniges.api.take import Take
from omniges.api.walk import MotionSpool, Walk
from omniges.audio.files import stream_wave
from omniges.config import SamplingParams
from omniges.errors import DataError
from omniges.log import progress
from omniges.model.a2g import A2G, UNKNOWN_SPEAKER
from omniges.model.loading import load_model
from omniges.motion.cleanup import check_steps
from omniges.sampling.precision import Precision, prepared
from omniges.sampling.sampler import Decoder
from omniges.sampling.speech import Speech
from omniges.sampling.streaming import GestureBlock, GestureStream
from omniges.spool import Spool, let_go
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.types import Motion, Word

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a model has heard of one recording."""

    name: str
    wave: NDArray[np.float32]  # [N] at 16 kHz
    words: tuple[Word, ...]
    speaker: int | None
    speech: Speech


class Omniges:
    """Speech in, motion out. Make one with `Omniges.load`."""

    def __init__(self, model: A2G, tokenizer: Decoder, ear: Ear, sampling: SamplingParams) -> None:
        self.model, self.tokenizer, self.ear, self.sampling = model, tokenizer, ear, sampling

    @classmethod
    def load(
        cls, path: Path | str | None = None, *, device: str | None = None, precision: Precision | None = None
    ) -> "Omniges":
        """Load a trained model.

        Args:
            path: a folder that holds `a2g/`, `encoders/` and `tokenizers/` (such as `models/demo`), a
                checkpoint in it (such as `models/demo/latent_flow`), or a model in MLflow
                (runs:/ID/model); None takes the newest below `models/`.
            device: "cpu", "cuda", ...; None takes the GPU where there is one.
            precision: "bf16" is several times faster on processors that have it; None is "fp32".

        Raises:
            CheckpointError: there is none, or a piece is missing or damaged.
        """
        network = find_model(path)
        folder = network.parent
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        provenance = checkpoint.load(network).provenance
        model = load_model(network).to(where)
        tokenizer = GestureTokenizer.load(folder / "tokenizers").to(where)
        settings = FeatureSettings.of(provenance, network)
        ear = Ear(folder / "encoders", settings, model.config.data.fps, where)
        logger.info("model %s on %s", network, where)
        sampling = default_sampling(provenance, model.config.sizes.noise)
        if precision is not None:
            sampling = sampling.model_copy(update={"precision": precision})
        return cls(*prepared(model, tokenizer, sampling.precision), ear, sampling)

    @property
    def fps(self) -> float:
        return self.model.config.data.fps

    @property
    def speakers(self) -> tuple[int, ...]:
        """Numbers of the speakers that the model knows."""
        return self.model.config.data.speakers

    def hear(
        self,
        audio: Path | str | NDArray[np.float32],
        *,
        transcript: Path | str | Sequence[Word] | None = None,
        speaker: int | None = None,
        name: str | None = None,
        show: bool = False,
    ) -> Recording:
        """Listen to one recording of any length, once for any number of takes.

        Args:
            audio: a sound file of any rate and channels, or a wave [N] at 16 kHz.
            transcript: a .TextGrid, a text file, or words with times; None generates from sound alone.
            speaker: one of `speakers`, whose manner is taken; None is nobody in particular.
            name: of the recording; None takes the file's.
            show: a progress bar.

        Raises:
            DataError: no sound, too short, or an unknown speaker.
        """
        row = self._speaker_row(speaker)
        wave = _wave(audio)
        name = name or (Path(audio).stem if isinstance(audio, str | Path) else "speech")
        words = self._words(transcript, wave)
        speech = self.ear.hear(wave, words, name, row, progress if show else None)
        return Recording(name=name, wave=wave, words=tuple(words), speaker=speaker, speech=speech)

    def generate(
        self,
        audio: Path | str | NDArray[np.float32] | Recording,
        *,
        transcript: Path | str | Sequence[Word] | None = None,
        speaker: int | None = None,
        seed: int = 0,
        name: str | None = None,
        clean: Sequence[str] = (),
        show: bool = False,
        **options: Any,
    ) -> Take:
        """Motion for one recording of any length.

        Args:
            audio: as in `hear`, or what `hear` gave; then transcript, speaker and name were told to it.
            transcript: as in `hear`.
            speaker: as in `hear`.
            seed: another seed is another take.
            name: as in `hear`.
            clean: some of "drift", "limits", "feet": clean-up after the model; see docs/generate.md.
            show: progress bars.
            **options: `SamplingParams` fields that differ from `sampling` (steps, audio_guidance, ...).

        Raises:
            DataError: no sound, too short, an unknown speaker, option or clean-up.
        """
        sampling = self.options(**options)
        check_steps(clean)
        if isinstance(audio, Recording):
            if transcript is not None or speaker is not None or name is not None:
                raise DataError("generate: a recording that was heard has its transcript, speaker and name.")
            heard = audio
        else:
            heard = self.hear(audio, transcript=transcript, speaker=speaker, name=name, show=show)
        motion = self._move(heard.speech, seed, sampling, show)
        notes = {
            "seed": seed,
            "speaker": heard.speaker,
            "words": len(heard.words),
            "sampling": notes_of(sampling),
        }
        take = Take(
            name=heard.name, motion=motion, wave=heard.wave, words=heard.words, seed=seed, notes=notes
        )
        return take.cleaned(clean)

    def stream(
        self,
        chunks: Iterable[NDArray[np.float32]],
        *,
        speaker: int | None = None,
        seed: int = 0,
        name: str = "speech",
        context_s: float | None = None,
        decoder_ahead_frames: int | None = None,
        **options: Any,
    ) -> MotionStream:
        """Motion while the sound is still arriving; see docs/model.md for the delay and what decides it.

        Args:
            chunks: consecutive blocks [N] of mono samples at 16 kHz, of any lengths.
            speaker: as in `generate`.
            seed: as in `generate`.
            name: with the seed, decides the randomness.
            context_s: seconds of sound that WavLM hears at once; None is the length that it was trained with.
            decoder_ahead_frames: frames of motion that the decoder waits for; None waits for all that have a
                say, fewer give frames sooner.
            **options: as in `generate`.

        Returns:
            An iterable of `MotionBlock`; its `delay_s` says how far frames lag behind the sound.

        Raises:
            DataError: an unknown speaker or option, or a context shorter than a window.
        """
        sampling, row = self.options(**options), self._speaker_row(speaker)
        context_s = self.ear.settings.wavlm.chunk_s if context_s is None else context_s
        shortest_s = sampling.window_frames / self.fps + self.ear.settings.mfcc.window_s
        if context_s < shortest_s:
            raise DataError(
                f"stream: got context_s {context_s}, wanted {shortest_s:.2f} at least: a window and its edge."
            )
        stream = GestureStream(self.model, self.tokenizer, seed, name, sampling, decoder_ahead_frames)
        return MotionStream(stream, LiveEar(self.ear, row, context_s), chunks)

    def live(self) -> dict[str, Any]:
        """Options of `stream` for a voice that is being spoken: a delay of about a second."""
        return live_options(self.sampling.window_frames)

    def options(self, **changes: Any) -> SamplingParams:
        """The sampling options with some changed; checked."""
        known = {key: value for key, value in changes.items() if value is not None}
        unknown = sorted(set(known) - set(SamplingParams.model_fields))
        if unknown:
            raise DataError(
                f"generate: unknown option {unknown}; wanted {sorted(SamplingParams.model_fields)}."
            )
        if self.sampling.precision == "bf16" and known.get("precision", "bf16") != "bf16":
            raise DataError("generate: the model was loaded in bf16; load it again for another precision.")
        try:
            return SamplingParams.model_validate({**self.sampling.model_dump(), **known})
        except ValueError as error:
            raise DataError(f"generate: {error}") from error

    def _move(self, speech: Speech, seed: int, sampling: SamplingParams, show: bool) -> Motion:
        """The gesture of `generate_clips`, window by window, so that only one window is in memory."""
        stream = GestureStream(self.model, self.tokenizer, seed, speech.clip, sampling)
        walk, made = Walk(self.fps), MotionSpool(self.fps)
        windows = _windows(stream, speech)
        for block in progress(windows, "moving", stream.n_windows(speech.n_frames)) if show else windows:
            if len(block.gesture):
                made.append(walk.motion(block))
        return made.motion()

    def _words(self, transcript: Path | str | Sequence[Word] | None, wave: NDArray[np.float32]) -> list[Word]:
        if transcript is None:
            return []
        if not self.model.config.sizes.text_width:
            logger.warning("This model has no text stream (model.text_width: 0): the transcript isn't read.")
        if isinstance(transcript, str | Path):
            return words_of(Path(transcript), wave)
        return list(transcript)

    def _speaker_row(self, speaker: int | None) -> int:
        if speaker is None:
            return UNKNOWN_SPEAKER
        if speaker not in self.speakers:
            raise DataError(
                f"speaker {speaker}: the model knows {list(self.speakers)}. Leave it out, or take one."
            )
        return self.speakers.index(speaker)


def _windows(stream: GestureStream, speech: Speech) -> Iterator[GestureBlock]:
    """What each window of a whole speech makes ready."""
    while window := stream.wanted(speech.n_frames):
        yield stream.advance(speech.part(*window, fps=stream.model.config.data.fps), speech.n_frames)
        let_go(speech.wavlm.numpy(), speech.mfcc.numpy())


def _wave(audio: Path | str | NDArray[np.float32]) -> NDArray[np.float32]:
    """[N] at 16 kHz; a file's lies on disk."""
    if isinstance(audio, str | Path):
        if Path(audio).is_dir():
            raise DataError(f"{audio}: is a folder, wanted one sound file. Take its files one by one.")
        return Spool.of(stream_wave(Path(audio)), np.float32)
    wave = np.asarray(audio, np.float32)
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise DataError(
            f"generate: got a wave of shape {wave.shape}, or values that aren't finite; "
            "wanted [N] mono samples at 16 kHz."
        )
    return wave
