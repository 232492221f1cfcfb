"""The stage `train`: from the pack to a checkpoint of the audio-to-gesture model.

One process: `omniges stage train`. Several: `torchrun --nproc_per_node 8 -m omniges stage train`, or
`accelerate launch` with a file of workflow/launch.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from omniges import checkpoint, tracking
from omniges.config import Params
from omniges.errors import ConfigError
from omniges.files import sha256_file, write_json
from omniges.model.a2g import A2G
from omniges.motion.layout import PART_NAMES
from omniges.training.cards import write_cards
from omniges.training.compiling import check_compiling
from omniges.training.inputs import Inputs, load_inputs
from omniges.training.loop import Trainer
from omniges.training.state import Progress
from omniges.workspace import Workspace

logger = logging.getLogger(__name__)


def run(params: Params, workspace: Workspace, *, dry_run: bool = False) -> None:
    """Train, or go on training, and write the checkpoint.

    Args:
        params: all parameters.
        workspace: where the pack is, and where the checkpoint goes; of the model or of the latent flow.
        dry_run: do one step and one validation on real data, print sizes, write nothing.
    """
    accelerator = make_accelerator(params)
    check_pieces(params, workspace)
    inputs = load_inputs(params, workspace)
    model = inputs.model(params.train.seed)
    describe(workspace.network, model, inputs, accelerator)
    provenance = provenance_of(params, workspace)
    trainer = Trainer(
        model,
        inputs.data,
        params.train,
        accelerator=accelerator,
        folder=state_folder(workspace),
        key=_key(provenance, accelerator.num_processes),
        log=lambda metrics, step: None,
    )
    if dry_run:
        _dry_run(trainer)
        return
    resumed = trainer.resume()
    if not accelerator.is_main_process:
        trainer.run()
    else:
        with _tracked(params, workspace, resumed=resumed) as run:
            trainer.log = run.log_metrics
            save(workspace.a2g, trainer.run(), inputs, provenance, trainer.progress)
            write_cards(params, workspace, sum(p.numel() for p in model.parameters()))
            write_json(workspace.a2g / tracking.RUN_FILE, {"run": run.id})
            if params.tracking.log_model:
                run.log_model(pieces_of(workspace))
            run.set_tags({"checkpoint": checkpoint.digest(workspace.a2g), "data": provenance["pack"]})
    accelerator.wait_for_everyone()
    accelerator.end_training()


def make_accelerator(params: Params) -> Accelerator:
    """The accelerator of the environment (torchrun, accelerate launch, or one process).

    Raises:
        ConfigError: fp16 without a GPU; the processes that were started do not find each other; or the model
            is to be compiled and can't be.
    """
    if params.train.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError(
            'train.precision: got fp16, which needs a CUDA GPU; use bf16 or "no" on this machine.'
        )
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    # Without being told, accelerate takes each process of torchrun for one alone where there is no GPU.
    on_cpu = wanted > 1 and not torch.cuda.is_available()
    accelerator = Accelerator(mixed_precision=params.train.precision, cpu=on_cpu)
    if accelerator.num_processes != wanted:
        raise ConfigError(
            f"train: {wanted} processes were started, but accelerate sees {accelerator.num_processes}. "
            "Start them by torchrun, or by accelerate launch with a file of workflow/launch."
        )
    if params.train.compile:
        check_compiling(accelerator)
    return accelerator


def state_folder(workspace: Workspace) -> Path:
    """Where a run under way keeps its state."""
    return workspace.unfinished / workspace.training / "state"


def run_record(workspace: Workspace) -> Path:
    """Where a run under way keeps its tracker's id."""
    return workspace.unfinished / workspace.training / "run.json"


def provenance_of(params: Params, workspace: Workspace) -> dict[str, Any]:
    """Hashes and parameters that decide what training computes."""
    return {
        "pack": sha256_file(workspace.pack / "index.json"),
        "tokenizers": {part: checkpoint.digest(workspace.tokenizer(part)) for part in PART_NAMES},
        "model": params.model.model_dump(),
        "train": params.train.model_dump(),
        "fps": params.data.fps,
        # how the features were made: whoever generates from a recording has to make them alike
        "features": {name: getattr(params, name).model_dump() for name in ("mfcc", "wavlm", "text")},
        "torch": torch.__version__,
    }


def pieces_of(workspace: Workspace) -> dict[str, Path]:
    """The folders that together make motion from sound; see `omniges.api`."""
    tokenizers = workspace.tokenizer(PART_NAMES[0]).parent
    return {"a2g": workspace.a2g, "encoders": workspace.encoders, "tokenizers": tokenizers}


def check_pieces(params: Params, workspace: Workspace) -> None:
    """Refuse, before the work rather than after it, what would keep the model from being logged.

    Raises:
        ConfigError: MLflow is to get the model, and the encoders that it hears with are not here.
    """
    if not params.tracking.log_model or "mlflow" not in params.tracking.trackers:
        return
    for name in ("wavlm", "text"):
        if not (workspace.encoders / name).is_dir():
            raise ConfigError(
                f"tracking.log_model: a logged model holds {workspace.encoders / name}, which is missing. "
                f"Fetch it (`dvc pull {name}_encoder`), or set tracking.log_model to false."
            )


def describe(name: str, model: A2G, inputs: Inputs, accelerator: Accelerator) -> None:
    """Say what is about to be trained."""
    if accelerator.is_main_process:
        logger.info(
            "%s: %.2f M parameters; %d train and %d val windows; %d process(es) on %s, precision %s",
            name,
            sum(p.numel() for p in model.parameters()) / 1e6,
            len(inputs.data.train),  # type: ignore[arg-type]
            len(inputs.data.val),  # type: ignore[arg-type]
            accelerator.num_processes,
            accelerator.device,
            accelerator.mixed_precision,
        )


def save(
    folder: Path, best: dict[str, Tensor], inputs: Inputs, provenance: dict[str, Any], progress: Progress
) -> None:
    """Write the checkpoint and the loss curve."""
    checkpoint.save(
        folder,
        tensors=best,
        config=inputs.config.to_json(),
        statistics={**inputs.statistics, "latent_std": inputs.latent_std},
        provenance={
            **provenance,
            "chosen_by": "last step, no val split" if progress.best_loss is None else "lowest val loss",
            "best_step": progress.best_step,
            "best_val_loss": progress.best_loss,
        },
    )
    write_json(folder / "curve.json", progress.curve)
    if progress.best_loss is None:
        logger.warning("no val split: the weights of the last step were kept: %s", folder)
    else:
        logger.info("best val loss %.4f at step %d: %s", progress.best_loss, progress.best_step, folder)


def _tracked(params: Params, workspace: Workspace, *, resumed: bool) -> tracking.Run:
    """The tracker's run; a resumed training goes on in the run that it began in."""
    record = run_record(workspace)
    run = tracking.start_run(params, workspace, workspace.training, resume_from=record if resumed else None)
    write_json(record, {"run": run.id})
    run.log_params(params.model_dump())
    return run


def _dry_run(trainer: Trainer) -> None:
    step = trainer.step(0, trainer.passes(0))
    found = trainer.validate(1)
    if trainer.accelerator.is_main_process:
        values = ", ".join(f"{name} {value:.4g}" for name, value in (step | found).items())
        logger.info("dry run: one step of %d and one validation pass; %s", trainer.total_steps, values)


def _key(provenance: dict[str, Any], processes: int) -> str:
    text = json.dumps({**provenance, "processes": processes}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
