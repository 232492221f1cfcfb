"""Audio to gesture: a noisy gesture, what is heard and said, and who speaks, to the codes of the clean
gesture.

Shapes: B batch, T frames, N gesture tokens (T / 4), W words, X channels of a token on its way (4 x 415;
    P x D in a latent flow), P parts, Q quantizers, D code width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from omniges.errors import ShapeError
from omniges.model.config import ModelConfig
from omniges.model.fusion import AudioFusion
from omniges.model.head import CodeHead, CodePrediction, LatentHead
from omniges.model.mmdit import Memory, MMDiT, Stream
from omniges.model.prior import Prior
from omniges.motion.layout import FRAMES_PER_CODE, SIDE_WIDTH

SAID_TAPS = 9
"""Gesture tokens whose words reach a token directly, itself in the middle."""
UNKNOWN_SPEAKER = -1
"""Speaker index that selects the embedding of nobody in particular."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Features of one stretch of speech, as they come from the pack. Absent text has W = 0 and costs
    nothing.
    """

    wavlm: Tensor  # [B, T, 768]
    mfcc: Tensor  # [B, T, 128]
    frames: Tensor  # [B, T] bool, True for frames that exist
    text: Tensor  # [B, W, 1024]
    text_mask: Tensor  # [B, W] bool
    text_span_s: Tensor  # [B, W, 2] seconds from the window's start
    speaker: Tensor  # [B] int64 row of the speaker table, or UNKNOWN_SPEAKER

    def without_words(self) -> "Heard":
        """The same sound, W = 0."""
        return replace(
            self, text=self.text[:, :0], text_mask=self.text_mask[:, :0], text_span_s=self.text_span_s[:, :0]
        )

    def to(self, device: torch.device) -> "Heard":
        return Heard(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What doesn't change along the flow, computed once for a window."""

    audio: Tensor  # [B, T, F] fused
    frames: Tensor  # [B, T] bool, False also where the audio is withheld
    tokens: Tensor  # [B, N] bool, True for gesture tokens that exist
    text: Tensor  # [B, W, text width]
    text_mask: Tensor  # [B, W] bool
    text_time_s: Tensor  # [B, W] seconds, middle of each word
    said: Tensor  # [B, N, W] share of each gesture token's time that each word fills
    speaker: Tensor  # [B, D]

    def without_audio(self) -> "Conditions":
        """The same tokens, nothing heard."""
        return replace(self, audio=torch.zeros_like(self.audio), frames=torch.zeros_like(self.frames))

    @staticmethod
    def cat(variants: "Sequence[Conditions]") -> "Conditions":
        """Several variants of a batch as one bigger batch."""
        return Conditions(
            **{f.name: torch.cat([getattr(v, f.name) for v in variants]) for f in fields(Conditions)}
        )

    def without_text(self) -> "Conditions":
        """The same tokens, nothing said."""
        return replace(self, text_mask=torch.zeros_like(self.text_mask))

    def rows(self, chosen: Tensor) -> "Conditions":
        """Some of the B rows."""
        return Conditions(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Projected:
    """Conditions as the transformer takes them in; the same at every flow time."""

    heard: Tensor  # [B, N, C] what is heard at each gesture token's own time
    said: Tensor | float  # [B, N, C] the words around it; 0 without words
    audio: Tensor  # [B, S, audio width] tokens
    memory: Memory | None  # of audio and words, where they don't read the gesture

    def rows(self, chosen: Tensor) -> "Projected":
        """Some of the B rows."""
        return Projected(
            heard=self.heard[chosen],
            said=self.said[chosen] if isinstance(self.said, Tensor) else self.said,
            audio=self.audio[chosen],
            memory=None if self.memory is None else self.memory.rows(chosen),
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The model's answer, given true codes."""

    codes: CodePrediction
    side: Tensor  # [B, T, 9] jaw and eyes, normalised


class Statistics(nn.Module):
    """Train-split statistics that travel with the weights: mean and std of mfcc, wavlm and side, each
    [channels].
    """

    names = ("mfcc", "wavlm", "side")

    def __init__(self, statistics: dict[str, Tensor]) -> None:
        super().__init__()
        for name in self.names:
            for kind in ("mean", "std"):
                self.register_buffer(f"{name}_{kind}", statistics[f"{name}_{kind}"].detach().clone().float())

    def normalise(self, name: str, x: Tensor) -> Tensor:
        """[..., channels] raw to zero mean and unit deviation over the train split; float32."""
        return (x.float() - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_std")

    def denormalise(self, name: str, x: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return x * getattr(self, f"{name}_std") + getattr(self, f"{name}_mean")


class A2G(nn.Module):
    """The whole model. Frozen networks are not part of it: features come from the pack, code vectors are
    constants.

    Args:
        config: sizes.
        statistics: see `Statistics`; with shaped noise also `Prior`'s.
        codebooks: [P, Q, K, D] effective code vectors of the tokenizers.
        latent_std: [P] see `CodeHead`.
    """

    def __init__(
        self, config: ModelConfig, statistics: dict[str, Tensor], codebooks: Tensor, latent_std: Tensor
    ) -> None:
        super().__init__()
        sizes, data = config.sizes, config.data
        self.config = config
        self.statistics = Statistics(statistics)
        self.prior = Prior(statistics) if sizes.noise == "shaped" else None
        state_width = sizes.gesture_width + (self.prior.components if self.prior else 0)
        self.fusion = AudioFusion(
            wavlm_width=data.wavlm_width,
            mfcc_width=data.mfcc_width,
            width=sizes.fusion_width,
            layers=sizes.fusion_layers,
            heads=sizes.fusion_heads,
            gate=sizes.fusion_gate,
            context_layers=sizes.context_layers,
        )
        self.audio_in = nn.Linear(sizes.fusion_width * sizes.audio_frames_per_token, sizes.audio_width)
        if sizes.text_width:
            self.text_in = nn.Sequential(
                nn.LayerNorm(data.text_width), nn.Linear(data.text_width, sizes.text_width)
            )
        self.dropout = nn.Dropout(sizes.dropout)
        self.gesture_in = nn.Linear(config.token_width, sizes.gesture_width)
        # What is heard at a token's own time also reaches it directly: attention would have to learn to
        # find it first.
        self.heard_in = nn.Linear(sizes.fusion_width * FRAMES_PER_CODE, sizes.gesture_width)
        self.unheard = nn.Parameter(torch.zeros(sizes.gesture_width))
        if sizes.text_width:
            # The same for words, with what is said just before and after.
            self.said_in = nn.Conv1d(
                sizes.text_width, sizes.gesture_width, SAID_TAPS, padding=SAID_TAPS // 2, bias=False
            )
        self.speaker = nn.Embedding(len(data.speakers) + 1, sizes.condition_width)
        self.flow_time = FlowTime(sizes.condition_width)
        self.transformer = MMDiT(
            {
                name: width
                for name, width in (
                    ("text", sizes.text_width),
                    ("audio", sizes.audio_width),
                    ("gesture", sizes.gesture_width),
                )
                if width
            },
            target="gesture",
            context_reads_target=sizes.context_reads_gesture,
            layers=sizes.layers,
            residual_streams=sizes.residual_streams,
            condition_width=sizes.condition_width,
            heads=sizes.heads,
            head_dim=sizes.head_dim,
            mlp_ratio=sizes.mlp_ratio,
            dropout=sizes.dropout,
        )
        self.code_head = (
            LatentHead(state_width, codebooks, latent_std)
            if sizes.predicts == "latents"
            else CodeHead(state_width, sizes.head_width, codebooks, latent_std)
        )
        self.side_head = nn.Linear(state_width, FRAMES_PER_CODE * SIDE_WIDTH)

    def listen(self, heard: Heard) -> Conditions:
        """Everything that is the same at every flow time, once a window: fused audio, projected words, the
        speaker.
        """
        self._check(heard)
        if not self.config.sizes.text_width:
            heard = heard.without_words()
        rows = torch.where(heard.speaker < 0, len(self.config.data.speakers), heard.speaker)
        time_s = self._frame_time_s(heard.frames.shape[1], heard.frames.device)
        audio = self.fusion(
            self.dropout(self.statistics.normalise("wavlm", heard.wavlm)),
            self.dropout(self.statistics.normalise("mfcc", heard.mfcc)),
            time_s.expand(len(heard.frames), -1),
            heard.frames,
        )
        return Conditions(
            audio=audio,
            frames=heard.frames,
            tokens=heard.frames.unflatten(1, (-1, FRAMES_PER_CODE)).any(-1),
            text=self._words(heard.text),
            text_mask=heard.text_mask,
            text_time_s=heard.text_span_s.float().mean(-1),
            said=self._said(heard),
            speaker=self.speaker(rows),
        )

    def project(self, conditions: Conditions) -> Projected:
        """What `states` makes of the conditions alone; worth keeping where the flow takes several steps."""
        heard = self._grouped(conditions.audio, conditions.frames, FRAMES_PER_CODE)
        known = conditions.frames.unflatten(1, (-1, FRAMES_PER_CODE)).any(-1)
        span = self.config.sizes.audio_frames_per_token
        audio = self.audio_in(self._grouped(conditions.audio, conditions.frames, span))
        memory = None
        if not self.transformer.context_reads_target:
            # What is heard and said is clean, as at flow time 1, and the same along the flow.
            clean = self.flow_time(conditions.speaker.new_ones(len(audio), 1)) + conditions.speaker[:, None]
            memory = self.transformer.remember(self._context(conditions, audio, clean))
        return Projected(
            heard=torch.where(known[..., None], self.heard_in(heard), self.unheard),
            said=self._words_around(conditions),
            audio=audio,
            memory=memory,
        )

    def states(
        self,
        x_t: Tensor,
        t: Tensor,
        given: Tensor,
        conditions: Conditions,
        projected: Projected | None = None,
    ) -> Tensor:
        """The gesture tokens' states at flow time t.

        Args:
            x_t: [B, N, X] normalised gesture as `tokens` gives it, noisy where t < 1.
            t: [B] flow time of the tokens that aren't given, 0 noise, 1 clean. Audio and words that read the
                gesture take it too.
            given: [B, N] bool, the past that is continued: clean, at flow time 1.
            conditions: from `listen`.
            projected: of these conditions, from `project`; None makes it here.
        Returns:
            [B, N, C] for the heads: the transformer's answer and, with shaped noise, what x_t alone tells.
        """
        projected = self.project(conditions) if projected is None else projected
        gesture = self.gesture_in(x_t) + projected.heard + projected.said
        moment = self.flow_time(torch.stack([t, torch.ones_like(t)], 1)) + conditions.speaker[:, None]
        context = self._context(conditions, projected.audio, moment[:, :1])
        own = Stream(
            tokens=gesture,
            time_s=self._token_time_s(conditions, FRAMES_PER_CODE),
            condition=moment,
            mask=conditions.tokens,
            row=given.long(),
        )
        states = self.transformer({**context, "gesture": own}, projected.memory)
        if self.prior is None:
            return states
        # The transformer is narrower than a token: what is nearly clean would not get through it.
        return torch.cat([states, self.prior.told(x_t, torch.where(given, 1.0, t[:, None])).to(states)], -1)

    def start(self, white: Tensor) -> Tensor:
        """Where the flow starts: white noise [B, N, X] to x_0 [B, N, X]."""
        return white if self.prior is None else self.prior.mean + self.prior.shaped(white)

    def forward(
        self, x_t: Tensor, t: Tensor, given: Tensor, heard: Heard, codes: Tensor, keep_audio: Tensor
    ) -> Prediction:
        """One training pass.

        Args:
            x_t: [B, N, X].
            t: [B].
            given: [B, N].
            heard: features; text that is to be withheld has its mask False already.
            codes: [B, N, P, Q] int64, the truth that coarser levels tell finer ones.
            keep_audio: [B] bool, False where the audio is withheld (classifier-free training).
        """
        conditions = self.listen(heard)
        conditions = replace(conditions, frames=conditions.frames & keep_audio[:, None])
        states = self.states(x_t, t, given, conditions)
        return Prediction(codes=self.code_head(states, codes), side=self.side(states))

    def tokens(self, latent: Tensor, frames: Callable[[], Tensor]) -> Tensor:
        """A clean gesture as the flow knows it.

        Args:
            latent: [B, N, P, D] summed code vectors.
            frames: gives the same as normalised frames [B, T, 415]; not asked by a latent flow.
        Returns:
            [B, N, X].
        """
        if isinstance(self.code_head, LatentHead):
            return (latent / self.code_head.latent_std[:, None]).flatten(2)
        return frames().float().unflatten(1, (-1, FRAMES_PER_CODE)).flatten(2)

    def side(self, states: Tensor) -> Tensor:
        """Jaw and eyes of every frame from the token states: [B, N, C] to [B, T, 9], normalised."""
        return self.side_head(states).unflatten(-1, (FRAMES_PER_CODE, SIDE_WIDTH)).flatten(1, 2)

    def _context(self, conditions: Conditions, audio: Tensor, condition: Tensor) -> dict[str, Stream]:
        """Words and audio tokens [B, S, audio width] on their way into the transformer, all under one
        condition [B, 1, D].
        """
        span = self.config.sizes.audio_frames_per_token
        return {
            "text": Stream(
                tokens=conditions.text,
                time_s=conditions.text_time_s,
                condition=condition,
                mask=conditions.text_mask,
            ),
            "audio": Stream(
                tokens=audio,
                time_s=self._token_time_s(conditions, span),
                condition=condition,
                mask=conditions.frames.unflatten(1, (-1, span)).any(-1),
            ),
        }

    def _token_time_s(self, conditions: Conditions, span: int) -> Tensor:
        """[B, T / span] seconds, the middle of every token of `span` frames."""
        frame_time_s = self._frame_time_s(conditions.frames.shape[1], conditions.frames.device)
        return _centres(frame_time_s, span).expand(len(conditions.frames), -1)

    def _said(self, heard: Heard) -> Tensor:
        """[B, N, W] share of each gesture token's time that each word fills."""
        edges_s = torch.arange(heard.frames.shape[1] // FRAMES_PER_CODE + 1, device=heard.frames.device)
        edges_s = edges_s[None, :, None] * (FRAMES_PER_CODE / self.config.data.fps)
        start_s, end_s = heard.text_span_s.float()[:, None].unbind(-1)
        common_s = torch.minimum(end_s, edges_s[:, 1:]) - torch.maximum(start_s, edges_s[:, :-1])
        exists = heard.frames.unflatten(1, (-1, FRAMES_PER_CODE)).any(-1)[..., None]
        # A word that ends after its clip would else be said to padding, which its neighbours hear.
        return common_s.clamp(min=0) * exists * (self.config.data.fps / FRAMES_PER_CODE)

    def _words(self, text: Tensor) -> Tensor:
        if not text.shape[1]:
            return text.new_zeros(len(text), 0, self.config.sizes.text_width, dtype=torch.float32)
        return self.text_in(self.dropout(text.float()))

    def _words_around(self, conditions: Conditions) -> Tensor | float:
        if not conditions.text.shape[1]:
            return 0.0
        said = conditions.said @ (conditions.text * conditions.text_mask[..., None])
        return self.said_in(said.transpose(1, 2)).transpose(1, 2)

    def _grouped(self, audio: Tensor, frames: Tensor, span: int) -> Tensor:
        # Withheld and missing frames are zeroed, since padding may hold anything.
        return (audio * frames[..., None]).unflatten(1, (-1, span)).flatten(2)

    def _frame_time_s(self, n_frames: int, device: torch.device) -> Tensor:
        return (torch.arange(n_frames, device=device, dtype=torch.float32)[None] + 0.5) / self.config.data.fps

    def _check(self, heard: Heard) -> None:
        n_frames, data = heard.frames.shape[1], self.config.data
        step = max(FRAMES_PER_CODE, self.config.sizes.audio_frames_per_token)
        if n_frames % step:
            raise ShapeError(
                f"A2G: got {n_frames} frames, wanted a multiple of {step}; pad, and mark padding in `frames`."
            )
        for name, got, want in (
            ("wavlm", heard.wavlm.shape[1:], (n_frames, data.wavlm_width)),
            ("mfcc", heard.mfcc.shape[1:], (n_frames, data.mfcc_width)),
            ("text", heard.text.shape[1:], (heard.text_mask.shape[1], data.text_width)),
        ):
            if tuple(got) != tuple(want):
                raise ShapeError(f"A2G: {name} has shape [B, *{tuple(got)}], wanted [B, *{tuple(want)}].")


class FlowTime(nn.Module):
    """Sinusoids of the flow time, then two layers: [...] in [0, 1] to [..., width]."""

    def __init__(self, width: int, frequencies: int = 64) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.net = nn.Sequential(
            nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, t: Tensor) -> Tensor:
        steps = torch.arange(self.frequencies, device=t.device, dtype=torch.float32)
        angle = t.float()[..., None] * torch.exp(steps * (math.log(1000.0) / self.frequencies)) * math.pi
        return self.net(torch.cat([angle.cos(), angle.sin()], dim=-1))


def _centres(frame_time_s: Tensor, span: int) -> Tensor:
    """Mean time of every group of `span` frames: [1, T] to [1, T / span]."""
    return frame_time_s.unflatten(1, (-1, span)).mean(-1)
