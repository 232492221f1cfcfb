"""The stages `tokenizers` (one part a job) and `codes` (clips in shards)."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omniges.config import Params
from omniges.data.clips import read_clips
from omniges.data.motion_table import read_motion_features
from omniges.data.table import write_table
from omniges.errors import OmnigesError, TrainingError
from omniges.files import sha256_file, write_json
from omniges.motion.features import gesture_from_features
from omniges.motion.layout import FRAMES_PER_CODE, PART_NAMES, PARTS
from omniges.tokenizers import published, reconstruction
from omniges.tokenizers import statistics as normalisation
from omniges.tokenizers.checkpoints import save_part
from omniges.tokenizers.distance import MotionEmbedder
from omniges.tokenizers.gesture_tokenizer import GestureTokenizer
from omniges.tokenizers.plots import report_svg
from omniges.tokenizers.quantizer import QuantizerConfig
from omniges.tokenizers.reconstruction import ClipChannels
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig
from omniges.tokenizers.training import Trainer, device, rank
from omniges.tokenizers.windows import TrainFrames
from omniges.tracking import Run, start_run
from omniges.types import ClipFault
from omniges.workspace import Workspace

REPORT, PICTURE = "report.json", "report.svg"
MEASURED_TRAIN_CLIPS = 8
"""Train clips whose reconstruction is measured beside the validation split's."""
COLLAPSED = 1.5
"""Perplexity of the first codebook under which training has failed."""
log = logging.getLogger(__name__)


def train(params: Params, W: Workspace, part: str) -> None:
    """Train one part's tokenizer, or take the published one that `tokenizers.checkpoints` names.

    Args:
        params: `tokenizers` and `data.fps` are read.
        W: motion tables are read, `W.tokenizer(part)` is written.
        part: `upper`, `hands`, `lower_trans` or `face`.
    """
    if part not in PARTS:
        raise TrainingError(f"tokenizers: got part {part!r}, wanted one of {', '.join(PART_NAMES)}.")
    if getattr(params.tokenizers.checkpoints, part) is not None:
        model, statistics, provenance = published.from_params(params, part)
        history: list[dict[str, Any]] = []
    else:
        model, statistics, provenance, history = _trained(params, W, part)
    report: dict[str, Any] = {"part": part, "fps": params.data.fps, "history": history}
    report["reconstruction"] = _reconstruction(params, W, part, model, statistics)
    if rank() == 0:
        save_part(W.tokenizer(part), part, model, statistics, params.data.fps, provenance)
        write_json(W.tokenizer(part) / REPORT, report)
        (W.tokenizer(part) / PICTURE).write_text(report_svg(report), "utf-8")
        _track(params, W, part, report)


def _track(params: Params, W: Workspace, part: str, report: dict[str, Any]) -> None:
    with start_run(params, W, f"tokenizers-{part}") as run:
        run.log_params({"tokenizers": params.tokenizers.model_dump()})
        for point in report["history"]:
            run.log_metrics(point["values"], step=point["step"])
        for split, found in report["reconstruction"].items():
            if found is not None:
                _track_figures(run, split, found)
        for name in (REPORT, PICTURE):
            run.log_artifact(W.tokenizer(part) / name)


def _track_figures(run: Run, split: str, found: dict[str, Any]) -> None:
    """Figures with all quantizers, then curves: their step is a quantizer's number, or how many are kept."""
    run.log_metrics({split: {key: value for key, value in found.items() if isinstance(value, float)}})
    curves = {"kept": found["by_quantizers_kept"], "quantizer": found["codes"]}
    for number in range(len(found["codes"]["perplexity"])):
        values = {
            kind: {name: curve[number] for name, curve in named.items()} for kind, named in curves.items()
        }
        run.log_metrics({split: values}, step=number + 1)


def codes(params: Params, W: Workspace, clips: Sequence[str]) -> list[ClipFault]:
    """Encode whole clips; each gets int16 [T // 4, 24], part by part, quantizer by quantizer.

    Args:
        params: `data.fps` is read.
        W: motion tables and tokenizers are read, `W.feature("codes")` is written.
        clips: ids.
    Returns:
        the clips that could not be encoded.
    """
    tokenizer = GestureTokenizer.load(W).to(device())
    faults = []
    for clip in clips:
        try:
            _write_codes(params, W, tokenizer, clip)
        except OmnigesError as error:
            faults.append(ClipFault(clip=clip, problem=f"codes: {error}", remedy="Repair it, or exclude it."))
    return faults


