"""The images that the stages are measured on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.vision import cv2

Frame = NDArray[np.uint8]


def crowd(width: int, height: int, faces: int) -> Frame:
    """Return copies of one portrait in rows, BGR uint8 (height, width, 3).

    Raises:
        MissingDependencyError: The extra ``demo`` is missing.
    """
    columns = math.ceil(math.sqrt(faces))
    tile = min(width, height) // columns
    frame = np.full((height, width, 3), 90, np.uint8)
    for index in range(faces):
        row, column = divmod(index, columns)
        portrait = cv2.resize(ASTRONAUT.load(), (tile, tile), interpolation=cv2.INTER_AREA)
        frame[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile] = portrait
    return frame


def circling(side: int, frames: int = 6) -> tuple[list[Frame], Box]:
    """A textured square of ``side`` pixels that circles by a tenth of its side over a blurred ground, BGR uint8
    (1080, 1920, 3), and where it is in the first frame."""
    rng = np.random.default_rng(1)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (1080, 1920, 3), np.uint8), (0, 0), 3)
    face = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    images = []
    for step in range(frames):
        x, y = (round(at + side / 10 * turn(step * math.pi / 6)) for at, turn in ((800, math.cos), (400, math.sin)))
        image = ground.copy()
        image[y : y + side, x : x + side] = face
        images.append(np.asarray(image, np.uint8))
    return images, (round(800 + side / 10), 400.0, float(side), float(side))
