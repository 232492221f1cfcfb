"""What the app takes and how long it keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one server."""

    upload_bytes: int  # of one sound file
    longest_s: float  # of one recording
    keep_s: float  # after which a take that nobody asked for is dropped
    takes: int  # kept at once; the oldest goes first