def _write_codes(params: Params, W: Workspace, tokenizer: GestureTokenizer, clip: str) -> None:
    features = read_motion_features(W.feature("motion") / f"{clip}.parquet")
    gesture = torch.from_numpy(np.ascontiguousarray(gesture_from_features(features.values), np.float32))
    found = tokenizer.encode(gesture[None].to(tokenizer.mean.device))[0].flatten(1).cpu().numpy()
    extra = {"parts": list(PART_NAMES), "quantizers": tokenizer.quantizers, "codes": tokenizer.codes}
    write_table(
        W.feature("codes") / f"{clip}.parquet",
        found,
        clip=clip,
        feature="codes",
        unit="index",
        fps=params.data.fps / FRAMES_PER_CODE,
        dtype="int16",
        extra=extra,
    )


def _trained(
    params: Params, W: Workspace, part: str
) -> tuple[RVQVAE, normalisation.Statistics, dict[str, Any], list[dict[str, Any]]]:
    section = params.tokenizers
    clips = read_part_channels(W, part, "train")
    statistics = normalisation.measure(part, (clip.values for clip in clips))
    data = TrainFrames.of(part, [(c.clip, c.values) for c in clips], statistics, section.window_frames)
    torch.manual_seed(section.seed)
    trainer = Trainer(part, RVQVAE(config_of(params, part)), data, statistics, section)
    provenance = {
        "params": _digest(section.model_dump()),
        "train_split": _digest({c.id: sha256_file(_table(W, c.id)) for c in read_clips(W, "train")}),
        "train_clips": len(clips),
        "train_frames": len(data.frames),
        "torch": torch.__version__,
    }
    trainer.run(W.unfinished / f"tokenizers-{part}" / "state.pt")
    _refuse_collapse(part, trainer, data)
    return trainer.model, statistics, provenance, [asdict(point) for point in trainer.history]


def _refuse_collapse(part: str, trainer: Trainer, data: TrainFrames) -> None:
    with torch.no_grad():
        frames = data.batch(min(256, len(data.starts)), seed=0).to(trainer.device)
        found = reconstruction.code_use(
            trainer.model.encode(frames).flatten(0, 1).cpu(), trainer.params.codes, trainer.params.quantizers
        )["perplexity"][0]
    if found >= COLLAPSED:
        return
    if float(data.frames.std(dim=0).max()) < COLLAPSED / 100:
        log.warning(
            "tokenizer %s: the train split does not move in this part; one code stands for all of it.", part
        )
        return
    raise TrainingError(
        f"tokenizer {part}: the first codebook collapsed (perplexity {found:.2f} of {trainer.params.codes} "
        "codes). Lower tokenizers.lr or commitment, or use start: kmeans and compatible: false."
    )


def config_of(params: Params, part: str) -> RVQVAEConfig:
    """A part's network from the parameters."""
    t = params.tokenizers
    return RVQVAEConfig(
        channels=PARTS[part].width,
        width=t.width,
        depth=t.depth,
        dropout=t.dropout,
        quantizer=QuantizerConfig(
            codes=t.codes,
            code_dim=t.code_dim,
            quantizers=t.quantizers,
            ema_decay=t.ema_decay,
            dropout=t.quantizer_dropout,
            temperature=t.temperature,
            dead_below=t.dead_below,
            start=t.start,
            gradient=t.gradient,
            compatible=t.compatible,
        ),
    )


def read_part_channels(W: Workspace, part: str, split: Any) -> list[ClipChannels]:
    """Raw channels [T, C] of one part, for every usable clip of a split."""
    channels = PARTS[part].channels
    clips = read_clips(W, split)
    return [ClipChannels(c.id, read_motion_features(_table(W, c.id)).values[:, channels]) for c in clips]


def _reconstruction(
    params: Params, W: Workspace, part: str, model: RVQVAE, statistics: normalisation.Statistics
) -> dict[str, Any]:
    """Figures of the validation split and of some train clips; null where a split has no clip."""
    clips = {
        split: [c for c in read_part_channels(W, part, split) if len(c.values) >= FRAMES_PER_CODE]
        for split in ("train", "val")
    }
    embedder = MotionEmbedder.of([clip.values for clip in clips["train"]])
    # Neighbours in the list are one speaker's, so clips are taken at equal distances.
    clips["train"] = clips["train"][:: -(-len(clips["train"]) // MEASURED_TRAIN_CLIPS) or 1]
    return {
        split: reconstruction.measure(part, model, statistics, some, params.data.fps, split, embedder)
        if some
        else None
        for split, some in clips.items()
    }


def _table(W: Workspace, clip: str) -> Path:
    return W.feature("motion") / f"{clip}.parquet"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
