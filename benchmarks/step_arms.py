"""The arms of `step.py`: models that work in the project's way or in the peer's, each with a batch of random
features.
"""

import contextlib
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from omniges.config import Params
from omniges.data.windows import Batch
from omniges.model.a2g import A2G, Conditions
from omniges.model.config import DataSizes, ModelConfig
from omniges.model.hyper_connections import HyperConnection
from omniges.model.mmdit import Stream
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.timing import SAMPLE_RATE
from omniges.training.clipping import clipped_step
from omniges.training.compiling import compile_blocks
from omniges.training.draws import draw
from omniges.training.step import draws_shape, training_losses

ARMS = (
    "fp32",
    "bf16",
    "fp32, no text",
    "bf16, no text",
    "fp32, compiled, no text",
    "bf16, compiled, no text",
    "fp32, 1 stream",
    "bf16, 1 stream",
    "with both",
    "peer",
)
WORDS_A_SECOND = 2.5


class PerFrame(A2G):
    """One token a frame in every stream; four of the gesture's make a code."""

    def __init__(self, config: ModelConfig, *rest: object) -> None:
        super().__init__(config, *rest)  # type: ignore[arg-type]
        self.frame_audio_in = nn.Linear(config.sizes.fusion_width, config.sizes.audio_width)
        self.frame_in = nn.Linear(GESTURE_WIDTH, config.sizes.gesture_width)

    def states(  # type: ignore[override]
        self, x_t: Tensor, t: Tensor, given: Tensor, conditions: Conditions
    ) -> Tensor:
        time_s = self._frame_time_s(conditions.frames.shape[1], x_t.device).expand(len(t), -1)
        each = torch.where(given, 1.0, t[:, None]).repeat_interleave(FRAMES_PER_CODE, 1)
        shared = self.flow_time(t[:, None]) + conditions.speaker[:, None]
        own = self.flow_time(each) + conditions.speaker[:, None]
        gesture = self.frame_in(x_t.unflatten(2, (FRAMES_PER_CODE, -1)).flatten(1, 2))
        audio = self.frame_audio_in(conditions.audio)
        tokens = {"text": (conditions.text, shared), "audio": (audio, shared), "gesture": (gesture, own)}
        streams = {
            name: Stream(tokens=x, time_s=time_s, condition=condition, mask=None)
            for name, (x, condition) in tokens.items()
        }
        return self.transformer(streams).unflatten(1, (-1, FRAMES_PER_CODE)).mean(2)


def full_size_model(params: Params, kind: type[A2G] = A2G) -> A2G:
    sizes = DataSizes(
        wavlm_width=768,
        mfcc_width=params.mfcc.n_mfcc,
        text_width=1024,
        parts=4,
        quantizers=params.tokenizers.quantizers,
        codes=params.tokenizers.codes,
        code_dim=params.tokenizers.code_dim,
        fps=float(params.data.fps),
        speakers=(1, 2),
    )
    widths = {"mfcc": sizes.mfcc_width, "wavlm": 768, "side": SIDE_WIDTH}
    values = {f"{n}_mean": torch.zeros(w) for n, w in widths.items()}
    values |= {f"{n}_std": torch.ones(w) for n, w in widths.items()}
    codebooks = torch.randn(4, sizes.quantizers, sizes.codes, sizes.code_dim)
    return kind(ModelConfig(sizes=params.model, data=sizes), values, codebooks, torch.ones(4))


def with_sizes(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"model": params.model.model_copy(update=changes)})


def model_of(params: Params, arm: str, like: A2G | None = None) -> A2G:
    """The arm's model; it takes over what it can of another one's weights, which saves memory."""
    if arm.endswith("1 stream"):
        params = with_sizes(params, residual_streams=1)
    elif arm.endswith("no text"):
        params = with_sizes(params, text_width=0)
    kind = PerFrame if arm == "peer" else A2G
    if like is not None and kind is A2G and not arm.endswith(("1 stream", "no text")):
        return like
    model = full_size_model(params, kind)
    for name, parameter in like.named_parameters() if like is not None else ():
        where, _, leaf = name.rpartition(".")
        with contextlib.suppress(AttributeError):
            owner = model.get_submodule(where)
            if hasattr(owner, leaf):
                setattr(owner, leaf, parameter)
    return model


def random_batch(params: Params, words: int) -> Batch:
    size, frames = params.train.batch_per_process, params.train.window_frames
    tokenizers, n_tokens = params.tokenizers, frames // FRAMES_PER_CODE
    starts = torch.rand(size, words, 1) * frames / params.data.fps
    return Batch(
        gesture=torch.randn(size, frames, GESTURE_WIDTH),
        side=torch.randn(size, frames, SIDE_WIDTH),
        codes=torch.randint(0, tokenizers.codes, (size, n_tokens, 4, tokenizers.quantizers)),
        wavlm=torch.randn(size, frames, 768),
        mfcc=torch.randn(size, frames, params.mfcc.n_mfcc),
        text=torch.randn(size, words, 1024),
        text_mask=torch.ones(size, words, dtype=torch.bool),
        text_span_s=torch.cat([starts, starts + 0.2], -1),
        speaker=torch.zeros(size, dtype=torch.int64),
        clip=["x"] * size,
        start_frame=torch.zeros(size, dtype=torch.int64),
    )


