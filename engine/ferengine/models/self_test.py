"""Eight synthetic faces whose logits each manifest holds: what a backend must give on any machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.models.network_io import CropFormat

COUNT = 8


def self_test_crops(size: int) -> NDArray[np.uint8]:
    """An oval with two eyes and a mouth of eight shapes.

    They are drawn in integer arithmetic alone, so that every machine makes the same pixels.

    Args:
        size: The side of the crops, pixels.

    Returns:
        Grey crops, uint8 (8, size, size).
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.int64) * 96 // size
    crops = np.empty((COUNT, size, size), np.uint8)
    for number in range(COUNT):
        values = 40 + 9 * number + (x * (number + 3) + 2 * y) // 12
        values = np.where((x - 48) ** 2 * 16 + (y - 52) ** 2 * 9 < 24000, 150 + 8 * number - (x - 48) ** 2 // 30, values)
        for centre in (30, 66):
            eye = (x - centre) ** 2 * (1 + number % 3) + (y - 38) ** 2 * 4 < 160
            brow = (abs(x - centre) < 11) & (abs(y - 26 - (number % 4) + (x - centre) * (number - 4) // 12) < 3)
            values = np.where(eye | brow, 30 + 5 * number, values)
        curve = (x - 48) ** 2 * (number - 4) // 400
        mouth = (abs(x - 48) < 18) & (abs(y - 76 + curve) < 2 + number % 5)
        values = np.where(mouth, 60 + 3 * number, values)
        crops[number] = np.clip(values, 0, 255)
    return crops


def probe_crops(crop: CropFormat) -> NDArray[np.uint8]:
    """Crops on which any network must give finite numbers: two faces of the self-test, black, white and noise.

    Args:
        crop: What the network takes.

    Returns:
        uint8 (5, S, S), or in colour (5, 3, S, S).
    """
    size = crop.size
    noise = np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8)
    faces = self_test_crops(size)[:2]
    if crop.channels == 1:
        return np.stack([*faces, np.zeros((size, size), np.uint8), np.full((size, size), 255, np.uint8), noise[0]])
    shades = np.array([4, 3, 2])[:, None, None]  # in colour, so that the order of the planes shows
    in_colour = [(face * shades // 4).astype(np.uint8) for face in faces.astype(np.int64)]
    return np.stack([*in_colour, np.zeros((3, size, size), np.uint8), np.full((3, size, size), 255, np.uint8), noise])
