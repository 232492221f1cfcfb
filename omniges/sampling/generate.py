"""Gesture for speech of any length: rectified flow in windows that continue the model's own past.

Shapes: B clips side by side, N tokens of a window, X = 4 x 415 channels of a token, P parts, Q quantizers,
    T frames.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.errors import ShapeError
from omniges.model.a2g import A2G, TOKEN_WIDTH, Conditions, Heard
from omniges.motion.layout import FRAMES_PER_CODE, GESTURE_WIDTH, SIDE_WIDTH
from omniges.sampling import flow
from omniges.sampling.codes import guidance_weights, guide, pick
from omniges.sampling.speech import Speech, window_of
from omniges.sampling.windows import Cover, Window


class Decoder(Protocol):
    """What generation needs of the tokenizers."""

    def decode_codes(self, codes: Tensor) -> Tensor:
        """[B, N, P, Q] int64 to raw gesture [B, 4 N, 415]."""

    def normalise(self, gesture: Tensor) -> Tensor:
        """[..., 415] raw to normalised."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One clip's gesture."""

    clip: str
    gesture: Tensor  # [T, 415] raw
    side: Tensor  # [T, 9] jaw and eyes, axis-angle in radians
    codes: Tensor  # [ceil(T / 4), P, Q] int64


@dataclass
class _Progress:
    """One clip on its way: what has been settled so far, and its private source of noise."""

    speech: Speech
    windows: list[Window]
    generator: torch.Generator
    codes: Tensor  # [tokens, P, Q]
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
        codes=torch.zeros(n_tokens, data.parts, data.quantizers, dtype=torch.int64),
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
    past = torch.zeros(len(clips), cover.window, TOKEN_WIDTH)
    past_codes = torch.zeros(len(clips), cover.window, *clips[0].codes.shape[1:], dtype=torch.int64)
    given = torch.zeros(len(clips), cover.window, dtype=torch.bool)
    for row, (clip, window) in enumerate(zip(clips, windows, strict=True)):
        span = slice(window.start, window.start + window.past)
        past[row, : window.past], past_codes[row, : window.past] = clip.clean[span], clip.codes[span]
        given[row, : window.past] = True
    drawn = sampler.draw(
        past.to(device), past_codes.to(device), given.to(device), [clip.generator for clip in clips]
    )
    for row, (clip, window) in enumerate(zip(clips, windows, strict=True)):
        _keep(clip, window, drawn, row)


@dataclass(frozen=True, kw_only=True)
class DrawnWindow:
    """One window of every clip."""

    codes: Tensor  # [B, N, P, Q]
    clean: Tensor  # [B, N, X] normalised
    side: Tensor  # [B, 4 N, 9] normalised