class Step:
    """One arm: a model, its optimizer and a batch.

    Args:
        params: sizes.
        arm: one of `ARMS`.
        like: a model whose weights this one shares.
    """

    def __init__(self, params: Params, arm: str, like: A2G | None = None) -> None:
        self.params, self.arm = params, arm
        self.model = model_of(params, arm, like).train()
        if "compiled" in arm:
            compile_blocks(self.model)
        size, frames = params.train.batch_per_process, params.train.window_frames
        self.draws = draw(params.train, [("bench", i) for i in range(size)], *draws_shape(self.model, frames))
        old_way = arm in ("with both", "peer")
        words = frames if old_way else max(1, round(WORDS_A_SECOND * frames / params.data.fps))
        self.batch = random_batch(params, words)
        self.listen: Callable[[], object] = lambda: None
        if old_way:
            self.batch.text.zero_()
            self.draws.keep_text[:] = True
            self.listen = wavlm_over(size, frames / params.data.fps)

    def forward(self) -> Tensor:
        bf16 = self.arm.startswith("bf16")
        with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            found = training_losses(self.model, self.model, self.batch, self.draws)
        return found.total(self.params.train.loss)

    def run(self, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """CPU seconds of each part."""
        spent, self._start = {}, time.process_time()

        def note(name: str) -> None:
            now = time.process_time()
            spent[name], self._start = now - self._start, now

        self.listen()
        note("WavLM")
        optimizer.zero_grad()
        loss = self.forward()
        note("forward")
        loss.backward()
        note("backward")
        clipped_step(optimizer, self.model.parameters(), self.params.train.clip_norm)
        note("clip and AdamW")
        return spent

    def blocks(self) -> dict[str, float]:
        """CPU seconds of the forward pass by block."""
        self.forward()
        timer, start = BlockTimer(), time.process_time()
        model = self.model
        for name in ("fusion", "code_head"):
            timer.watch(name, model.get_submodule(name))
        timer.watch("transformer", model.transformer)
        for module in model.transformer.modules():
            if isinstance(module, nn.Linear):
                timer.watch("projections and feed-forward", module)
            elif isinstance(module, HyperConnection):
                timer.watch_method("residual streams", module, "read")
                timer.watch_method("residual streams", module, "write")
        self.forward()
        whole = time.process_time() - start
        timer.remove()
        spent = timer.spent
        inside = spent["projections and feed-forward"] + spent.get("residual streams", 0.0)
        return {
            "fusion": spent["fusion"],
            "projections and feed-forward": spent["projections and feed-forward"],
            "residual streams": spent.get("residual streams", 0.0),
            "attention, norms, modulation": spent["transformer"] - inside,
            "code head": spent["code_head"],
            "inputs, losses": whole - spent["fusion"] - spent["transformer"] - spent["code_head"],
        }

    def gflop(self) -> float:
        """GFLOP of forward and backward."""
        # Compiled products are not counted, so they run as written.
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            self.forward().backward()
        return counter.get_total_flops() / 1e9


class BlockTimer:
    """CPU seconds that modules and methods take."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._undo: list[Callable[[], object]] = []

    def watch(self, name: str, module: nn.Module) -> None:
        def before(*_: object) -> None:
            self._add(name, -time.process_time())

        def after(*_: object) -> None:
            self._add(name, time.process_time())

        self._undo.append(module.register_forward_pre_hook(before).remove)
        self._undo.append(module.register_forward_hook(after).remove)

    def watch_method(self, name: str, owner: nn.Module, method: str) -> None:
        plain = getattr(owner, method)

        def timed(*given: object) -> object:
            self._add(name, -time.process_time())
            found = plain(*given)
            self._add(name, time.process_time())
            return found

        setattr(owner, method, timed)
        self._undo.append(lambda: delattr(owner, method))

    def remove(self) -> None:
        for undo in self._undo:
            undo()

    def _add(self, name: str, seconds: float) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + seconds


def wavlm_over(size: int, seconds: float) -> Callable[[], object]:
    from transformers import WavLMConfig, WavLMModel

    wavlm, wave = WavLMModel(WavLMConfig()).eval(), torch.randn(size, round(seconds * SAMPLE_RATE))

    def listen() -> None:
        with torch.no_grad():
            wavlm(wave)

    return listen
