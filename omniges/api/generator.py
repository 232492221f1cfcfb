"""A trained model, ready for any recording."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from omniges import checkpoint, tracked
from omniges.api.hearing import Ear, FeatureSettings, words_of
from omniges.api.streaming import LiveEar, MotionStream
from omniges.api.take import Take
from omniges.audio.files import read_wave
from omniges.config import SamplingParams
from omniges.errors import CheckpointError, DataError
from omniges.files import read_json
from omniges.model.a2g import A2G, UNKNOWN_SPEAKER
from omniges.model.loading import load_model
from omniges.motion.features import features_from_gesture, features_to_motion
from omniges.sampling.generate import Generated, generate_clips
from omniges.sampling.speech import Speech
from omniges.sampling.streaming import GestureStream
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.types import Motion, Word

logger = logging.getLogger(__name__)
PIECES = ("a2g", "encoders", "tokenizers")


class Omniges:
    """Speech in, motion out. Make one with `Omniges.load`."""

    def __init__(self, model: A2G, tokenizer: GestureTokenizer, ear: Ear, sampling: SamplingParams) -> None:
        self.model, self.tokenizer, self.ear, self.sampling = model, tokenizer, ear, sampling

    @classmethod
    def load(cls, path: Path | str | None = None, *, device: str | None = None) -> "Omniges":
        """Load a trained model.

        Args:
            path: a folder that holds `a2g/`, `encoders/` and `tokenizers/` (such as `models/demo`), its
                `a2g`, or a model in MLflow (runs:/ID/model); None takes the newest below `models/`.
            device: "cpu", "cuda", ...; None takes the GPU where there is one.

        Raises:
            CheckpointError: there is none, or a piece is missing or damaged.
        """
        folder = find_model(path)
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        provenance = checkpoint.load(folder / "a2g").provenance
        model = load_model(folder / "a2g").to(where)
        tokenizer = GestureTokenizer.load(folder / "tokenizers").to(where)
        settings = FeatureSettings.of(provenance, folder / "a2g")
        ear = Ear(folder / "encoders", settings, model.config.data.fps, where)
        logger.info("model %s on %s", folder, where)
        return cls(model, tokenizer, ear, default_sampling(provenance))

    @property
    def fps(self) -> float:
        return self.model.config.data.fps

    @property
    def speakers(self) -> tuple[int, ...]:
        """Numbers of the speakers that the model knows."""
        return self.model.config.data.speakers

    def generate(
        self,
        audio: Path | str | NDArray[np.float32],
        *,
        transcript: Path | str | Sequence[Word] | None = None,
        speaker: int | None = None,
        seed: int = 0,
        name: str | None = None,
        **options: Any,
    ) -> Take:
        """Motion for one recording of any length.

        Args:
            audio: a sound file of any rate and channels, or a wave [N] at 16 kHz.
            transcript: a .TextGrid, a text file, or words with times; None generates from sound alone.
            speaker: one of `speakers`, whose manner is taken; None is nobody in particular.
            seed: another seed is another take.
            name: of the recording; None takes the file's.
            **options: `SamplingParams` fields that differ from `sampling` (steps, audio_guidance, ...).

        Raises:
            DataError: no sound, too short, or an unknown speaker.
        """
        wave = read_wave(Path(audio)) if isinstance(audio, str | Path) else np.asarray(audio, np.float32)
        name = name or (Path(audio).stem if isinstance(audio, str | Path) else "speech")
        words = self._words(transcript, wave)
        speech = self.ear.hear(wave, words, name, self._speaker_row(speaker))
        sampling = self.options(**options)
        motion = self._move(speech, seed, sampling)
        notes = {"seed": seed, "speaker": speaker, "words": len(words), "sampling": sampling.model_dump()}
        return Take(name=name, motion=motion, wave=wave, words=tuple(words), seed=seed, notes=notes)

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

    def options(self, **changes: Any) -> SamplingParams:
        """The sampling options with some changed; checked."""
        known = {key: value for key, value in changes.items() if value is not None}
        unknown = sorted(set(known) - set(SamplingParams.model_fields))
        if unknown:
            raise DataError(
                f"generate: unknown option {unknown}; wanted {sorted(SamplingParams.model_fields)}."
            )
        try:
            return SamplingParams.model_validate({**self.sampling.model_dump(), **known})
        except ValueError as error:
            raise DataError(f"generate: {error}") from error

    def _move(self, speech: Speech, seed: int, sampling: SamplingParams) -> Motion:
        result: Generated = generate_clips(self.model, self.tokenizer, [speech], seed, sampling)[0]
        side = result.side.numpy()
        features = features_from_gesture(result.gesture.numpy(), side)
        return features_to_motion(features, side, np.zeros(2), self.fps)

    def _words(self, transcript: Path | str | Sequence[Word] | None, wave: NDArray[np.float32]) -> list[Word]:
        if transcript is None:
            return []
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


def find_model(path: Path | str | None) -> Path:
    """The folder that holds a model's three pieces.

    Args:
        path: that folder, its `a2g`, or a model in MLflow (runs:/ID/model); None takes the newest below
            `models/`.
    """
    if path is not None and tracked.is_model_uri(str(path)):
        return tracked.fetch_model(str(path))
    if path is None:
        found = sorted(Path("models").glob("*/a2g/model.safetensors"), key=lambda p: (p.stat().st_mtime, p))
        if not found:
            raise CheckpointError(
                "models/: holds no trained model. Run `make demo` or `dvc repro`, "
                "or name a folder with --model."
            )
        return found[-1].parent.parent
    folder = Path(path)
    folder = folder.parent if folder.name == "a2g" else folder
    missing = [piece for piece in PIECES if not (folder / piece).is_dir()]
    if missing:
        raise CheckpointError(
            f"{folder}: got no {', '.join(missing)}; wanted a folder with "
            f"{', '.join(PIECES)}, such as models/demo."
        )
    return folder


def default_sampling(provenance: dict[str, Any]) -> SamplingParams:
    """The shipped options, with the window that the model was trained on."""
    options = read_json(Path(__file__).with_name("sampling.json"))
    return SamplingParams.model_validate({**options, "window_frames": provenance["train"]["window_frames"]})
