"""Gesture for speech of any length: rectified flow in windows that continue the model's own past.

Shapes: B clips side by side, N tokens of a window, X = 4 x 415 channels of a token, P parts, Q quantizers,
    T frames.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.errors import ShapeError
from omniges.model.a2g import A2G, TOKEN_WIDTH
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.sampling.sampler import Decoder, DrawnWindow, Past, WindowSampler
from omniges.sampling.speech import Speech, window_of
from omniges.sampling.windows import Cover, Window


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One clip's gesture."""

    clip: str
    gesture: Tensor  # [T, 415] raw
    side: Tensor  # [T, 9] jaw and eyes, axis-angle in radians
    latent: Tensor  # [ceil(T / 4), P, D] what was decoded


@dataclass
class _Progress:
    """One clip on its way: what has been settled so far, and its private source of noise."""

    speech: Speech
    windows: list[Window]
    generator: torch.Generator
    latent: Tensor  # [tokens, P, D]
    clean: Tensor  # [tokens, X] normalised
    side: Tensor  # [4 tokens, 9] normalised


def generate_gesture(
    model: A2G,
    tokenizer: Decoder,
    wavlm: Tensor,
    mfcc: Tensor,
    words: tuple[Tensor, Tensor] | None,
    speaker: int,
    n_frames: int,
    seed: int,
    options: SamplingParams,
    clip: str = "speech",
) -> tuple[Tensor, Tensor]:
    """Gesture for one stretch of speech.

    Args:
        model: in evaluation mode.
        tokenizer: the tokenizers that the model was trained with.
        wavlm: [T, 768], T >= n_frames.
        mfcc: [T, 128].
        words: embeddings [W, 1024] and spans in seconds [W, 2]; None without a transcript.
        speaker: row of the model's speaker table, or -1.
        n_frames: frames wanted.
        seed: with `clip`, decides all randomness.
        options: steps, solver, guidance and so on; `seeds` is not used.
        clip: a name for the speech.
    Returns:
        raw gesture [n_frames, 415]; jaw and eyes [n_frames, 9] in radians.
    """
    text, spans = (
        words if words is not None else (torch.zeros(0, model.config.data.text_width), torch.zeros(0, 2))
    )
    if len(wavlm) < n_frames or len(mfcc) < n_frames:
        raise ShapeError(
            f"{clip}: got {len(wavlm)} wavlm and {len(mfcc)} mfcc frames, wanted {n_frames} of each."
        )
    speech = Speech(
        clip=clip, wavlm=wavlm[:n_frames], mfcc=mfcc[:n_frames], text=text, text_span_s=spans, speaker=speaker
    )
    result = generate_clips(model, tokenizer, [speech], seed, options)[0]
    return result.gesture, result.side


def generate_clips(
    model: A2G,
    tokenizer: Decoder,
    speeches: Sequence[Speech],
    seed: int,
    options: SamplingParams,
    names: Sequence[str] | None = None,
) -> list[Generated]:
    """Gesture for several clips, side by side; each one's randomness depends on the seed and its name alone.

    Args:
        model: in evaluation mode, on any device.
        tokenizer: on the same device.
        speeches: clips of any lengths.
        seed: with each clip's name, decides the randomness.
        options: see `generate_gesture`.
        names: seeds' names, where they aren't the speeches' (the same noise for other audio).
    """
    cover = Cover.of_frames(options.window_frames, options.overlap_frames, options.lookahead_frames)
    names = [speech.clip for speech in speeches] if names is None else names
    running = [_start(model, speech, cover, seed, name) for speech, name in zip(speeches, names, strict=True)]
    for index in range(max(len(clip.windows) for clip in running)):
        active = [clip for clip in running if index < len(clip.windows)]
        _settle(model, tokenizer, active, [clip.windows[index] for clip in active], cover, options)
    return [_finish(model, tokenizer, clip) for clip in running]


