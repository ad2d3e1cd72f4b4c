"""How sharp and how well lit a face is, measured on the crop that the classifier sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box, Quality

MEASURES = 3
"""Sharpness, brightness and contrast."""

_SIDE = 48
"""Pixels at which the sharpness is measured; larger crops are thinned out to about this size."""


def measure_crops(batch: NDArray[np.float32] | NDArray[np.uint8], mean: float, std: float) -> NDArray[np.float32]:
    """Measure a batch of crops.

    The sharpness is the standard deviation of the Laplacian (J. L. Pech-Pacheco et al., "Diatom Autofocusing in Brightfield
    Microscopy", ICPR 2000, takes its variance) over that of the intensities, so that it does not change with the contrast.

    Args:
        batch: Normalised crops, float32 (n, 1, S, S); or crops as they are, uint8, with a mean of 0 and ``std`` 1.
        mean: The intensity that was subtracted.
        std: What it was divided by.

    Returns:
        float32 (n, MEASURES): sharpness, and brightness and contrast in intensities.
    """
    if not len(batch):
        return np.empty((0, MEASURES), np.float32)
    step = max(1, batch.shape[-1] // _SIDE)
    crops = batch[:, 0, ::step, ::step].astype(np.float32, copy=False)
    flat = crops.reshape(len(crops), -1)
    inner = crops[:, 1:-1, 1:-1]
    laplacian = crops[:, :-2, 1:-1] + crops[:, 2:, 1:-1] + crops[:, 1:-1, :-2] + crops[:, 1:-1, 2:] - 4 * inner
    measures = np.empty((len(crops), MEASURES), np.float32)
    contrast = _deviation(flat)
    measures[:, 0] = _deviation(laplacian.reshape(len(crops), -1)) / np.maximum(contrast, 1 / std)
    measures[:, 1] = flat.mean(axis=1) * std + mean
    measures[:, 2] = contrast * std
    return measures


def make_quality(box: Box, measures: NDArray[np.float32]) -> Quality:
    """One face's quality, from its box in pixels and its row of ``measure_crops``."""
    sharpness, brightness, contrast = measures.tolist()
    return Quality(math.sqrt(max(0.0, box[2] * box[3])), sharpness, brightness, contrast)


def _deviation(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The standard deviation of each row; ``np.std`` takes twice as long."""
    mean = rows.mean(axis=1)
    variance: NDArray[np.float32] = np.einsum("ij,ij->i", rows, rows) / np.float32(rows.shape[1]) - mean * mean
    return np.sqrt(np.maximum(variance, 0))
