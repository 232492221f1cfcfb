"""How a long clip is covered: windows that each continue the tokens that the one before has settled."""

from collections.abc import Sequence
from dataclasses import dataclass

from omniges.errors import ConfigError
from omniges.motion.layout import FRAMES_PER_CODE


@dataclass(frozen=True)
class Window:
    """A stretch of tokens that is generated at once."""

    start: int  # first token
    past: int  # tokens at its start that are settled and continued
    keep: int  # tokens of the clip up to this one are settled afterwards
    last: bool  # the clip ends at `keep`, and nothing goes on from there


@dataclass(frozen=True)
class Cover:
    """Window sizes in tokens."""

    window: int
    overlap: int
    lookahead: int

    @classmethod
    def of_frames(cls, window_frames: int, overlap_frames: int, lookahead_frames: int) -> "Cover":
        """Convert from frames.

        Raises:
            ConfigError: a size is no multiple of 4 frames, or nothing new would be left of a window.
        """
        named = {"window": window_frames, "overlap": overlap_frames, "lookahead": lookahead_frames}
        for name, frames in named.items():
            if frames % FRAMES_PER_CODE:
                raise ConfigError(
                    f"sampling.{name}_frames: got {frames}, wanted a multiple of {FRAMES_PER_CODE} "
                    "(frames a code)."
                )
        if window_frames <= overlap_frames + lookahead_frames:
            raise ConfigError(
                f"sampling.window_frames: got {window_frames}, wanted more than "
                f"overlap_frames + lookahead_frames = {overlap_frames + lookahead_frames}, "
                "or no window would add anything."
            )
        return cls(*(frames // FRAMES_PER_CODE for frames in named.values()))

    def after(self, settled: int, n_tokens: int | None) -> Window:
        """The window that goes on from `settled` tokens.

        Args:
            settled: tokens that are settled already.
            n_tokens: tokens of the clip, more than `settled`; None while nobody knows where it ends.
        """
        past = min(self.overlap, settled)
        stop = settled - past + self.window
        ends_clip = n_tokens is not None and stop >= n_tokens
        keep = n_tokens if n_tokens is not None and ends_clip else stop - self.lookahead
        return Window(start=settled - past, past=past, keep=keep, last=ends_clip)

    def length(self, windows: Sequence[Window], span: int) -> int:
        """Tokens that some windows take side by side: none that all of them have padded.

        Args:
            windows: at least one.
            span: tokens that the length is a multiple of, where the whole window is one.
        """
        longest = max(window.keep - window.start if window.last else self.window for window in windows)
        return min(self.window, -(-longest // span) * span)

    def plan(self, n_tokens: int) -> list[Window]:
        """Windows that settle every one of `n_tokens` tokens, in order."""
        windows, settled = [], 0
        while settled < n_tokens:
            windows.append(self.after(settled, n_tokens))
            settled = windows[-1].keep
        return windows