def clip_generator(seed: int, clip: str) -> torch.Generator:
    """A clip's own source of noise, from the run's seed and the clip's name."""
    digest = hashlib.sha256(f"{seed}:{clip}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _start(model: A2G, speech: Speech, cover: Cover, seed: int, name: str) -> _Progress:
    n_tokens = -(-speech.n_frames // FRAMES_PER_CODE)
    data = model.config.data
    return _Progress(
        speech=speech,
        windows=cover.plan(n_tokens),
        generator=clip_generator(seed, name),
        latent=torch.zeros(n_tokens, data.parts, data.code_dim),
        clean=torch.zeros(n_tokens, TOKEN_WIDTH),
        side=torch.zeros(n_tokens * FRAMES_PER_CODE, SIDE_WIDTH),
    )


@torch.inference_mode()
def _settle(
    model: A2G,
    tokenizer: Decoder,
    clips: list[_Progress],
    windows: list[Window],
    cover: Cover,
    options: SamplingParams,
) -> None:
    """Generate one window of every clip and write what it settles into the clips."""
    device = model.code_head.codebooks.device
    heard = window_of(
        [clip.speech for clip in clips],
        [window.start * FRAMES_PER_CODE for window in windows],
        cover.window * FRAMES_PER_CODE,
        model.config.data.fps,
    )
    sampler = WindowSampler(model, tokenizer, heard.to(device), options)
    past = Past(
        given=torch.zeros(len(clips), cover.window, dtype=torch.bool),
        clean=torch.zeros(len(clips), cover.window, TOKEN_WIDTH),
        latent=torch.zeros(len(clips), cover.window, *clips[0].latent.shape[1:]),
    )
    for row, (clip, window) in enumerate(zip(clips, windows, strict=True)):
        span = slice(window.start, window.start + window.past)
        past.given[row, : window.past] = True
        past.clean[row, : window.past], past.latent[row, : window.past] = clip.clean[span], clip.latent[span]
    past = Past(**{name: value.to(device) for name, value in vars(past).items()})
    drawn = sampler.draw(past, [clip.generator for clip in clips])
    for row, (clip, window) in enumerate(zip(clips, windows, strict=True)):
        _keep(clip, window, drawn, row)


def _keep(clip: _Progress, window: Window, drawn: DrawnWindow, row: int) -> None:
    """Write the tokens that a window settles; jaw and eyes, which follow no past, fade from window to
    window.
    """
    fresh = slice(window.start + window.past, window.keep)
    local = slice(window.past, window.keep - window.start)
    clip.latent[fresh], clip.clean[fresh] = drawn.latent[row, local].cpu(), drawn.clean[row, local].cpu()
    frames = slice(window.start * FRAMES_PER_CODE, window.keep * FRAMES_PER_CODE)
    past = window.past * FRAMES_PER_CODE
    side = drawn.side[row, : frames.stop - frames.start].float().cpu()
    fade = ((torch.arange(past) + 0.5) / max(past, 1))[:, None]
    side[:past] = fade * side[:past] + (1 - fade) * clip.side[frames][:past]
    clip.side[frames] = side


@torch.inference_mode()
def _finish(model: A2G, tokenizer: Decoder, clip: _Progress) -> Generated:
    """Decode a clip's latents at once, so that windows leave no trace in the decoder, and drop the
    padding.
    """
    device = model.code_head.codebooks.device
    n_frames = clip.speech.n_frames
    gesture = tokenizer.decode_latents(clip.latent[None].to(device))[0, :n_frames].float().cpu()
    side = model.statistics.denormalise("side", clip.side.to(device))[:n_frames].cpu()
    if gesture.shape != (n_frames, GESTURE_WIDTH):
        raise ShapeError(
            f"{clip.speech.clip}: decoded {tuple(gesture.shape)}, wanted {(n_frames, GESTURE_WIDTH)}."
        )
    return Generated(clip=clip.speech.clip, gesture=gesture, side=side, latent=clip.latent)
