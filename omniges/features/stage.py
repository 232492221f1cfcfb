"""The stage `encoders`: settle which networks the features come from, and build the tiny ones."""

import logging
from pathlib import Path

from omniges.config import Params
from omniges.features.source import (
    TINY,
    UNTRAINED_KEY,
    EncoderRecord,
    fingerprint,
    locate,
    read_record,
    write_record,
)
from omniges.files import atomic_folder, read_json
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)


def encoders(params: Params, W: Workspace) -> None:
    """Write `W.encoders/{wavlm,text}`: tiny networks and their records, or records of the models named.

    Raises:
        CheckpointError: a named model can't be had.
    """
    with atomic_folder(W.encoders / "wavlm") as folder:
        write_record(folder, _wavlm(params, folder))
    with atomic_folder(W.encoders / "text") as folder:
        write_record(folder, _text(params, folder))
    for name, label in encoder_labels(params, W).items():
        logger.info("%s: %s", name, label)


def encoder_labels(params: Params, W: Workspace) -> dict[str, str]:
    """What reports call each feature's origin; untrained networks say so. Needs no heavy import.

    Raises:
        CheckpointError: the stage `encoders` has not been run.
    """
    mfcc = f"{params.mfcc.n_mfcc} MFCC of {params.mfcc.n_mels} mel bands, no network"
    return {"mfcc": mfcc, **{kind: read_record(W.encoders / kind).label for kind in ("wavlm", "text")}}


def _wavlm(params: Params, folder: Path) -> EncoderRecord:
    if params.wavlm.model != TINY:
        return _record(params.wavlm.model, "wavlm")
    from omniges.features.tiny import build_wavlm

    build_wavlm(folder, layers=params.encoders.wavlm_layers, seed=params.encoders.seed)
    return EncoderRecord(model=TINY, source="tiny", revision=None, sha256=fingerprint(folder), untrained=True)


def _text(params: Params, folder: Path) -> EncoderRecord:
    if params.text.model != TINY:
        return _record(params.text.model, "text")
    from omniges.features.tiny import build_text_encoder

    build_text_encoder(folder, layers=params.encoders.text_layers, seed=params.encoders.seed)
    return EncoderRecord(model=TINY, source="tiny", revision=None, sha256=fingerprint(folder), untrained=True)


def _record(model: str, section: str) -> EncoderRecord:
    folder, revision = locate(model, section)
    config = folder / "config.json"
    untrained = config.is_file() and bool(read_json(config).get(UNTRAINED_KEY, False))
    return EncoderRecord(
        model=model,
        source="folder" if revision is None else "hub",
        revision=revision,
        sha256=fingerprint(folder),
        untrained=untrained,
    )
