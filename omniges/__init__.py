"""Omniges: gesture from speech, as a reproducible pipeline."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("omniges")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
