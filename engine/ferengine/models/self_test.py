"""Eight synthetic faces whose logits each manifest holds: what a backend must give on any machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COUNT = 8


def self_test_crops(size: int) -> NDArray[np.uint8]:
    """uint8 (8, size, size): an oval with two eyes and a mouth of eight shapes, in whole-number arithmetic alone, so that
    every machine and every NumPy makes the same pixels."""
    y, x = np.mgrid[0:size, 0:size].astype(np.int64) * 96 // size
    crops = np.empty((COUNT, size, size), np.uint8)
    for number in range(COUNT):
        levels = 40 + 9 * number + (x * (number + 3) + 2 * y) // 12
        levels = np.where((x - 48) ** 2 * 16 + (y - 52) ** 2 * 9 < 24000, 150 + 8 * number - (x - 48) ** 2 // 30, levels)
        for centre in (30, 66):
            eye = (x - centre) ** 2 * (1 + number % 3) + (y - 38) ** 2 * 4 < 160
            brow = (abs(x - centre) < 11) & (abs(y - 26 - (number % 4) + (x - centre) * (number - 4) // 12) < 3)
            levels = np.where(eye | brow, 30 + 5 * number, levels)
        curve = (x - 48) ** 2 * (number - 4) // 400
        mouth = (abs(x - 48) < 18) & (abs(y - 76 + curve) < 2 + number % 5)
        levels = np.where(mouth, 60 + 3 * number, levels)
        crops[number] = np.clip(levels, 0, 255)
    return crops
