"""The training state on disk: everything that a killed run needs to go on as if nothing had happened.

Written as a folder beside the final checkpoint, swapped into place as a whole, so that a kill at any moment
leaves either the
older state or the newer one. There is no sampler or generator state: what a step sees is a function of
(seed, step).
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from omniges.errors import CheckpointError
from omniges.files import read_json, write_json
from omniges.training.ema import EMA


@dataclass
class Progress:
    """Where a run stands."""

    key: str  # hash of everything that decides the run; another key starts afresh
    step: int = 0  # optimizer steps done
    best_loss: float | None = None  # on val, of the averaged weights
    best_step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)  # what was logged, one entry a logged step


def save(
    folder: Path, accelerator: Accelerator, ema: EMA, best: dict[str, torch.Tensor], progress: Progress
) -> None:
    """Write the state; every process calls this, the main one swaps the folders.

    Args:
        folder: where the newest state lives.
        accelerator: holds model and optimizer, whatever way they are distributed.
        ema: averaged weights; each process saves its own shard.
        best: state_dict of the best averaged weights so far; empty before the first validation.
        progress: the rest.
    """
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    if accelerator.is_main_process:
        _remove(fresh)
        fresh.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(fresh))
    save_file(ema.state(), fresh / f"ema_{accelerator.process_index}.safetensors")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if best:
            save_file(best, fresh / "best.safetensors")
        write_json(fresh / "progress.json", asdict(progress))
        _remove(old)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        _remove(old)
    accelerator.wait_for_everyone()


def read_progress(folder: Path) -> Progress | None:
    """The newest whole state's progress, or None where there is none."""
    _repair(folder)
    if not (folder / "progress.json").is_file():
        return None
    return Progress(**read_json(folder / "progress.json"))


def load(folder: Path, accelerator: Accelerator, ema: EMA) -> dict[str, torch.Tensor]:
    """Put a saved state back; returns the best averaged weights so far.

    Raises:
        CheckpointError: the state was written by another number of processes.
    """
    own = folder / f"ema_{accelerator.process_index}.safetensors"
    if len(list(folder.glob("ema_*.safetensors"))) != accelerator.num_processes:
        raise CheckpointError(
            f"{folder}: written by another number of processes than {accelerator.num_processes}. "
            "Resume with the same number, or remove the folder to start afresh."
        )
    accelerator.load_state(str(folder))
    ema.load(load_file(own, device=str(accelerator.device)))
    best = folder / "best.safetensors"
    return load_file(best) if best.is_file() else {}


def _repair(folder: Path) -> None:
    # Killed between the two renames: the older state is whole, under its temporary name.
    old = folder.with_name(folder.name + ".old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def _remove(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def as_metrics(values: dict[str, Any]) -> dict[str, float]:
    """Tensors and numbers to plain floats, which trackers and JSON take."""
    return {name: float(value) for name, value in values.items()}
