"""A drawn face that both detectors find: a test image that needs no file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 320
"""Width and height of the image, pixels."""
_ACROSS, _DOWN = 74.0, 100.0
"""Half the face's width and height, pixels; the values below are in these units, from its centre."""
_EYES = ((-0.42, -0.18), (0.42, -0.18))

EYES: tuple[tuple[float, float], ...] = tuple((SIDE / 2 + _ACROSS * x, SIDE / 2 + _DOWN * y) for x, y in _EYES)
"""x, y of the eyes in pixels, the viewer's left one first."""

_HAIR, _SKIN, _BROW, _WHITE, _PUPIL = (40, 45, 55), (150, 175, 215), (45, 55, 70), (230, 235, 240), (40, 40, 45)
_SOCKET, _NOSTRIL, _RIDGE, _SHADE, _LIPS, _MOUTH = (
    (110, 130, 165), (70, 85, 120), (175, 200, 235), (100, 120, 160), (90, 90, 165), (50, 45, 80),
)  # fmt: skip


def drawn_face() -> NDArray[np.uint8]:
    """Draw the face, BGR uint8 (SIDE, SIDE, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    u, v = (x - SIDE / 2) / _ACROSS, (y - SIDE / 2) / _DOWN
    image = np.full((SIDE, SIDE, 3), (150.0, 140.0, 130.0))

    def oval(x: float, y: float, a: float, b: float, soft: float) -> NDArray[np.float64]:
        """How much of each pixel is inside the ellipse about (x, y) with half axes a and b."""
        distance = np.sqrt(((u - x) / a) ** 2 + ((v - y) / b) ** 2)
        inside: NDArray[np.float64] = np.clip((1 - distance) / soft + 0.5, 0, 1)
        return inside

    def paint(color: tuple[int, int, int], area: NDArray[np.float64], strength: float = 1.0) -> None:
        image[:] += strength * area[..., None] * (np.array(color) - image)

    paint(_HAIR, oval(0, -0.25, 1.12, 1.0, 0.15))
    paint(_SKIN, oval(0, 0.05, 1, 1, 0.15))
    image *= 1 - 0.25 * (np.clip(np.abs(u), 0, 1) ** 2 * oval(0, 0, 1, 1, 0.15))[..., None]
    for x_eye, y_eye in _EYES:
        paint(_BROW, oval(x_eye, y_eye - 0.2, 0.26, 0.05, 0.6))
        paint(_WHITE, oval(x_eye, y_eye, 0.21, 0.09, 0.4))
        paint(_PUPIL, oval(x_eye, y_eye, 0.10, 0.09, 0.4))
        paint(_SOCKET, oval(x_eye, y_eye, 0.26, 0.15, 0.6), 0.5)
        paint(_NOSTRIL, oval(x_eye / 3.5, 0.22, 0.07, 0.04, 0.6), 0.6)
    paint(_RIDGE, oval(0, 0.05, 0.10, 0.25, 0.8), 0.35)
    paint(_SHADE, oval(0, 0.27, 0.2, 0.05, 0.8), 0.4)
    paint(_LIPS, oval(0, 0.53, 0.36, 0.09, 0.4))
    paint(_MOUTH, oval(0, 0.52, 0.33, 0.02, 0.8))
    drawn: NDArray[np.uint8] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return drawn
