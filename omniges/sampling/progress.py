"""What a clip carries from window to window, and the step from one to the next.

Shapes: B clips side by side, N tokens of a window, X channels of a token, P parts, D code width.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.model.a2g import A2G
from omniges.motion.layout import FRAMES_PER_CODE, SIDE_WIDTH
from omniges.sampling.choices import ChoiceNoise
from omniges.sampling.listening import Listened
from omniges.sampling.precision import computing
from omniges.sampling.sampler import Decoder, DrawnWindow, Past, WindowSampler
from omniges.sampling.windows import Cover, Window


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What one window adds to one clip, for good."""

    latent: Tensor  # [n, P, D]
    side: Tensor  # [4 n, 9] jaw and eyes, normalised
    foreseen: Tensor  # [m, P, D] the latents after them, as this window sees them; the next one decides anew


class Progress:
    """One clip on its way: its private source of noise, and the end of what is settled, which the next window
    continues. Its size doesn't grow with the clip.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.choices: ChoiceNoise | None = None  # None before the first window
        self.settled = 0  # tokens
        self.latent: Tensor | None = None  # [past, P, D]; None before the first window
        self.clean: Tensor | None = None  # [past, X] normalised; None before the first window
        self.side = torch.zeros(0, SIDE_WIDTH)  # [frames, 9] foreseen by the last window, normalised

    def gumbel(self, window: Window, length: int, whole: int, model: A2G, options: SamplingParams) -> Tensor:
        """[length, P, L, K] the noise that chooses the codes of a window's tokens; the settled past has none.
        As much of it is drawn as a `whole` window takes.
        """
        data = model.config.data
        if self.choices is None:
            tokens_per_s = data.fps / FRAMES_PER_CODE
            size = (data.parts, min(options.sampled_levels, data.quantizers), data.codes)
            self.choices = ChoiceNoise(self.generator, size, options.coherence_s * tokens_per_s)
        fresh = self.choices.ahead(self.settled, length - window.past, whole - window.past)
        return torch.cat([fresh.new_zeros(window.past, *fresh.shape[1:]), fresh])

    def take(self, window: Window, drawn: DrawnWindow, row: int, overlap: int, wanted: slice) -> Settled:
        """Keep what a window settles of this clip.

        Args:
            window: where it lies.
            drawn: what came out of it for all clips.
            row: this clip's place there.
            overlap: tokens that the next window continues.
            wanted: the tokens that `drawn.clean` has.
        """
        local = slice(window.past, window.keep - window.start)
        frames = slice(local.start * FRAMES_PER_CODE, local.stop * FRAMES_PER_CODE)
        latent, side = drawn.latent[row, local], drawn.side[row, frames].float()
        settled = Settled(latent=latent, side=self._faded(side), foreseen=drawn.latent[row, local.stop :])
        self.settled = window.keep
        if not window.last:
            known = _continued(window, overlap)
            clean = slice(known.start - wanted.start, known.stop - wanted.start)
            # Copies, since a view would keep the whole window in memory.
            self.latent, self.clean = drawn.latent[row, known].clone(), drawn.clean[row, clean].clone()
            self.side = drawn.side[row, frames.stop :].float().clone()
        return settled

    def _faded(self, side: Tensor) -> Tensor:
        """[T, 9] to [T, 9]: jaw and eyes follow no past, so they fade over from what the last window
        foresaw.
        """
        n = min(len(self.side), len(side))
        if n == 0:
            return side
        share = ((torch.arange(n, device=side.device) + 0.5) / len(self.side))[:, None]
        return torch.cat([share * side[:n] + (1 - share) * self.side[:n], side[n:]])


def _continued(window: Window, overlap: int) -> slice:
    """Tokens of a window that the next one continues, counted from the window's start."""
    stop = window.keep - window.start
    return slice(max(0, stop - overlap), stop)


def clip_generator(seed: int, clip: str) -> torch.Generator:
    """A clip's own source of noise, from the run's seed and the clip's name."""
    digest = hashlib.sha256(f"{seed}:{clip}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@torch.inference_mode()
def settle(
    model: A2G,
    tokenizer: Decoder,
    listened: Listened,
    clips: Sequence[Progress],
    windows: Sequence[Window],
    cover: Cover,
    options: SamplingParams,
) -> list[Settled]:
    """Generate one window of every clip and move the clips on.

    Args:
        model: in evaluation mode, on any device.
        tokenizer: on the same device.
        listened: to the B windows, as long as `Cover.length` says.
        clips: B.
        windows: B, each going on where its clip stands.
        cover: sizes of the windows.
        options: sampling options.
    """
    device, data = model.code_head.codebooks.device, model.config.data
    size = (len(clips), listened.conditions.tokens.shape[1])
    past = Past(
        given=torch.zeros(size, dtype=torch.bool, device=device),
        clean=torch.zeros(*size, model.config.token_width, device=device),
        latent=torch.zeros(*size, data.parts, data.code_dim, device=device),
    )
    for row, (clip, window) in enumerate(zip(clips, windows, strict=True)):
        if window.past and clip.latent is not None and clip.clean is not None:
            past.given[row, : window.past] = True
            past.clean[row, : window.past], past.latent[row, : window.past] = clip.clean, clip.latent
    gumbel = [
        clip.gumbel(window, size[1], cover.window, model, options)
        for clip, window in zip(clips, windows, strict=True)
    ]
    parts = [_continued(window, cover.overlap) for window in windows if not window.last]
    wanted = slice(
        min((part.start for part in parts), default=0), max((part.stop for part in parts), default=0)
    )
    ends = [window.keep - window.start if window.last else size[1] for window in windows]
    with computing(options.precision, device):
        sampler = WindowSampler(model, tokenizer, listened, ends, options)
        drawn = sampler.draw(past, [clip.generator for clip in clips], torch.stack(gumbel).to(device), wanted)
    rows = enumerate(zip(clips, windows, strict=True))
    return [clip.take(window, drawn, row, cover.overlap, wanted) for row, (clip, window) in rows]
