"""Eight synthetic faces whose logits each manifest holds: what a backend must give on any machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
