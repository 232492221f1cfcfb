"""Mel cepstra: the numbers of `librosa.feature.mfcc` on the whole clip, at motion rate.

librosa cuts decibels 80 below the clip's loudest band, which is known only at the end. So mel spectra are
spooled to a temporary file (in memory up to 32 MB, which is 10 minutes; on disk beyond), and cut and
transformed in a second pass.

Shapes: K spectral frames, M mel bands, W coefficients, T motion frames.
"""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile

import numpy as np
from numpy.typing import NDArray

from omniges.errors import ShapeError
from omniges.features.resample import frames_from_blocks

_SPOOL_BYTES = 32 * 2**20
_ROWS = 1024


class MelSpool:
    """The mel spectra of one clip, taken in at once and given back in blocks, with their maximum known.

    Use it as a context manager; the temporary file goes with it.
    """

    def __init__(self, log_mel: Iterable[NDArray[np.float32]]) -> None:
        """Take in blocks [k_i, M] of dB; all of them, before anything else happens."""
        self.maximum_db, self.n_mels = -np.inf, 0
        self._file = SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - closed by __exit__
        for block in log_mel:
            self.maximum_db, self.n_mels = max(self.maximum_db, float(block.max())), block.shape[1]
            self._file.write(np.ascontiguousarray(block, np.float32).tobytes())
        if self.n_mels == 0:
            raise ShapeError("MelSpool: got no spectra, wanted at least one.")

    def __enter__(self) -> "MelSpool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """[k_j, M] dB, K rows in all."""
        self._file.seek(0)
        while raw := self._file.read(_ROWS * self.n_mels * 4):
            yield np.frombuffer(raw, np.float32).reshape(-1, self.n_mels)


def mfcc_blocks(spool: MelSpool, n_mfcc: int, top_db: float) -> Iterator[NDArray[np.float32]]:
    """Cepstra of mel spectra: cut at `top_db` below the maximum, then an orthonormal DCT-II.

    Args:
        spool: K spectra of M bands.
        n_mfcc: coefficients kept, W <= M.
        top_db: decibels.

    Returns:
        Blocks [k_j, W], K rows in all.
    """
    for decibels in _cut(spool, n_mfcc, top_db):
        yield _cepstra(decibels, n_mfcc)


def mfcc_frames(
    spool: MelSpool, n_frames: int, *, n_mfcc: int, top_db: float, hop_s: float, fps: float
) -> Iterator[NDArray[np.float32]]:
    """Cepstra at motion rate, cut at `top_db` below the maximum.

    Spectra are brought to motion rate before they are transformed: the transform is linear, so it may come
    last, where there are fewer of them.

    Args:
        spool: K spectra; number k is centred on second k * hop_s.
        n_frames: T.
        n_mfcc: W.
        top_db: decibels below the clip's maximum that are kept.
        hop_s: seconds from spectrum to spectrum.
        fps: motion frames a second.

    Returns:
        Blocks [t_i, W], T rows in all.
    """
    cut = _cut(spool, n_mfcc, top_db)
    for decibels in frames_from_blocks(cut, n_frames, fps=fps, first_s=0.0, step_s=hop_s):
        yield _cepstra(decibels, n_mfcc)


def _cut(spool: MelSpool, n_mfcc: int, top_db: float) -> Iterator[NDArray[np.float32]]:
    if n_mfcc > spool.n_mels:
        raise ShapeError(
            f"mfcc: got {n_mfcc} coefficients of {spool.n_mels} mel bands; mfcc.n_mfcc can't be above "
            "mfcc.n_mels."
        )
    floor_db = np.float32(spool.maximum_db - top_db)
    for decibels in spool.blocks():
        yield np.maximum(decibels, floor_db)


def _cepstra(decibels: NDArray[np.float32], n_mfcc: int) -> NDArray[np.float32]:
    from scipy import fft

    found: NDArray[np.float32] = fft.dct(decibels, type=2, norm="ortho", axis=1)[:, :n_mfcc]
    return found
