"""A checkpoint is a folder: weights, config, the train split's statistics, and what made it.

model.safetensors  statistics.safetensors  config.json  provenance.json
"""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from omniges.errors import CheckpointError
from omniges.files import atomic_folder, read_json, sha256_file, write_json

WEIGHTS, STATISTICS, CONFIG, PROVENANCE = (
    "model.safetensors",
    "statistics.safetensors",
    "config.json",
    "provenance.json",
)

FILES = (WEIGHTS, STATISTICS, CONFIG, PROVENANCE)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint folder holds, in memory."""

    tensors: dict[str, Tensor]  # a module's state_dict
    config: dict[str, Any]  # enough to build the module
    statistics: dict[str, Tensor]  # normalisation, from the train split only
    provenance: dict[str, Any]  # hashes of what made it


def save(
    folder: Path,
    *,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    statistics: Mapping[str, Tensor],
    provenance: Mapping[str, Any],
) -> None:
    """Write a checkpoint folder as a whole or not at all; an older one in its place is replaced.

    Args:
        folder: the checkpoint's folder.
        tensors: a `state_dict`, any shapes; copied to CPU.
        config: JSON values from which the module can be built.
        statistics: named tensors that normalise the module's inputs and outputs.
        provenance: JSON values: hashes of the data, parameters and checkpoints that made this one.
    """
    with atomic_folder(Path(folder)) as temporary:
        save_file(_portable(tensors), temporary / WEIGHTS)
        save_file(_portable(statistics), temporary / STATISTICS)
        write_json(temporary / CONFIG, dict(config))
        write_json(temporary / PROVENANCE, dict(provenance))


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint folder onto the CPU.

    Raises:
        CheckpointError: the folder or one of its files is missing or damaged.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: got no {', '.join(missing)}; wanted a checkpoint folder. "
            "Run the stage that makes it, or `dvc pull` it."
        )
    try:
        return Checkpoint(
            tensors=load_file(folder / WEIGHTS),
            statistics=load_file(folder / STATISTICS),
            config=read_json(folder / CONFIG),
            provenance=read_json(folder / PROVENANCE),
        )
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{folder}: damaged checkpoint: {error}. Make or pull it again.") from error


def digest(folder: Path) -> str:
    """Hash of a checkpoint's four files, for reports and for the provenance of what is built on it.

    Other files in the folder (a run's id, a loss curve) don't count: they say nothing about what the
    checkpoint computes.

    Raises:
        CheckpointError: one of them is missing.
    """
    if not Path(folder).is_dir():
        raise CheckpointError(
            f"{folder}: no such checkpoint folder. Run the stage that makes it, or `dvc pull` it."
        )
    files = [f"{name} {sha256_file(Path(folder) / name)}" for name in FILES]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


def load_foreign(path: Path) -> Any:
    """Read somebody else's `.pth` or `.bin` without running any code that it may hold.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors and plain containers.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: can't be read as a file of tensors: {error}. "
            "Download it again; files that need `weights_only=False` are refused, because they can run code."
        ) from error


def load_state(module: torch.nn.Module, tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Load a state_dict whose keys and shapes must be exactly the module's.

    Raises:
        CheckpointError: naming missing, unexpected and differently shaped entries.
    """
    own = module.state_dict()
    faults = [f"missing {key}" for key in own if key not in tensors]
    faults += [f"unexpected {key}" for key in tensors if key not in own]
    faults += [
        f"{key}: got {tuple(tensors[key].shape)}, wanted {tuple(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    if faults:
        shown = "\n  ".join(faults[:12]) + ("" if len(faults) <= 12 else f"\n  ... {len(faults) - 12} more")
        raise CheckpointError(f"{where}: doesn't fit {type(module).__name__}:\n  {shown}")
    module.load_state_dict(dict(tensors))


def _portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Clones, because safetensors refuses tensors that share memory.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
