"""Training of one part's tokenizer: the published recipe, made fast, resumable and safe on several ranks.

Every random draw is a function of (seed, step, rank): a resumed training ends where an unbroken one would.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch import distributed as dist

from omniges.checkpoint import load_foreign
from omniges.config import TokenizersParams
from omniges.errors import ConfigError, TrainingError
from omniges.files import atomic_path
from omniges.log import progress
from omniges.tokenizers.codebook import Averages
from omniges.tokenizers.first_weights import carry_components
from omniges.tokenizers.losses import LossWeights, ReconstructionLoss
from omniges.tokenizers.rvqvae import RVQVAE
from omniges.tokenizers.statistics import Statistics
from omniges.tokenizers.windows import TrainFrames

CHECK_EVERY = 10
"""Steps between looks at the loss, each of which waits for the device."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Losses of one training step."""

    step: int
    values: dict[str, float]


class Trainer:
    """One part's training; `run` does all steps that are left."""

    def __init__(
        self, part: str, model: RVQVAE, data: TrainFrames, statistics: Statistics, params: TokenizersParams
    ) -> None:
        self.part, self.data, self.params = part, data, params
        self.device = device()
        self.model = model.to(self.device)
        if params.first_weights == "components" and not params.compatible:
            carry_components(self.model, data.frames)
        mean, std = (torch.from_numpy(values).to(self.device) for values in (statistics.mean, statistics.std))
        self.loss = ReconstructionLoss(part, loss_weights(params), mean, std)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=params.lr, betas=(0.9, 0.99), weight_decay=params.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=params.precision == "fp16")
        self.step = 0
        self.history: list[Point] = []
        self._recent: list[dict[str, Tensor]] = []  # losses of the steps since the last point
        if params.precision == "fp16" and self.device.type == "cpu":
            raise ConfigError("tokenizers.precision: fp16 needs a GPU; wanted fp32 or bf16 on this machine.")

    def run(self, state: Path | None = None, stop_after: int | None = None) -> None:
        """Train up to `params.steps`.

        Args:
            state: file that a stopped training resumes from and that a running one keeps up to date.
            stop_after: end early at this step, as an interruption would.
        """
        if state is not None and state.is_file():
            self.restore(state)
        self.model.train()
        last = min(self.params.steps, stop_after or self.params.steps)
        for step in progress(range(self.step, last), f"tokenizer {self.part}"):
            self._recent.append(self.train_step(step))
            self.step = step + 1
            if self.step % CHECK_EVERY == 0 or self.step == self.params.steps:
                self._note()
            if state is not None and self.step % self.params.checkpoint_every == 0 and self.step < last:
                self.save(state)
        if state is not None and self.step < self.params.steps:
            self.save(state)
        self.model.eval()

    def train_step(self, step: int) -> dict[str, Tensor]:
        """One optimizer step on the windows of that step; returns the loss terms, still on the device."""
        torch.manual_seed(self._seed(step, rank()))  # dropout
        shared = Generator().manual_seed(self._seed(step, -1))  # codebooks: equal on all ranks
        frames = self.data.batch(self.params.batch, self._seed(step, rank())).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.params.lr * lr_share(step, self.params)
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            output = self.model(frames, shared)
        terms = self.loss(output.reconstruction.float(), frames, output.commitment, phase=step)
        self.scaler.scale(terms["loss"]).backward()
        average_gradients(self.model.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {**{name: value.detach() for name, value in terms.items()}, "perplexity": output.perplexity}

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on (rank 0 only)."""
        if rank() != 0:
            return
        state = {
            "model": self.model.state_dict(),
            "averages": averages_of(self.model),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "history": [[point.step, point.values] for point in self.history],
            "recent": self._recent,
            "params": self.params.model_dump(),
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path) -> None:
        """Go on from `save`; a state of other parameters is refused."""
        state = load_foreign(path)
        if state["params"] != self.params.model_dump():
            raise TrainingError(
                f"{path}: a training with other parameters was stopped here. Delete the file to start anew, "
                "or set the parameters back to go on with it."
            )
        self.model.load_state_dict(state["model"])
        set_averages(self.model, state["averages"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        self.history = [Point(step=step, values=values) for step, values in state["history"]]
        self._recent = [{k: v.to(self.device) for k, v in terms.items()} for terms in state["recent"]]
        log.info("tokenizer %s: going on at step %d", self.part, self.step)

    def _note(self) -> None:
        """Make a point of the history from the steps since the last one."""
        recent, self._recent = self._recent, []
        losses = torch.stack([terms["loss"] for terms in recent])
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            step = self.step - len(recent) + int(bad[0])
            clips = self.data.clips_of(self.params.batch, self._seed(step, rank()))
            raise TrainingError(
                f"tokenizer {self.part}: the loss is {losses[bad[0]].item()} at step {step}; clips of that "
                f"batch: {', '.join(clips)}. Lower tokenizers.lr, or look into these clips' motion tables."
            )
        means = {name: float(torch.stack([terms[name] for terms in recent]).mean()) for name in recent[-1]}
        self.history.append(Point(step=self.step, values=means))

    def _precision(self) -> AbstractContextManager[Any]:
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.params.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=kinds[self.params.precision])

    def _seed(self, step: int, who: int) -> int:
        return ((self.params.seed * 1_000_003 + step) * 4099 + who + 1) % 2**62


def lr_share(step: int, params: TokenizersParams) -> float:
    """Share of the full learning rate: linear warm-up, then a factor `lr_gamma` at every milestone passed."""
    warm = min(1.0, (step + 1) / params.warmup_steps) if params.warmup_steps else 1.0
    return warm * params.lr_gamma ** sum(step >= milestone for milestone in params.lr_milestones)


def loss_weights(params: TokenizersParams) -> LossWeights:
    return LossWeights(
        commitment=params.commitment,
        velocity=params.velocity,
        acceleration=params.acceleration,
        geodesic=params.geodesic,
        joints=params.joints,
        path=params.path,
        contact=params.contact,
    )


def averages_of(model: RVQVAE) -> dict[str, Tensor]:
    """Moving averages of all codebooks, by name; empty before the first training batch."""
    found: dict[str, Tensor] = {}
    for i, layer in enumerate(model.quantizer.books()):
        if layer.averages is not None:
            found[f"{i}.total"], found[f"{i}.count"] = layer.averages.total, layer.averages.count
    return found


def set_averages(model: RVQVAE, found: dict[str, Tensor]) -> None:
    """Put back what `averages_of` gave."""
    for i, layer in enumerate(model.quantizer.books()):
        if f"{i}.count" in found:
            total, count = (found[f"{i}.{name}"].to(layer.codebook.device) for name in ("total", "count"))
            layer.averages = Averages(total.clone(), count.clone())


def average_gradients(parameters: Iterator[torch.nn.Parameter]) -> None:
    """Mean gradient over ranks; a parameter that this rank's step left out counts as zero."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def device() -> torch.device:
    """The GPU that this process may use, or the CPU."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )
