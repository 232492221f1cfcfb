"""Checkpoint folders of single parts."""

from pathlib import Path
from typing import Any

import torch

from omniges.checkpoint import Checkpoint, load, load_state, save
from omniges.errors import CheckpointError
from omniges.motion.layout import PARTS
from omniges.tokenizers.rvqvae import RVQVAE, RVQVAEConfig
from omniges.tokenizers.statistics import Statistics


def save_part(
    folder: Path,
    part: str,
    model: RVQVAE,
    statistics: Statistics,
    fps: float | None,
    provenance: dict[str, Any],
) -> None:
    """Write one part's checkpoint folder; `fps` None is a published file, which doesn't say its rate."""
    save(
        folder,
        tensors=model.state_dict(),
        config={"kind": "rvqvae", "part": part, "fps": fps, "rvqvae": model.config.to_dict()},
        statistics={"mean": torch.from_numpy(statistics.mean), "std": torch.from_numpy(statistics.std)},
        provenance=provenance,
    )


def read_part(folder: Path, part: str) -> tuple[RVQVAE, Checkpoint]:
    """One part's tokenizer from its checkpoint folder.

    Raises:
        CheckpointError: missing, damaged, or another part's.
    """
    checkpoint = load(folder)
    if checkpoint.config.get("kind") != "rvqvae" or checkpoint.config.get("part") != part:
        raise CheckpointError(
            f"{folder}: got a checkpoint of kind {checkpoint.config.get('kind')!r} and part "
            f"{checkpoint.config.get('part')!r}, wanted the rvqvae of {part}."
        )
    model = RVQVAE(RVQVAEConfig.from_dict(checkpoint.config["rvqvae"]))
    load_state(model, checkpoint.tensors, folder)
    width = PARTS[part].width
    shapes = {
        name: tuple(tensor.shape) for name, tensor in checkpoint.statistics.items() if name in ("mean", "std")
    }
    if shapes != {"mean": (width,), "std": (width,)}:
        raise CheckpointError(f"{folder}: got statistics {shapes}, wanted mean and std of ({width},).")
    return model.eval(), checkpoint
