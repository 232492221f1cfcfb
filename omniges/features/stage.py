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


def wavlm_encoder(params: Params, W: Workspace) -> None:
    """Write `W.encoders/wavlm`: a tiny network and its record, or the record of the model named.

    Raises:
        CheckpointError: the named model can't be had.
    """
    with atomic_folder(W.encoders / "wavlm") as folder:
        if params.wavlm.model == TINY:
            from omniges.features.tiny import build_wavlm

            build_wavlm(folder, layers=params.encoders.wavlm_layers, seed=params.encoders.seed)
            write_record(folder, _tiny_record(folder))
        else:
            write_record(folder, _record(params.wavlm.model, "wavlm"))
    logger.info("WavLM: %s", read_record(W.encoders / "wavlm").label)


def text_encoder(params: Params, W: Workspace) -> None:
    """Write `W.encoders/text`; see `wavlm_encoder`."""
    with atomic_folder(W.encoders / "text") as folder:
        if params.text.model == TINY:
            from omniges.features.tiny import build_text_encoder

            build_text_encoder(folder, layers=params.encoders.text_layers, seed=params.encoders.seed)
            write_record(folder, _tiny_record(folder))
        else:
            write_record(folder, _record(params.text.model, "text"))
    logger.info("text encoder: %s", read_record(W.encoders / "text").label)


def encoders(params: Params, W: Workspace) -> None:
    """Both encoders.

    Raises:
        CheckpointError: a named model can't be had.
    """
    wavlm_encoder(params, W)
    text_encoder(params, W)


def encoder_labels(params: Params, W: Workspace) -> dict[str, str]:
    """What reports call each feature's origin; untrained networks say so. Needs no heavy import.

    Raises:
        CheckpointError: the stage `encoders` has not been run.
    """
    mfcc = f"{params.mfcc.n_mfcc} MFCC of {params.mfcc.n_mels} mel bands, no network"
    return {"mfcc": mfcc, **{kind: read_record(W.encoders / kind).label for kind in ("wavlm", "text")}}


def _tiny_record(folder: Path) -> EncoderRecord:
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
