"""How a report was made: commit, parameters, hashes, encoders, machine."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omniges import checkpoint
from omniges.config import Params
from omniges.evaluation.evaluation import Evaluation
from omniges.files import read_json, sha256_file
from omniges.motion.layout import PART_NAMES
from omniges.tracking import RUN_FILE
from omniges.workspace import Workspace

PACKAGES = ("omniges", "numpy", "scipy", "torch", "librosa", "transformers")


def made_by(params: Params, W: Workspace, result: Evaluation) -> dict[str, Any]:
    """Everything a person needs to make the report again, or to distrust it."""
    return {
        "data": params.data.name,
        "data_sha256": _file_hash(W.ingest / "clips.parquet"),
        "commit": commit(),
        "params_sha256": hashlib.sha256(json.dumps(params.model_dump(), sort_keys=True).encode()).hexdigest(),
        "model_sha256": _folder_hash(W.a2g),
        **_latent_flow(params, W),
        "tokenizers_sha256": {part: _folder_hash(W.tokenizer(part)) for part in PART_NAMES},
        "clean_up": ", ".join(params.evaluate.clean) or "none",
        "embedder": result.encoder,
        "scorer_sha256": result.scorer_hash,
        "audio_encoder": encoder_label(params.wavlm.model, "WavLM"),
        "text_encoder": encoder_label(params.text.model, "text encoder"),
        "train_run": train_run(W),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "packages": package_versions(),
    }


def _latent_flow(params: Params, W: Workspace) -> dict[str, Any]:
    """Which checkpoint that baseline is, and how it was sampled; nothing where it is switched off."""
    if not params.baselines.latent_flow.train:
        return {}
    notes = read_json(W.latent_flow.generated / "generation.json")
    return {"latent_flow_sha256": notes["checkpoint"], "latent_flow_sampling": notes["sampling"]}


def encoder_label(model: str, kind: str) -> str:
    """Says plainly where a frozen encoder was never trained."""
    return (
        f"{kind}: tiny, UNTRAINED (made locally for runs without downloads)"
        if model == "tiny"
        else f"{kind}: {model}"
    )


def commit() -> str:
    """The checkout's commit, with a mark for changes on top; "unknown" outside a checkout."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return run.stdout.strip() or "unknown"


def train_run(W: Workspace) -> str | None:
    """Id of the MLflow run that trained the model."""
    path = W.a2g / RUN_FILE
    return read_json(path).get("run") if path.is_file() else None


def machine() -> str:
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {device}"
    return f"{system}, Python {platform.python_version()}"


def package_versions() -> dict[str, str | None]:
    """Versions of what the figures depend on."""
    return {name: _version(name) for name in PACKAGES}


def _file_hash(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _folder_hash(path: Path) -> str | None:
    return checkpoint.digest(path) if path.is_dir() else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
