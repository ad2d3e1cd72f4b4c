"""The appearance of a face as a small normalised grey thumbnail, compared by correlation."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box
from ferengine.vision import cv2

SIDE = 24
"""Width and height of a thumbnail in pixels: coarse enough to tolerate an offset of a pixel and a moving mouth."""

_FLAT = 2.0 * SIDE
"""Norm of a thumbnail whose intensities have a standard deviation of 2 of 255: below it nothing can be recognised."""

_MAX_LOOKS = 5
_KNOWN_LOOK = 0.8
"""Similarity from which a thumbnail shows nothing new."""


def thumbnail(image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """Return the normalised thumbnail of a part of an image.

    Args:
        image: BGR uint8 (H, W, 3).
        box: x, y, w, h in pixels.

    Returns:
        float32 (SIDE * SIDE,), grey, with mean 0 and norm 1, so that a dot product is the normalised cross-correlation; all
        zeros if the box is outside the image or covers a flat patch.
    """
    height, width = image.shape[:2]
    x, y, w, h = box
    left, right = max(0, math.floor(x + 0.5)), min(width, math.floor(x + w + 0.5))
    top, bottom = max(0, math.floor(y + 0.5)), min(height, math.floor(y + h + 0.5))
    if right <= left or bottom <= top:
        return np.zeros(SIDE * SIDE, np.float32)
    small = cv2.resize(image[top:bottom, left:right], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32).ravel()
    grey -= grey.mean()
    norm = float(np.linalg.norm(grey))
    return grey / norm if norm > _FLAT else np.zeros_like(grey)


class Looks:
    """How one face has looked, in a few thumbnails that differ: a face that has turned is still like one of them.

    Only sure thumbnails are kept for long: one of a face that is half hidden is like any other behind the same thing.
    """

    def __init__(self) -> None:
        self._sure: deque[NDArray[np.float32]] = deque(maxlen=_MAX_LOOKS)
        self._last: NDArray[np.float32] | None = None

    def add(self, template: NDArray[np.float32], sure: bool) -> None:
        """Remember a thumbnail, in place of the last one; a ``sure`` one for longer where it is unlike the others."""
        self._last = template
        if sure and max((similarity(template, other) for other in self._sure), default=0.0) < _KNOWN_LOOK:
            self._sure.append(template)

    def similarity(self, template: NDArray[np.float32]) -> float:
        """Return the largest similarity with what is remembered, in [0, 1]."""
        known = [*self._sure, self._last] if self._last is not None else [*self._sure]
        return max((similarity(template, other) for other in known), default=0.0)


def similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the normalised cross-correlation of two thumbnails, clipped to [0, 1]."""
    return min(1.0, max(0.0, float(a @ b)))
