"""What the C++ crop has to give, in plain NumPy: the tests compare with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES = 8


def grey_levels(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """ITU-R BT.601 luma in 14-bit integers, rounded for each source pixel."""
    if frame.ndim == 2:
        return frame.astype(np.float64)
    blue, green, red = (frame[..., channel].astype(np.int64) for channel in range(3))
    return ((1868 * blue + 9617 * green + 4899 * red + 8192) >> 14).astype(np.float64)


def covered(edges: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """(intervals, length): the fraction of each interval between edges that lies on each pixel, borders repeated."""
    pixels = np.arange(length)
    low = np.where(pixels == 0, -np.inf, 0.0)
    high = np.where(pixels == length - 1, np.inf, 1.0)
    reach = np.clip(edges[:, None] - pixels, low, high)  # antiderivative of "coordinate t falls on pixel p"
    fractions: NDArray[np.float64] = np.diff(reach, axis=0) / np.diff(edges)[:, None]
    return fractions


def _bilinear(grey: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = grey.shape
    x = np.clip(x - 0.5, 0, width - 1)
    y = np.clip(y - 0.5, 0, height - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    x, y = x - x0, y - y0
    upper = grey[y0, x0] * (1 - x) + grey[y0, x1] * x
    lower = grey[y1, x0] * (1 - x) + grey[y1, x1] * x
    levels: NDArray[np.float64] = upper * (1 - y) + lower * y
    return levels


def reference_crop(frame: NDArray[np.uint8], square: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """The grey level of each of ``size`` x ``size`` pixels of ``square`` (cx, cy, side, angle; see ``geometry``) in
    ``frame``, grey or BGR uint8: float64 (size, size), before rounding.

    Area-averaged where the square is upright and no smaller than the crop, else the mean of bilinear samples, at most
    ``MAX_SAMPLES`` x ``MAX_SAMPLES`` a pixel; beyond the frame its border pixels are repeated.
    """
    cx, cy, side, angle = (float(value) for value in square)
    grey = grey_levels(frame)
    step = side / size
    if angle == 0 and side >= size:
        steps = np.arange(size + 1, dtype=np.float64) * step - side / 2
        crop: NDArray[np.float64] = covered(cy + steps, grey.shape[0]) @ grey @ covered(cx + steps, grey.shape[1]).T
        return crop
    samples = int(np.clip(np.ceil(step), 1, MAX_SAMPLES))
    along = (np.arange(size * samples) + 0.5) / samples * step - side / 2
    u, v = along[None, :], along[:, None]
    x = cx + u * np.cos(angle) - v * np.sin(angle)
    y = cy + u * np.sin(angle) + v * np.cos(angle)
    means: NDArray[np.float64] = _bilinear(grey, x, y).reshape(size, samples, size, samples).mean(axis=(1, 3))
    return means
