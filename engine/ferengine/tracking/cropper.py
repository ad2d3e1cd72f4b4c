"""Crops the classifier's faces directly out of a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ferengine import _native
from ferengine.detection.base import Detections
from ferengine.errors import UsageError
from ferengine.models.settings import Planes
from ferengine.tracking.crop_geometry import CropRegion, face_region


class FaceCropper:
    """Crops squares out of frames.

    Args:
        size: Width and height of a crop in pixels.
        align: Rotate crops so that the eyes are level.
        planes: What a crop shows: grey, or three colours.

    Raises:
        UsageError: If the size is less than 1.
    """

    def __init__(self, size: int, align: bool = False, planes: Planes = "grey") -> None:
        if size < 1:
            raise UsageError(f"the size of a crop must be at least 1 pixel, not {size}")
        self.size = size
        self.align = align
        self.planes = planes

    def regions(self, detections: Detections) -> NDArray[np.float32]:
        """Return the crop regions of n detected faces: float32 (n, 4), cx, cy, side in pixels, angle in radians."""
        regions = np.empty((len(detections), 4), np.float32)
        for index, box in enumerate(detections.boxes.tolist()):
            landmarks = None if detections.landmarks is None else detections.landmarks[index]
            regions[index] = face_region(tuple(box), landmarks, self.align)
        return regions

    def crop(self, frame: NDArray[np.uint8], regions: NDArray[np.float32] | Sequence[CropRegion]) -> NDArray[np.uint8]:
        """Crop a frame, area-averaged; beyond the frame its border pixels are repeated.

        Args:
            frame: BGR uint8 (H, W, 3) or grey (H, W).
            regions: (n, 4), as ``regions`` returns them.

        Returns:
            Intensities: uint8 (n, size, size), in colour (n, 3, size, size). The planes of a grey frame are all the same.

        Raises:
            ValueError: If the frame is not such an array, or a region is not finite.
        """
        where = np.ascontiguousarray(regions, np.float32).reshape(-1, 4)
        planes = () if self.planes == "grey" else (3,)
        crops = np.empty((len(where), *planes, self.size, self.size), np.uint8)
        _native.crop_faces(frame, where, crops, order=self.planes)
        return crops
