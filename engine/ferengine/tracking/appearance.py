"""The appearance of a face as a small vector of what makes it unlike the mean face, compared by correlation.

Two faces cut out alike are alike: of random pairs of people the thumbnails themselves correlate by 0.25 in the median and by
0.7 in one pair of fifty. What the mean face leaves over does not (0.0 and 0.53), as in M. Turk, A. Pentland, "Eigenfaces for
Recognition", J. Cognitive Neuroscience 1991; its fine details are left out, and its coarse ones, which change with the light
and the pose, are weakened.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box
from ferengine.vision import cv2

SIDE = 24
"""Width and height of a thumbnail in pixels."""

_FLAT = 2.0 * SIDE
"""Norm of a thumbnail whose intensities have a standard deviation of 2 of 255: below it nothing can be recognised."""

_SAMPLES = 2
"""Rows and columns of the image that are read for each of a thumbnail, of what is larger: its details are not kept anyway."""

_BAND = 8
"""Frequencies of the cosine transform that are kept: coarse enough to tolerate an offset of a pixel and a moving mouth."""

_MEAN_FACE = np.array(
    [
        [0.0, -0.254, -0.085, -0.055], [0.177, -0.095, -0.017, -0.022], [-0.057, -0.157, -0.013, 0.016],
        [0.092, 0.005, -0.065, -0.011], [0.062, -0.045, 0.009, 0.022], [-0.147, 0.056, 0.027, 0.001],
        [-0.164, 0.042, 0.054, 0.013], [0.002, -0.001, -0.026, -0.002],
    ],
    np.float32,
)  # fmt: skip
"""Of 1,146 ordinary faces as MTCNN frames them: the coefficients of even horizontal frequencies, down and across; those of the
others vanish, as it is symmetric."""

_FREQUENCY = np.hypot(*np.mgrid[:_BAND, :_BAND])
_KEPT = (_FREQUENCY > 0) & (_FREQUENCY < _BAND)
_MEAN = np.zeros((_BAND, _BAND), np.float32)
_MEAN[:, ::2] = _MEAN_FACE
_BASIS = (
    np.sqrt(np.where(np.arange(_BAND) > 0, 2, 1) / SIDE)[:, None]
    * np.cos(np.pi * np.arange(_BAND)[:, None] * (np.arange(SIDE) + 0.5) / SIDE)
).astype(np.float32)
"""The orthonormal cosines, (_BAND, SIDE)."""

MEAN_DIRECTION: NDArray[np.float32] = _MEAN[_KEPT] / np.linalg.norm(_MEAN[_KEPT])
"""Of the mean face, which is taken off all appearances: float32 (LENGTH,) with norm 1."""

LENGTH = int(_KEPT.sum())
"""Of the vector of an appearance."""

_TINY = 1e-6


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
    step = max(1, min(right - left, bottom - top) // (_SAMPLES * SIDE))
    small = cv2.resize(image[top:bottom:step, left:right:step], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32).ravel()
    grey -= grey.mean()
    norm = float(np.linalg.norm(grey))
    return grey / norm if norm > _FLAT else np.zeros_like(grey)


def appearance(image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """Return how a face differs from the mean face.

    Args:
        image: BGR uint8 (H, W, 3).
        box: x, y, w, h in pixels.

    Returns:
        float32 (LENGTH,) with norm 1, so that a dot product is a correlation: cosine coefficients of the ``thumbnail`` without
        those of the mean face; all zeros where that is.
    """
    grey = thumbnail(image, box).reshape(SIDE, SIDE)
    if not grey.any():
        return np.zeros(LENGTH, np.float32)
    vector: NDArray[np.float32] = (_BASIS @ grey @ _BASIS.T - _MEAN)[_KEPT]
    return vector / max(float(np.linalg.norm(vector)), _TINY)


def similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the correlation of two appearances or thumbnails, clipped to [0, 1]."""
    return min(1.0, max(0.0, float(a @ b)))
