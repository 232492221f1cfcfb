"""Shapes, kinds and ranges of what goes into a training step and comes out of the model's blocks: checked
with `OMNIGES_DEBUG=1`.

Broadcasting turns many a wrong shape into a number that looks right. These checks name the tensor instead.

Shapes: those of `omniges.model.a2g` and `omniges.data.windows`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from omniges.data.windows import Batch
from omniges.errors import ShapeError
from omniges.model.a2g import A2G
from omniges.model.config import ModelConfig
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.training.draws import Draws

KINDS: dict[str, Callable[[Tensor], bool]] = {
    "float": torch.is_floating_point,
    "int64": lambda x: x.dtype == torch.int64,
    "bool": lambda x: x.dtype == torch.bool,
}
"""What a tensor may hold."""


def check_batch(batch: Batch, config: ModelConfig, window_frames: int) -> None:
    """Compare a batch with the model's sizes.

    Raises:
        ShapeError: the first tensor that doesn't fit, what it is and what was wanted.
    """
    data, size, n_tokens = config.data, len(batch.clip), window_frames // FRAMES_PER_CODE
    words = batch.text.shape[1] if batch.text.ndim == 3 else -1
    frames = (size, window_frames)
    for name, kind, *shape in (
        ("gesture", "float", *frames, GESTURE_WIDTH),
        ("side", "float", *frames, SIDE_WIDTH),
        ("codes", "int64", size, n_tokens, data.parts, data.quantizers),
        ("wavlm", "float", *frames, data.wavlm_width),
        ("mfcc", "float", *frames, data.mfcc_width),
        ("text", "float", size, words, data.text_width),
        ("text_mask", "bool", size, words),
        ("text_span_s", "float", size, words, 2),
        ("speaker", "int64", size),
    ):
        _check("batch", name, getattr(batch, str(name)), str(kind), *shape)
    _check_range("batch", "codes", batch.codes, data.codes)
    _check_range("batch", "speaker", batch.speaker, len(data.speakers))


def check_draws(draws: Draws, config: ModelConfig, batch_size: int, window_frames: int) -> None:
    """The same for what chance decided."""
    tokens = (batch_size, window_frames // FRAMES_PER_CODE)
    for name, kind, *shape in (
        ("noise", "float", *tokens, config.token_width),
        ("t", "float", batch_size),
        ("given", "bool", *tokens),
        ("past_noise", "float", batch_size),
        ("keep_audio", "bool", batch_size),
        ("keep_text", "bool", batch_size),
        ("keep_speaker", "bool", batch_size),
    ):
        _check("draws", str(name), getattr(draws, str(name)), str(kind), *shape)
    if draws.blur is not None:
        _check("draws", "blur", draws.blur, "float", *tokens, config.token_width)


def watch(model: A2G) -> None:
    """Check what goes into and comes out of the model and its blocks, at every pass from now on."""
    sizes, data = model.config.sizes, model.config.data

    def fused(_: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        wavlm, mfcc, time_s, mask = given
        frames = time_s.shape
        _check("fusion, input", "wavlm", wavlm, "float", *frames, data.wavlm_width)
        _check("fusion, input", "mfcc", mfcc, "float", *frames, data.mfcc_width)
        _check("fusion, input", "mask", mask, "bool", *frames)
        _check("fusion, output", "audio", found, "float", *frames, sizes.fusion_width)

    def transformed(_: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        widths = {"text": sizes.text_width, "audio": sizes.audio_width, "gesture": sizes.gesture_width}
        for name, stream in given[0].items():
            size, length = stream.time_s.shape
            where = f"transformer, input, {name} stream"
            _check(where, "tokens", stream.tokens, "float", size, length, widths[name])
            if stream.mask is not None:
                _check(where, "mask", stream.mask, "bool", size, length)
        tokens = given[0]["gesture"].time_s.shape
        _check("transformer, output", "states", found, "float", *tokens, sizes.gesture_width)

    def coded(_: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        tokens = given[0].shape[:2]
        shape = (*tokens, data.parts, data.quantizers, data.codes)
        if found.log_probability is not None:
            _check("code head, output", "log_probability", found.log_probability, "float", *shape)
        _check("code head, output", "latent", found.latent, "float", *tokens, data.parts, data.code_dim)

    def answered(_: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        x_t, t, past = given[:3]
        size, n_tokens = past.shape
        _check("model, input", "x_t", x_t, "float", size, n_tokens, model.config.token_width)
        _check("model, input", "t", t, "float", size)
        side = (size, n_tokens * FRAMES_PER_CODE, SIDE_WIDTH)
        _check("model, output", "side", found.side, "float", *side)

    model.fusion.register_forward_hook(fused)
    model.transformer.register_forward_hook(transformed)
    model.code_head.register_forward_hook(coded)
    model.register_forward_hook(answered)


def _check(where: str, name: str, found: Tensor, kind: str, *shape: int) -> None:
    if tuple(found.shape) != shape or not KINDS[kind](found):
        raise ShapeError(
            f"{where}: {name} is {tuple(found.shape)} {str(found.dtype).removeprefix('torch.')}, wanted "
            f"{shape} {kind}, from the model's config and train.window_frames."
        )


def _check_range(where: str, name: str, found: Tensor, size: int) -> None:
    least, most = int(found.min()), int(found.max())
    if least < 0 or most >= size:
        raise ShapeError(
            f"{where}: {name} holds {least} to {most}, wanted 0 to {size - 1}. Do the pack and the "
            "tokenizers belong together?"
        )
