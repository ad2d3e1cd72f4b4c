"""How often a label changes though the face does not: under a shift of one pixel, and in the mirror."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEIGHBOURS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)


@dataclass(frozen=True)
class Stability:
    """Fractions of the faces, 0 to 1, whose label changes.

    Attributes:
        shift: When the crop is moved by one pixel, the mean over the eight directions.
        mirror: When it is mirrored.
    """

    shift: float
    mirror: float


def measure_stability(
    read: Callable[[NDArray[np.uint8]], NDArray[np.intp]], images: NDArray[np.uint8], margin: int = 0
) -> Stability:
    """After A. Azulay, Y. Weiss, "Why do deep convolutional networks generalize so poorly to small image transformations?",
    JMLR 2019.

    Args:
        read: grayscale crops, uint8 (N, S, S), to their labels, (N,).
        images: uint8 (N, S + 2 ``margin``, the same), N >= 1; the crops are their middle.
        margin: pixels of the photograph around each crop; without any, the border's pixels are repeated.
    """
    if not margin:
        images, margin = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge"), 1
    side = images.shape[1] - 2 * margin

    def moved(down: int, right: int) -> NDArray[np.uint8]:
        top, left = margin + down, margin + right
        return np.ascontiguousarray(images[:, top : top + side, left : left + side])

    labels = read(moved(0, 0))
    changed = [np.mean(read(moved(*step)) != labels) for step in _NEIGHBOURS]
    mirrored = read(np.ascontiguousarray(moved(0, 0)[:, :, ::-1]))
    return Stability(float(np.mean(changed)), float(np.mean(mirrored != labels)))
