"""Decoding latents as they come, without a seam.

A frame depends on the latents within the decoder's reach (`Decoder.decoder_context`) and on no others. So a
piece that is decoded together with that many latents to its left and right equals the same piece of the whole
clip, decoded at once.

Shapes: N latents, P parts, D code width.
"""

import torch
from torch import Tensor

from omniges.motion.layout import GESTURE_WIDTH
from omniges.sampling.sampler import Decoder


class PieceDecoder:
    """Latents in, frames out; holds only what later frames still need.

    Args:
        tokenizer: the decoder.
        ahead: latents to a frame's right that are waited for. None waits for all that have a say, which is
            exact; fewer give frames sooner, and the missing ones are taken from those that are foreseen.
    """

    def __init__(self, tokenizer: Decoder, ahead: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.context = tokenizer.decoder_context
        self.ahead = self.context if ahead is None else min(ahead, self.context)
        self._held: Tensor | None = None  # [N, P, D] latents from `_first` on
        self._first = self._done = 0  # latents

    def push(self, latent: Tensor, foreseen: Tensor | None = None, *, last: bool = False) -> Tensor:
        """Take in the next latents and give out the frames that are ready.

        Args:
            latent: [N, P, D].
            foreseen: [M, P, D] what is likely to follow; of influence only where `ahead` is short.
            last: nothing follows, so all frames are ready.
        Returns:
            [4 n, 415] raw, n >= 0: the frames after those that were given out before.
        """
        self._held = latent if self._held is None else torch.cat([self._held, latent])
        stop = self._first + len(self._held)
        ready = stop if last else max(self._done, stop - self.ahead)
        if ready == self._done:
            return latent.new_zeros(0, GESTURE_WIDTH)
        known = self._held[: ready + self.context - self._first]
        if not last and foreseen is not None:
            known = torch.cat([known, foreseen[: ready + self.context - self._first - len(known)]])
        wanted = slice(self._done - self._first, ready - self._first)
        frames = self.tokenizer.decode_latents(known[None], wanted)[0].float()
        first = max(0, ready - self.context)
        self._held, self._first, self._done = self._held[first - self._first :], first, ready
        return frames
