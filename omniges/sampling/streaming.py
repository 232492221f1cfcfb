"""Gesture for speech that is still arriving: the windows of `generate`, one at a time.

Given the same features, the frames that come out are those that `generate_clips` makes of the whole clip.

Shapes: T frames, P parts, D code width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from omniges.config import SamplingParams
from omniges.errors import ConfigError
from omniges.model.a2g import A2G
from omniges.motion.layout import FRAMES_PER_CODE
from omniges.sampling.decoding import PieceDecoder
from omniges.sampling.listening import listen
from omniges.sampling.progress import Progress, clip_generator, settle
from omniges.sampling.sampler import Decoder
from omniges.sampling.speech import Speech, window_of
from omniges.sampling.windows import Cover


@dataclass(frozen=True, kw_only=True)
class GestureBlock:
    """Frames that are ready, and final."""

    start_frame: int
    gesture: Tensor  # [T, 415] raw
    side: Tensor  # [T, 9] jaw and eyes, axis-angle in radians


class GestureStream:
    """Asks for one window of features after another and gives out the frames that follow from them.

    Args:
        model: in evaluation mode, on any device.
        tokenizer: on the same device.
        seed: with `name`, decides the randomness.
        name: of the speech.
        options: sampling options; `window_frames`, `overlap_frames` and `lookahead_frames` decide the delay.
        decoder_ahead_frames: frames of settled motion that the decoder waits for; None waits for all that
            have a say, which is exact.
    """

    def __init__(
        self,
        model: A2G,
        tokenizer: Decoder,
        seed: int,
        name: str,
        options: SamplingParams,
        decoder_ahead_frames: int | None = None,
    ) -> None:
        if decoder_ahead_frames is not None and decoder_ahead_frames % FRAMES_PER_CODE:
            raise ConfigError(
                f"decoder_ahead_frames: got {decoder_ahead_frames}, wanted a multiple of {FRAMES_PER_CODE}."
            )
        ahead = None if decoder_ahead_frames is None else decoder_ahead_frames // FRAMES_PER_CODE
        self.model, self.tokenizer, self.options = model, tokenizer, options
        self._cover = Cover.of_frames(options.window_frames, options.overlap_frames, options.lookahead_frames)
        self._progress = Progress(clip_generator(seed, name))
        self._decoder = PieceDecoder(tokenizer, ahead)
        self._side: list[Tensor] = []  # settled, but waiting for the decoder
        self._given = 0  # frames

    @property
    def delay_frames(self) -> int:
        """Frames of speech that are heard from a frame on until it is given out, at most.

        A window is made when the frame after it has begun, since the last of all settles more. The first one
        has no past, the frames of later ones wait for the decoder in addition.
        """
        cover = self._cover
        tokens = max(cover.window, cover.window - cover.overlap + self._decoder.ahead)
        return tokens * FRAMES_PER_CODE + 1

    def wanted(self, n_frames: int | None = None) -> tuple[int, int] | None:
        """First frame and end of the window whose speech is wanted next.

        Args:
            n_frames: of the whole speech, once it has ended; the window then ends there at the latest.
        Returns:
            None when the speech has ended and every frame is given out.
        """
        settled = self._progress.settled
        if n_frames is not None and settled * FRAMES_PER_CODE >= n_frames:
            return None
        start = self._cover.after(settled, None).start * FRAMES_PER_CODE
        stop = start + self._cover.window * FRAMES_PER_CODE
        return start, stop if n_frames is None else min(stop, n_frames)

    def n_windows(self, n_frames: int) -> int:
        """Windows that a whole speech takes."""
        return len(self._cover.plan(-(-n_frames // FRAMES_PER_CODE)))

    def advance(self, speech: Speech, n_frames: int | None = None) -> GestureBlock:
        """Generate the wanted window.

        Args:
            speech: its features; the times of words count from its first frame.
            n_frames: of the whole speech, once it has ended.
        Returns:
            what became ready, which may be no frame.
        """
        n_tokens = None if n_frames is None else -(-n_frames // FRAMES_PER_CODE)
        window = self._cover.after(self._progress.settled, n_tokens)
        config = self.model.config
        length = self._cover.length([window], config.token_span) * FRAMES_PER_CODE
        heard = window_of([speech], [0], length, config.data.fps)
        listened = listen(self.model, heard, self.options)
        (part,) = settle(
            self.model, self.tokenizer, listened, [self._progress], [window], self._cover, self.options
        )
        gesture = self._decoder.push(part.latent, part.foreseen, last=window.last).cpu()
        self._side.append(self.model.statistics.denormalise("side", part.side).cpu())
        side = torch.cat(self._side)
        if n_frames is not None:
            gesture = gesture[: n_frames - self._given]
        block = GestureBlock(start_frame=self._given, gesture=gesture, side=side[: len(gesture)])
        self._side, self._given = [side[len(gesture) :]], self._given + len(gesture)
        return block
