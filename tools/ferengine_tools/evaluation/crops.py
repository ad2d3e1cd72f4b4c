"""Test-time views of a face: one, with its mirror image, or ten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine_tools.evaluation.ensemble import Ensemble

Views = Literal[1, 2, 10]
MARGIN = 1 / 24
"""How far the four outer views of ten are moved, as a fraction of the side: 2 of 48 pixels."""


def views(images: NDArray[np.uint8], count: Views) -> Iterator[NDArray[np.uint8]]:
    """Yield views of faces: the face itself, its mirror image, and both moved to the four corners.

    After A. Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, section 4.1. The
    faces keep the scale that the network was trained on; beyond the image the pixels of its border are repeated.

    Args:
        images: Grayscale, uint8 (N, S, S).
        count: How many views.

    Yields:
        A view of all faces, uint8 (N, S, S).
    """
    for moved in _moved(images) if count == 10 else [images]:
        yield moved
        if count > 1:
            yield np.ascontiguousarray(moved[:, :, ::-1])


def _moved(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    side = images.shape[1]
    margin = max(1, round(MARGIN * side))
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    for top, left in ((margin, margin), (0, 0), (0, 2 * margin), (2 * margin, 0), (2 * margin, 2 * margin)):
        yield np.ascontiguousarray(padded[:, top : top + side, left : left + side])


def probabilities(ensemble: Ensemble, images: NDArray[np.uint8], count: Views) -> NDArray[np.float64]:
    """Return the mean of the ensemble's probabilities over ``count`` views of ``images``, float64 (N, labels)."""
    total = np.zeros((len(images), len(ensemble.labels)))
    for view in views(images, count):
        total += ensemble.probabilities(ensemble.logits(view))
    return total / count
