"""One generated take, and its files."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omniges.api.hearing import blocks_of
from omniges.data.beat2 import write_motion
from omniges.errors import DataError
from omniges.files import atomic_path, write_json
from omniges.motion.cleanup import clean
from omniges.rendering.blendshapes import ArkitMatrix, write_arkit_json
from omniges.rendering.bvh import write_bvh
from omniges.rendering.glb import write_glb
from omniges.rendering.video import render_comparison
from omniges.rendering.viewer import write_viewer
from omniges.timing import SAMPLE_RATE
from omniges.types import Motion, Word

FORMATS = ("npz", "bvh", "glb", "json", "mp4", "html")


@dataclass(frozen=True, kw_only=True)
class Take:
    """Motion for a recording."""

    name: str
    motion: Motion
    wave: NDArray[np.float32]  # [N] at 16 kHz
    words: tuple[Word, ...]
    seed: int
    notes: dict[str, Any] = field(default_factory=dict)

    def cleaned(self, steps: Sequence[str]) -> "Take":
        """The take after clean-up: some of "drift", "limits", "feet"; see docs/generate.md.

        Raises:
            DataError: an unknown step.
        """
        motion, report = clean(self.motion, steps)
        return replace(self, motion=motion, notes={**self.notes, "clean": report})

    def save(
        self,
        folder: Path | str,
        formats: tuple[str, ...] = ("npz",),
        *,
        height: int = 480,
        blendshape_matrix: Path | None = None,
        smplx_model: Path | None = None,
    ) -> list[Path]:
        """Write `seedS.FORMAT` for every format, and beside them what the viewer needs: sound, words, notes.

        Args:
            folder: made if missing; takes of one recording share it.
            formats: some of `FORMATS`.
            height: of the video, pixels.
            blendshape_matrix: the user's ARKit map for `json`; see docs/exports.md.
            smplx_model: the user's licensed SMPL-X file, whose mesh the video shows.

        Returns:
            The files of the formats.
        """
        unknown = sorted(set(formats) - set(FORMATS))
        if unknown:
            raise DataError(f"formats: got {', '.join(unknown)}; wanted some of {', '.join(FORMATS)}.")
        folder = Path(folder)
        stem = folder / f"seed{self.seed}"
        matrix = None if blendshape_matrix is None else ArkitMatrix.load(blendshape_matrix)
        notes, label = dict(self.notes), f"{self.name}, seed {self.seed}"
        for kind in formats:
            path = stem.with_suffix(f".{kind}")
            if kind == "npz":
                write_motion(path, self.motion)
            elif kind == "bvh":
                write_bvh(path, self.motion)
            elif kind == "glb":
                write_glb(path, self.motion, name=f"{self.name} seed {self.seed}")
            elif kind == "json":
                notes["blendshapes"] = write_arkit_json(path, self.motion, matrix)
            elif kind == "html":
                write_viewer(path, {label: self.motion}, self.wave, self.words, title=self.name)
            else:
                render_comparison(
                    path, {label: self.motion}, self.wave, height=height, smplx_model=smplx_model
                )
        write_sound(folder / "speech.wav", self.wave)
        words = [{"text": w.text, "start_s": w.start_s, "end_s": w.end_s} for w in self.words]
        write_json(folder / "words.json", words)
        write_json(folder / f"seed{self.seed}.notes.json", {"name": self.name, **notes})
        return [stem.with_suffix(f".{kind}") for kind in formats]


def write_sound(path: Path, wave: NDArray[np.float32]) -> None:
    """16 kHz mono PCM16, clipped to -1..1."""
    import soundfile

    form = {"samplerate": SAMPLE_RATE, "channels": 1, "subtype": "PCM_16", "format": "WAV"}
    with atomic_path(path) as temporary, soundfile.SoundFile(temporary, "w", **form) as sound:
        for block in blocks_of(wave):
            sound.write(np.clip(block, -1, 1))