class WindowSampler:
    """Draws one window: the same conditions at every step of the flow.

    Args:
        model: in evaluation mode.
        tokenizer: decodes clean estimates.
        heard: features of the window.
        options: sampling options.
    """

    def __init__(self, model: A2G, tokenizer: Decoder, heard: Heard, options: SamplingParams) -> None:
        self.model, self.tokenizer, self.options = model, tokenizer, options
        full = model.listen(heard)
        scales, variants = [], [full]
        if options.audio_guidance != 1:
            scales.append(options.audio_guidance)
            variants.append(full.without_audio())
        if options.text_guidance != 1 and full.text.shape[1]:
            scales.append(options.text_guidance)
            variants.append(full.without_text())
        self.variants, self.weights = variants, guidance_weights(scales).to(full.audio.device)
        self.conditions = Conditions.cat(variants)
        self.codes: Tensor | None = None
        self.side: Tensor | None = None

    def draw(
        self, past: Tensor, past_codes: Tensor, given: Tensor, generators: Sequence[torch.Generator]
    ) -> DrawnWindow:
        """Walk from noise to gesture.

        Args:
            past: [B, N, X] normalised clean tokens, read where `given`.
            past_codes: [B, N, P, Q] their codes.
            given: [B, N] bool.
            generators: one a clip.
        """

        def clean_estimate(x_t: Tensor, t: float) -> Tensor:
            return self._estimate(x_t, t, past, past_codes, given, generators)

        x_0 = torch.stack([flow.noise((given.shape[1], TOKEN_WIDTH), g) for g in generators]).to(past)
        x_0 = torch.where(given[..., None], past, x_0)
        clean = flow.solve(x_0, clean_estimate, self.options.steps, self.options.solver)
        assert self.codes is not None, "solve evaluates at least once"
        assert self.side is not None
        return DrawnWindow(codes=self.codes, clean=clean, side=self.side)

    def _estimate(
        self,
        x_t: Tensor,
        t: float,
        past: Tensor,
        past_codes: Tensor,
        given: Tensor,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """The clean estimate: codes drawn from the head's distribution, decoded. The past stays as it is."""
        n_variants, batch = len(self.variants), len(x_t)
        times = torch.where(given, 1.0, t).to(x_t)
        states = self.model.states(x_t.repeat(n_variants, 1, 1), times.repeat(n_variants, 1), self.conditions)
        states = states.unflatten(0, (n_variants, batch))
        data = self.model.config.data
        uniform = torch.stack(
            [torch.rand(given.shape[1], data.parts, data.quantizers, generator=g) for g in generators]
        )
        uniform = uniform.to(x_t.device)

        def choose(logits: Tensor, level: int) -> Tensor:
            codes = pick(
                guide(logits, self.weights), uniform[..., level], self.options.temperature, self.options.top_p
            )
            return torch.where(given[..., None], past_codes[..., level], codes)

        self.codes = self.model.code_head.choose(states, choose)
        self.side = guide(
            self.model.side(states.flatten(0, 1)).unflatten(0, (n_variants, batch)), self.weights
        )
        frames = self.tokenizer.normalise(self.tokenizer.decode_codes(self.codes))
        return torch.where(given[..., None], past, frames.unflatten(1, (-1, FRAMES_PER_CODE)).flatten(2))


def _keep(clip: _Progress, window: Window, drawn: DrawnWindow, row: int) -> None:
    """Write the tokens that a window settles; jaw and eyes, which follow no past, are faded over from
    window to window.
    """
    fresh = slice(window.start + window.past, window.keep)
    local = slice(window.past, window.keep - window.start)
    clip.codes[fresh], clip.clean[fresh] = drawn.codes[row, local].cpu(), drawn.clean[row, local].cpu()
    frames = slice(window.start * FRAMES_PER_CODE, window.keep * FRAMES_PER_CODE)
    past = window.past * FRAMES_PER_CODE
    side = drawn.side[row, : frames.stop - frames.start].float().cpu()
    fade = ((torch.arange(past) + 0.5) / max(past, 1))[:, None]
    side[:past] = fade * side[:past] + (1 - fade) * clip.side[frames][:past]
    clip.side[frames] = side


@torch.inference_mode()
def _finish(model: A2G, tokenizer: Decoder, clip: _Progress) -> Generated:
    """Decode all of a clip's codes at once, so that windows leave no trace in the decoder, and drop the
    padding.
    """
    device = model.code_head.codebooks.device
    n_frames = clip.speech.n_frames
    gesture = tokenizer.decode_codes(clip.codes[None].to(device))[0, :n_frames].float().cpu()
    side = model.statistics.denormalise("side", clip.side.to(device))[:n_frames].cpu()
    if gesture.shape != (n_frames, GESTURE_WIDTH):
        raise ShapeError(
            f"{clip.speech.clip}: decoded {tuple(gesture.shape)}, wanted {(n_frames, GESTURE_WIDTH)}."
        )
    return Generated(clip=clip.speech.clip, gesture=gesture, side=side, codes=clip.codes)
