"""Cuts the classifier's crops straight from a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine import _native
from ferengine.detection.base import Detections
from ferengine.errors import UsageError
from ferengine.tracking.crop_geometry import Square, face_square


class FaceCropper:
    """Grey square crops of ``size`` pixels; with ``align`` turned so that the eyes are level."""

    def __init__(self, size: int, align: bool = False) -> None:
        if size < 1:
            raise UsageError(f"the size of a crop must be at least 1 pixel, not {size}")
        self.size = size
        self.align = align

    def squares(self, detections: Detections) -> NDArray[np.float32]:
        """The squares of n detected faces: float32 (n, 4), cx, cy, side in pixels, angle in radians."""
        squares = np.empty((len(detections), 4), np.float32)
        for index, box in enumerate(detections.boxes.tolist()):
            landmarks = None if detections.landmarks is None else detections.landmarks[index]
            squares[index] = face_square(tuple(box), landmarks, self.align)
        return squares

    def crop(self, frame: NDArray[np.uint8], squares: NDArray[np.float32] | Sequence[Square]) -> NDArray[np.uint8]:
        """The n ``squares`` (n, 4) of ``frame``, BGR uint8 (H, W, 3), grey: uint8 (n, size, size).

        Area-averaged; beyond the frame its border pixels are repeated.
        """
        where = np.ascontiguousarray(squares, np.float32).reshape(-1, 4)
        crops = np.empty((len(where), self.size, self.size), np.uint8)
        _native.crop_faces(frame, where, crops)
        return crops
