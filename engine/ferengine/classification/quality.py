"""How sharp and how well lit a face is, measured on its crop before that is stretched for the classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

import numpy as np
from numpy.typing import NDArray

from ferengine.models.settings import Planes
from ferengine.results import Box, Quality

MEASURES = 3
"""Sharpness, brightness and contrast."""

_SIDE = 48
"""Pixels at which the sharpness is measured; larger crops are shrunk to this size."""

_RGB = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma."""


def measure_crops(
    batch: NDArray[np.float32] | NDArray[np.uint8],
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    planes: Planes = "grey",
) -> NDArray[np.float32]:
    """Measure a batch of crops.

    The sharpness is the standard deviation of the Laplacian (J. L. Pech-Pacheco et al., "Diatom Autofocusing in Brightfield
    Microscopy", ICPR 2000, takes its variance) over that of the intensities, so that it does not change with the contrast.

    Args:
        batch: Normalised crops, float32 (n, 1, S, S) or in colour (n, 3, S, S); or crops as they are, uint8, with a mean of 0
            and ``std`` 1.
        mean: The intensity that was subtracted, of each plane.
        std: What it was divided by.
        planes: What the planes show. Colours are measured by their luma.

    Returns:
        float32 (n, MEASURES): sharpness, and brightness and contrast in intensities.
    """
    if not len(batch):
        return np.empty((0, MEASURES), np.float32)
    if batch.shape[-1] > _SIDE:
        batch = _shrunk(batch)
    if planes == "grey":
        offset, scale, crops = mean[0], std[0], batch[:, 0].astype(np.float32, copy=False)
    else:
        weights = _RGB if planes == "rgb" else _RGB[::-1]
        offset, scale = sum(map(mul, weights, mean)), 1.0
        crops = np.einsum("ncij,c->nij", batch.astype(np.float32, copy=False), np.array([*map(mul, weights, std)], np.float32))
    flat = crops.reshape(len(crops), -1)
    inner = crops[:, 1:-1, 1:-1]
    laplacian = crops[:, :-2, 1:-1] + crops[:, 2:, 1:-1] + crops[:, 1:-1, :-2] + crops[:, 1:-1, 2:] - 4 * inner
    measures = np.empty((len(crops), MEASURES), np.float32)
    contrast = _deviation(flat)
    measures[:, 0] = _deviation(laplacian.reshape(len(crops), -1)) / np.maximum(contrast, 1 / scale)
    measures[:, 1] = flat.mean(axis=1) * scale + offset
    measures[:, 2] = contrast * scale
    return measures


def make_quality(box: Box, measures: NDArray[np.float32]) -> Quality:
    """One face's quality, from its box in pixels and its row of ``measure_crops``."""
    sharpness, brightness, contrast = measures.tolist()
    return Quality(math.sqrt(max(0.0, box[2] * box[3])), sharpness, brightness, contrast)


def _shrunk(batch: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Crops at ``_SIDE``, linear between the two pixels around each place."""
    places = (np.arange(_SIDE) + 0.5) * batch.shape[-1] / _SIDE - 0.5
    low = places.astype(int)
    right = (places - low).astype(np.float32)
    rows = batch[..., low, :] * (1 - right)[:, None] + batch[..., low + 1, :] * right[:, None]
    shrunk: NDArray[np.float32] = rows[..., low] * (1 - right) + rows[..., low + 1] * right
    return shrunk


def _deviation(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The standard deviation of each row; ``np.std`` takes twice as long."""
    mean = rows.mean(axis=1)
    variance: NDArray[np.float32] = np.einsum("ij,ij->i", rows, rows) / np.float32(rows.shape[1]) - mean * mean
    return np.sqrt(np.maximum(variance, 0))
