"""Small BEAT2 trees and feature folders, made from seeds, for tests of `omniges.data`."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from safetensors.numpy import save_file

from omniges.config import Params, load_params
from omniges.data.beat2 import write_motion
from omniges.data.clips import read_clips
from omniges.data.table import write_table, write_text_table
from omniges.motion.layout import PARTS
from omniges.types import Motion, Word
from omniges.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
CLIPS = {
    "1_ann_0_1_1": "train",
    "1_ann_0_2_2": "val",
    "1_ann_0_10_10": "test",
    "3_bob_0_1_1": "train",
    "3_bob_0_2_2": "additional",
}
TEXT_WIDTH, WAVLM_WIDTH, MFCC_WIDTH = 16, 12, 8


def params_for(root: Path, *, pack: Mapping[str, object] | None = None, **data: object) -> Params:
    """The shipped parameters with another `data` section."""
    params = load_params(REPOSITORY / "params.yaml")
    section = params.data.model_copy(update={"name": "tiny", "root": str(root), **data})
    return params.model_copy(update={"data": section, "pack": params.pack.model_copy(update=pack or {})})


def rng_of(*words: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(words).encode()))


def motion(clip: str, n_frames: int, fps: float = 30.0) -> Motion:
    """Smooth random motion: a walk that every clip id decides."""
    rng = rng_of("motion", clip)
    steps = rng.standard_normal((n_frames, 55, 3)) * 0.01
    return Motion(
        poses=np.cumsum(steps, axis=0).astype(np.float32),
        trans=np.cumsum(rng.standard_normal((n_frames, 3)) * 0.002, axis=0) + np.array([0.1, 0.95, -0.2]),
        expressions=rng.standard_normal((n_frames, 100)),
        betas=rng.standard_normal(300).astype(np.float32),
        fps=fps,
    )


def textgrid(words: Sequence[tuple[float, float, str]], end_s: float, *, short: bool = False) -> str:
    """A TextGrid whose words and phones tiers hold the same intervals."""
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    if short:
        body = ["0", f"{end_s}", "<exists>", "2"]
        for tier in ("words", "phones"):
            body += ['"IntervalTier"', f'"{tier}"', "0", f"{end_s}", f"{len(words)}"]
            body += [line for a, b, text in words for line in (f"{a}", f"{b}", f'"{text}"')]
        return "\n".join([*head, *body]) + "\n"
    body = ["xmin = 0 ", f"xmax = {end_s} ", "tiers? <exists> ", "size = 2 ", "item []: "]
    for number, tier in enumerate(("words", "phones"), start=1):
        body += [f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{tier}" ']
        body += ["        xmin = 0 ", f"        xmax = {end_s} ", f"        intervals: size = {len(words)} "]
        for i, (a, b, text) in enumerate(words, start=1):
            body += [f"        intervals [{i}]:", f"            xmin = {a} ", f"            xmax = {b} "]
            body += [f'            text = "{text}" ']
    return "\n".join([*head, *body]) + "\n"


def words_of(clip: str, end_s: float) -> list[tuple[float, float, str]]:
    """A word every half second, a pause before each; the last interval ends with the clip."""
    spoken: list[tuple[float, float, str]] = []
    for i in range(int(end_s / 0.5)):
        spoken += [(i * 0.5, i * 0.5 + 0.2, ""), (i * 0.5 + 0.2, i * 0.5 + 0.5, f"word{i}")]
    return spoken


def make_tree(
    root: Path,
    clips: Mapping[str, str] = CLIPS,
    *,
    n_frames: int = 100,
    fps: float = 30.0,
    motion_folder: str = "smplxflame_30",
    apart: bool = False,
) -> Path:
    """Write a BEAT2 tree; audio outlasts motion by 0.2 s, as in the real set.

    Args:
        root: the folder to make.
        clips: id → split.
        n_frames: of every clip's motion.
        fps: of the motion.
        motion_folder: name of the motion folder.
        apart: keep the expressions in a folder of their own.
    """
    for clip in clips:
        write_clip(root, clip, n_frames=n_frames, fps=fps, motion_folder=motion_folder, apart=apart)
    rows = "".join(f"{clip},{split}\r\n" for clip, split in clips.items())
    (root / "train_test_split.csv").write_bytes(f"id,type\r\n{rows}".encode())
    return root


def write_clip(
    root: Path,
    clip: str,
    *,
    n_frames: int,
    fps: float,
    motion_folder: str = "smplxflame_30",
    apart: bool = False,
) -> None:
    """The files of one clip; 16-bit sound for odd ids, float sound for the others."""
    path = root / motion_folder / f"{clip}.npz"
    write_motion(path, motion(clip, n_frames, fps))
    if apart:
        arrays = dict(np.load(path))
        (root / "expression").mkdir(exist_ok=True)
        np.savez(root / "expression" / f"{clip}.npz", expressions=arrays.pop("expressions"))
        np.savez(path, **arrays)
    end_s = n_frames / fps + 0.2
    wave = rng_of("wave", clip).uniform(-0.5, 0.5, round(end_s * 16_000)).astype(np.float32)
    (root / "wave16k").mkdir(exist_ok=True)
    subtype = "PCM_16" if zlib.crc32(clip.encode()) % 2 else "FLOAT"
    soundfile.write(root / "wave16k" / f"{clip}.wav", wave, 16_000, subtype=subtype)
    (root / "textgrid").mkdir(exist_ok=True)
    (root / "textgrid" / f"{clip}.TextGrid").write_text(textgrid(words_of(clip, end_s), end_s))


def write_statistics(W: Workspace, std: float = 0.5) -> None:
    """Statistics files as the tokenizers leave them."""
    for name, part in PARTS.items():
        W.tokenizer(name).mkdir(parents=True, exist_ok=True)
        mean = rng_of("mean", name).standard_normal(part.width).astype(np.float32)
        values = {"mean": mean, "std": np.full(part.width, std, np.float32)}
        save_file(values, W.tokenizer(name) / "statistics.safetensors")


def write_features(W: Workspace, fps: int = 30) -> None:
    """Stand-ins for mfcc, wavlm, text and codes of every usable clip; motion is left to its own stage."""
    for record in read_clips(W):
        rng, n = rng_of("features", record.id), record.n_frames
        for name, width in (("mfcc", MFCC_WIDTH), ("wavlm", WAVLM_WIDTH)):
            values = rng.standard_normal((n, width)).astype(np.float32)
            path = W.feature(name) / f"{record.id}.parquet"
            write_table(path, values, clip=record.id, feature=name, unit="1", fps=fps, dtype="float16")
        codes = rng.integers(0, 128, (n // 4, 24))
        path = W.feature("codes") / f"{record.id}.parquet"
        write_table(path, codes, clip=record.id, feature="codes", unit="index", fps=fps / 4, dtype="int16")
        words = [Word(text=t, start_s=a, end_s=b) for a, b, t in words_of(record.id, record.duration_s) if t]
        embeddings = rng.standard_normal((len(words), TEXT_WIDTH)).astype(np.float32)
        write_text_table(W.feature("text") / f"{record.id}.parquet", words, embeddings, record.id, "float16")
