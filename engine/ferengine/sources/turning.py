"""Turns images by quarter turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.vision import cv2

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def rotate_image(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """``image``, uint8 (H, W, 3), turned clockwise by ``degrees``, rounded to quarter turns; itself for none."""
    turn = _TURNS.get(round(degrees / 90) * 90 % 360)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)
