"""Cards that a training run leaves beside its checkpoint: README.md for the model, DATA.md for what it saw.

They hold nothing that would change from run to run of the same work (no date, no time), and they are none of
the files that `checkpoint.digest` counts.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omniges import checkpoint
from omniges.config import Params
from omniges.data.packed import PackIndex, read_index
from omniges.files import atomic_path, read_json
from omniges.motion.layout import PART_NAMES
from omniges.workspace import Workspace

LOSSES = {
    "codes": "cross-entropy, nats a motion code",
    "reconstruction": "squared error of the motion code's vector, in variances of the train split",
    "velocity": "the same of its change from token to token",
    "side": "squared error of jaw and eyes, in variances of the train split",
    "total": "their weighted sum",
}
MODEL_CARD, DATA_CARD = "README.md", "DATA.md"


def write_cards(params: Params, workspace: Workspace, parameters: int) -> None:
    """Write both cards into the checkpoint's folder, from what lies there.

    Args:
        params: of the run.
        workspace: where pack and checkpoint are.
        parameters: numbers that the model learned.
    """
    index = read_index(workspace.pack).only(params.train.shards)
    texts = {
        MODEL_CARD: model_card(params, workspace, index, parameters),
        DATA_CARD: data_card(params, workspace, index),
    }
    for name, text in texts.items():
        with atomic_path(workspace.a2g / name) as temporary:
            temporary.write_text(text, "utf-8")


def model_card(params: Params, workspace: Workspace, index: PackIndex, parameters: int) -> str:
    """What the model is, what it learned from, how well it does on val, what it is for, and its hashes."""
    made = checkpoint.load(workspace.a2g).provenance
    curve = read_json(workspace.a2g / "curve.json")
    validated = [row for row in curve if row["step"] == made["best_step"] and "val/total" in row]
    last = validated[-1] if validated else {}
    figures = {
        f"{name} ({unit})": f"{last[f'val/{name}']:.4f}"
        for name, unit in LOSSES.items()
        if f"val/{name}" in last and not (name == "codes" and params.model.predicts == "latents")
    }
    val_clips = sum(clip.split == "val" for clip in index.clips.values())
    frames = {split: _frames(index, split) for split in ("train", "val")}
    model, train = params.model, params.train
    lines = [
        f"# Omniges audio-to-gesture model, corpus “{params.data.name}”",
        "",
        *_what_else(params),
        "Speech in, SMPL-X motion out (55 joints, translation, 100 expressions), "
        f"at {index.fps} frames a second. `omniges generate speech.wav --model "
        f"FOLDER/{workspace.network}` uses it, where FOLDER also holds `encoders/` and `tokenizers/`.",
        "",
        "## Made from",
        "",
        *_bullets(
            {
                "data": f"{params.data.name}, {_hours(frames['train'], index.fps)} of train and "
                f"{_hours(frames['val'], index.fps)} of val; see {DATA_CARD}",
                "speakers": ", ".join(map(str, index.speakers)),
                "audio": _encoder(params.wavlm.model, "WavLM") + f", and {params.mfcc.n_mfcc} MFCC",
                "text": _encoder(params.text.model, "text encoder"),
                "motion codes": _tokenizers(params),
                "size": f"{parameters / 1e6:.2f} M parameters; {model.layers} layers, "
                f"gesture width {model.gesture_width}",
                "training": f"{made['best_step']} steps ({made['chosen_by']}), {_bound(params)}, batch "
                f"{train.batch_per_process * train.accumulate} a process, lr {train.lr:g}, "
                f"seed {train.seed}, windows of {train.window_frames} frames",
            }
        ),
        "",
        "## On val",
        "",
        *(_bullets(figures) or ["There was no val split."]),
        "",
        f"These are training losses, means over up to {train.validate_windows} windows of {val_clips} clips, "
        "without intervals; where the lowest total chose the step, they flatter it. Whether the model "
        "listens, and how far it is from real motion, the stage `evaluate` measures on the test split, with "
        "intervals over clips: `reports/index.html` and `reports/report.json`.",
        "",
        "## For, and not for",
        "",
        "- For research on co-speech gesture, and for moving characters whose speech is known to be "
        "synthetic or is used with its speaker's consent.",
        "- Not for passing generated motion off as a recording of somebody, and not for judging people by "
        "their gestures.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(params)),
        "",
        "## Licence",
        "",
        f"The code is Apache-2.0. {_terms(params)}{_foreign(params)}",
        "",
        "## Hashes (SHA-256)",
        "",
        *_bullets(
            {
                "this checkpoint": checkpoint.digest(workspace.a2g),
                "pack": made["pack"],
                **{f"tokenizer {part}": made["tokenizers"][part] for part in PART_NAMES},
            }
        ),
    ]
    return "\n".join(lines) + "\n"


def data_card(params: Params, workspace: Workspace, index: PackIndex) -> str:
    """What was seen: clips and hours by split and speaker, what was left out, and where it came from."""
    rows = ["| split | speaker | clips | hours | words |", "|---|---|---|---|---|"]
    for split in ("train", "val", "test", "additional"):
        for speaker in sorted({c.speaker for c in index.clips.values() if c.split == split}):
            clips = [c for c in index.clips.values() if (c.split, c.speaker) == (split, speaker)]
            hours = sum(c.n_frames for c in clips) / index.fps / 3600
            words = sum(c.n_words for c in clips)
            rows.append(f"| {split} | {index.speakers[speaker]} | {len(clips)} | {hours:.3f} | {words} |")
    settings = {
        "form": f"BEAT2 files, {index.fps} frames a second",
        "speakers asked for": params.data.speakers
        if params.data.speakers == "all"
        else str(params.data.speakers),
        "excluded by name": ", ".join(params.data.exclude) or "nothing",
        "shards of the pack": _shards(params),
        "left out by the pack": ", ".join(sorted(index.left_out)) or "nothing",
    }
    if params.corpus.make:
        corpus = params.corpus
        settings["source"] = (
            f"made by this project's code (seed {corpus.seed}, voice {corpus.voice}): no person was "
            f"recorded. {100 * corpus.share:g} % of the gesture's variance follows speech"
        )
    else:
        settings["source"] = "recordings of people, read from the user's own BEAT2 tree"
    card = "`corpus/card.md`" if params.corpus.make else "its authors' page"
    lines = [
        f"# Data that the model in this folder saw: “{params.data.name}”",
        "",
        *rows,
        "",
        *_bullets(settings),
        "",
        f"More on the corpus: {card}; clips that were refused, and why: `ingest/report.md`, below "
        f"`{workspace.data.as_posix()}/`. {_terms(params)}",
    ]
    return "\n".join(lines) + "\n"


def _what_else(params: Params) -> list[str]:
    """A paragraph for who takes a latent flow for the model."""
    if params.model.predicts == "codes":
        return []
    return ["A latent flow: the model's network without its codes, trained for comparison as a baseline.", ""]


def _limits(params: Params) -> Iterable[str]:
    if params.corpus.make:
        yield "It learned from synthetic people; its motion follows their rules and not people's."
    if params.wavlm.model == "tiny":
        yield "WavLM is tiny and untrained here, so speech is heard through MFCC almost alone."
    if params.text.model == "tiny":
        yield "The text encoder is untrained: it tells words apart, and knows nothing of what they mean."
    yield "Speakers it never saw move like nobody in particular; languages it never heard were never tested."
    yield "Feet may slide and the root may drift; `--clean` mends that after the fact (docs/generate.md)."


def _terms(params: Params) -> str:
    if params.corpus.make:
        return "Data and weights were made by that code, and may be used under the same terms."
    return (
        "The weights derive from the data, whose own licence binds them: for BEAT2 that is CC BY-NC 4.0, "
        "research only."
    )


def _foreign(params: Params) -> str:
    """Whose terms hold for what was not made here."""
    names = [model for model in (params.wavlm.model, params.text.model) if model != "tiny"]
    if _published(params):
        names.append("the published tokenizers")
    return f" {', '.join(names)}: see the terms of those who made them." if names else ""


def _tokenizers(params: Params) -> str:
    published, steps = _published(params), params.tokenizers.steps
    own = [part for part in PART_NAMES if part not in published]
    texts = [f"{part} by the published {name}" for part, name in published.items()]
    texts += [f"{', '.join(own)} by tokenizers trained here for {steps} steps"] if own else []
    return "; ".join(texts)


def _published(params: Params) -> dict[str, str]:
    """Names of the published tokenizers' files, by part."""
    files = params.tokenizers.checkpoints.model_dump()
    return {part: Path(files[part]).name for part in PART_NAMES if files[part] is not None}


def _encoder(model: str, kind: str) -> str:
    return f"{kind}: tiny and UNTRAINED" if model == "tiny" else f"{kind}: {model}"


def _bound(params: Params) -> str:
    steps = params.train.max_steps
    return f"at most {params.train.epochs} epochs" if steps is None else f"at most {steps} steps"


def _shards(params: Params) -> str:
    return "all" if params.train.shards == "all" else ", ".join(map(str, params.train.shards))


def _frames(index: PackIndex, split: str) -> int:
    return sum(clip.n_frames for clip in index.clips.values() if clip.split == split)


def _hours(frames: int, fps: float) -> str:
    return f"{frames / fps / 3600:.2f} h"


def _bullets(rows: Mapping[str, Any]) -> list[str]:
    return [f"- {name}: {value}" for name, value in rows.items()]
