"""The training loop: steps, validation, states, and what happens when something goes wrong."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from omniges.config import TrainParams
from omniges.data.windows import Batch
from omniges.errors import TrainingError
from omniges.log import progress as progress_bar
from omniges.model.a2g import A2G
from omniges.model.losses import Losses
from omniges.training import checks, state
from omniges.training.clipping import clip_and_step
from omniges.training.compiling import compile_blocks
from omniges.training.draws import draw, seed_of
from omniges.training.ema import EMA
from omniges.training.memory import keep_freed_memory
from omniges.training.order import Order
from omniges.training.schedule import learning_rate, total_steps
from omniges.training.state import Progress, as_metrics
from omniges.training.step import draws_shape, training_losses

logger = logging.getLogger(__name__)
Log = Callable[[dict[str, float], int], None]


@dataclass(frozen=True, kw_only=True)
class Data:
    """The two splits that training may look at."""

    train: Dataset
    val: Dataset
    collate: Callable[[list], Batch]


class Trainer:
    """One run of training.

    Args:
        model: fresh; identical in all processes.
        data: windows of train and val.
        train: all knobs.
        accelerator: devices, precision, processes.
        folder: where the state is kept between steps.
        key: hash of everything that decides the run.
        log: receives (metrics, step) in the main process.
    """

    def __init__(
        self,
        model: A2G,
        data: Data,
        train: TrainParams,
        *,
        accelerator: Accelerator,
        folder: Path,
        key: str,
        log: Log,
    ) -> None:
        self.train, self.data, self.accelerator, self.folder, self.log = train, data, accelerator, folder, log
        self.debug = os.environ.get("OMNIGES_DEBUG", "") not in ("", "0")
        if accelerator.device.type == "cpu":
            keep_freed_memory()
        n_windows = len(data.train)  # type: ignore[arg-type]
        self.total_steps = total_steps(train, n_windows, accelerator.num_processes)
        self.order = Order(
            seed=train.seed,
            n_windows=n_windows,
            batch=train.batch_per_process,
            accumulate=train.accumulate,
            processes=accelerator.num_processes,
            rank=accelerator.process_index,
        )
        optimizer = torch.optim.AdamW(
            parameter_groups(model, train.weight_decay), lr=train.lr, betas=(0.9, 0.99), fused=True
        )
        if train.compile and self.debug:
            logger.warning("OMNIGES_DEBUG looks into the model's blocks: train.compile is left out.")
        elif train.compile:
            compile_blocks(model)
        self.wrapped, self.optimizer = accelerator.prepare(model, optimizer)
        self.model = cast(A2G, accelerator.unwrap_model(self.wrapped))
        if self.debug:
            checks.watch(self.model)
        self.ema = EMA(self.wrapped, train.ema_decay)
        self.progress = Progress(key=key)
        self.best: dict[str, Tensor] = {}

    def resume(self) -> bool:
        """Go on from the state on disk if it belongs to this very run; True if it does."""
        found = state.read_progress(self.folder)
        if found is None:
            return False
        if found.key != self.progress.key:
            logger.warning(
                "%s belongs to another run (parameters, data or model changed): starting afresh.", self.folder
            )
            return False
        self.best = state.load(self.folder, self.accelerator, self.ema)
        self.progress = found
        logger.info("resumed at step %d of %d", found.step, self.total_steps)
        return True

    def run(self) -> dict[str, Tensor]:
        """Train to the end.

        Returns:
            the averaged weights with the lowest loss on val, on the CPU; complete in the main process.
            A corpus without val (`data.required_splits` allows it) keeps the last ones.

        Raises:
            TrainingError: a loss isn't finite; the state before that step is on disk.
        """
        first, started = self.progress.step, time.monotonic()
        passes = self.passes(first)
        description = f"train, {self.total_steps} steps"
        for step in progress_bar(range(first, self.total_steps), description, self.total_steps - first):
            metrics = self.step(step, passes)
            self.progress.step = step + 1
            last = step + 1 == self.total_steps
            if (step + 1) % self.train.validate_every == 0 or last:
                metrics |= self.validate(step + 1)
            if (step + 1) % self.train.log_every == 0 or "val/total" in metrics:
                metrics["train/seconds"] = time.monotonic() - started
                self._record(metrics, step + 1)
            if (step + 1) % self.train.checkpoint_every == 0 or last:
                self.save()
        return self.best

    def step(self, step: int, passes: Iterator[Batch]) -> dict[str, float]:
        """One optimizer step: accumulated passes, clipping, update, average."""
        self.wrapped.train()
        rate = learning_rate(step, self.train, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        for micro in range(self.train.accumulate):
            found, total = self._one_pass(step, micro, next(passes))
            for name, value in {**found.items(), "total": total}.items():
                sums[name] = sums.get(name, 0) + value.detach() / self.train.accumulate
        norm = clip_and_step(
            self.accelerator, self.optimizer, self.wrapped.parameters(), self.train.clip_norm
        )
        self.ema.update(self.wrapped, step)
        if (step + 1) % self.train.log_every and (step + 1) % self.train.validate_every:
            return {}
        averaged = self.accelerator.reduce(sums, reduction="mean")
        return as_metrics(
            {f"train/{name}": value for name, value in averaged.items()}
            | {"train/lr": rate, "train/grad_norm": norm}
        )

    def validate(self, step: int) -> dict[str, float]:
        """Losses of the averaged weights on fixed windows of val, with fixed noise; keeps the best
        weights, or the newest where there is no val to choose by.
        """
        # Validation is too small a share of the work to compile for.
        eager = torch.compiler.set_stance("force_eager") if self.train.compile else contextlib.nullcontext()
        with self.ema.swapped(self.wrapped), eager:
            found = as_metrics({f"val/{k}": v for k, v in self._val_losses().items()})
            loss = found.get("val/total")
            best = self.progress.best_loss
            if loss is None or best is None or loss < best:
                self.progress.best_loss, self.progress.best_step = loss, step
                self.best = {
                    name: tensor.detach().cpu().clone()
                    for name, tensor in self.accelerator.get_state_dict(self.wrapped).items()
                }
        return found

    def save(self) -> None:
        """Write the state to disk."""
        state.save(self.folder, self.accelerator, self.ema, self.best, self.progress)

    def _one_pass(self, step: int, micro: int, batch: Batch) -> tuple[Losses, Tensor]:
        places = self.order.places(micro)
        # Dropout inside the model follows the step too, so that a resumed run repeats it.
        torch.manual_seed(seed_of(self.train.seed, "model", step, micro, self.accelerator.process_index))
        draws = draw(
            self.train,
            [("step", step, place) for place in places],
            *draws_shape(self.model, self.train.window_frames),
        )
        device = self.accelerator.device
        batch = batch.to(device)
        if self.debug:
            checks.check_batch(batch, self.model.config, self.train.window_frames)
            checks.check_draws(draws, self.model.config, len(batch.clip), self.train.window_frames)
        last = micro + 1 == self.train.accumulate
        anomaly = torch.autograd.detect_anomaly() if self.debug else contextlib.nullcontext()
        with contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped), anomaly:
            with self.accelerator.autocast():
                found = training_losses(self.wrapped, self.model, batch, draws.to(device))
            total = found.total(self.train.loss)
            self._stop_unless_finite(total, found, step, batch.clip)
            self.accelerator.backward(total / self.train.accumulate)
        return found, total

    def _stop_unless_finite(self, total: Tensor, found: Losses, step: int, clips: list[str]) -> None:
        bad = (~torch.isfinite(total.detach())).float()
        if self.accelerator.reduce(bad, reduction="sum").item() == 0:
            return
        self.save()
        values = ", ".join(f"{name} {value.item():.4g}" for name, value in found.items().items())
        raise TrainingError(
            f"train: loss isn't finite at step {step} ({values}). Clips of this process's batch: "
            f"{', '.join(sorted(set(clips)))}. The state before this step is in {self.folder}. "
            "Look at these clips' features, lower train.lr, or add the clips to data.exclude in params.yaml."
        )

    @torch.no_grad()
    def _val_losses(self) -> dict[str, Tensor]:
        """Means over up to `validate_windows` windows, evenly spread; every process computes the same.
        Empty without val.
        """
        self.wrapped.eval()
        n = len(self.data.val)  # type: ignore[arg-type]
        count = min(n, self.train.validate_windows)
        chosen = [i * n // count for i in range(count)]
        sums: dict[str, Tensor] = {}
        for start in range(0, count, self.train.batch_per_process):
            part = chosen[start : start + self.train.batch_per_process]
            batch = self.data.collate([self.data.val[i] for i in part]).to(self.accelerator.device)
            where = [("validation", start + i) for i in range(len(part))]
            draws = draw(self.train, where, *draws_shape(self.model, self.train.window_frames)).to(
                self.accelerator.device
            )
            with self.accelerator.autocast():
                found = training_losses(self.wrapped, self.model, batch, draws)
            for name, value in {**found.items(), "total": found.total(self.train.loss)}.items():
                sums[name] = sums.get(name, 0) + value * len(part) / count
        return sums

    def passes(self, first_step: int) -> Iterator[Batch]:
        loader = DataLoader(
            self.data.train,
            batch_sampler=cast(
                "torch.utils.data.Sampler[list[int]]", _Batches(self.order, first_step, self.total_steps)
            ),
            collate_fn=self.data.collate,
            num_workers=self.train.workers,
            pin_memory=self.accelerator.device.type == "cuda",
        )
        return iter(loader)

    def _record(self, metrics: dict[str, float], step: int) -> None:
        if not self.accelerator.is_main_process:
            return
        self.progress.curve.append({"step": step, **metrics})
        logger.debug("step %d: %s", step, {k: round(v, 4) for k, v in metrics.items()})
        self.log(metrics, step)


class _Batches:
    """The order's batches from one step on, as a batch sampler."""

    def __init__(self, order: Order, first_step: int, last_step: int) -> None:
        self.order, self.first_step, self.last_step = order, first_step, last_step

    def __iter__(self) -> Iterator[list[int]]:
        return self.order.batches(self.first_step, self.last_step)

    def __len__(self) -> int:
        return (self.last_step - self.first_step) * self.order.accumulate


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices decay; gains, biases, embeddings of positions and other vectors don't."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
