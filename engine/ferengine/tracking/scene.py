"""Cuts: frames that show another scene than the frame before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Rows and columns of the sample of a frame."""

CUT = 0.45
"""Correlation of the samples of two frames below which the second shows another scene. Measured: at most 0.33 over 26 cuts;
at least 0.53 between other frames of hand-held film in the dark, 0.86 of a crowd, 0.95 of talking heads."""

_FLAT = 3.0
"""Standard deviation of intensities, of 255, below which a sample shows nothing: a black frame, a fade."""


class SceneCuts:
    """Finds cuts by the correlation of coarse samples of the frames, which brightness and contrast do not change.

    A frame that shows nothing is passed over: what comes after it is compared with what came before. Not thread-safe.
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Return whether a frame shows another scene than the one before.

        Args:
            frame: BGR uint8 (H, W, 3), of the size of the one before.
        """
        sample = _sample(frame)
        norm = float(np.linalg.norm(sample))
        if norm < _FLAT * np.sqrt(sample.size):
            return False
        sample /= norm
        last, self._last = self._last, sample
        return last is not None and last.shape == sample.shape and float(last @ sample) < CUT


def _sample(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Green of at most SIDE x SIDE pixels, evenly spread, float32 (n,), its mean taken off."""
    rows, columns = (max(1, length // SIDE) for length in frame.shape[:2])
    green = frame[rows // 2 :: rows, columns // 2 :: columns, 1][:SIDE, :SIDE].astype(np.float32).ravel()
    green -= green.mean()
    return green
