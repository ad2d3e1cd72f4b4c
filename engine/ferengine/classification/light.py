"""Faces in poor light, made as bright and as rich in contrast as the networks know them from training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL_CONTRAST = 25.0
"""Standard deviation of a crop's intensities from which on it stays as it is. About 1 % of ordinary faces have less."""

_MAX_GAIN = 8.0
"""What is amplified further is noise."""

_MIDDLE = 128.0
"""Mean intensity that a crop is not made brighter than."""


def contrast_of(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The standard deviation of each crop's intensities, float32 (n,), as ``Quality.contrast`` has it.

    Args:
        crops: Grey, uint8 (n, S, S).
    """
    deviations: NDArray[np.float32] = np.asarray(crops, np.float32).std(axis=(1, 2))
    return deviations


def lightened(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crops as a network sees them: themselves, or a copy where ``lighten`` changes some.

    Args:
        crops: Grey, uint8 (n, S, S).
    """
    contrast = contrast_of(crops)
    if not (contrast < FULL_CONTRAST).any():
        return crops
    crops = crops.copy()
    lighten(crops, contrast)
    return crops


def lighten(
    batch: NDArray[np.float32] | NDArray[np.uint8], contrast: NDArray[np.float32], mean: float = 0.0, std: float = 1.0
) -> None:
    """Stretch the crops of less than ``FULL_CONTRAST``, in place; the others stay as they are to the bit.

    Their intensities v become g (v - m) + m', rounded, where m is their mean and g = ``FULL_CONTRAST`` / contrast is what lifts
    the contrast to the full one, at most 8. The mean grows as under more light, m' = g m, but not beyond 128, where it would
    not have to be that high already. That leaves faces at the threshold where they are (g = 1). A crop of one
    intensity has nothing to stretch and stays as it is.

    Args:
        batch: Grey crops, (n, 1, S, S) or (n, S, S): uint8, or float32 as they were normalised.
        contrast: Of each crop, in intensities, (n,).
        mean: The intensity that was subtracted; 0 for uint8.
        std: What it was divided by; 1 for uint8.
    """
    dark = np.flatnonzero(contrast < FULL_CONTRAST)
    if not len(dark):
        return
    rows = np.rint(batch[dark].reshape(len(dark), -1) * np.float32(std) + np.float32(mean))
    middle, deviation = rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
    gain = np.clip(np.float32(FULL_CONTRAST) / np.maximum(deviation, np.float32(0.01)), 1, _MAX_GAIN)
    lifted = np.where(deviation > 0, np.maximum(middle, np.minimum(middle * gain, np.float32(_MIDDLE))), middle)
    stretched = np.clip(np.rint((rows - middle) * gain + lifted), 0, 255)
    batch[dark] = ((stretched - np.float32(mean)) / np.float32(std)).reshape(len(dark), *batch.shape[1:])
