"""Faces cropped as the running engine crops them, so that networks learn on what they will see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.errors import UsageError
from ferengine.sources.images import deep_pixels
from ferengine.tracking.crop_geometry import CropRegion
from ferengine.tracking.cropper import FaceCropper
from ferengine.vision import cv2

SIDE = 48
"""Pixels on each side of a crop."""

_PADDING, _GRAY = 0.25, (127, 127, 127)
"""Border, in units of the image's longer side, with which a face that fills its image is looked for again."""


class PhotoCropper:
    """MTCNN and the engine's crop; with ``align`` the eyes are levelled. ``min_face`` as in MtcnnDetector."""

    def __init__(self, min_face: float = 40.0, align: bool = False) -> None:
        self._detector = MtcnnDetector(min_face)
        self._cropper = FaceCropper(SIDE, align)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """The faces of ``image``, BGR uint8 (H, W, 3), best first; where there are none, those that show up once the
        image has a gray border."""
        found = self._detector.detect(image)
        if len(found):
            return found
        border = round(_PADDING * max(image.shape[:2]))
        padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT, value=_GRAY)
        found = self._detector.detect(np.asarray(padded, np.uint8))
        landmarks = None if found.landmarks is None else found.landmarks - np.float32(border)
        return Detections(found.boxes - np.array([border, border, 0, 0], np.float32), found.scores, landmarks)

    def crop(self, image: NDArray[np.uint8], faces: Detections, index: int) -> NDArray[np.uint8]:
        """One of them: grayscale uint8 (48, 48)."""
        return self.crop_square(image, self._cropper.regions(faces)[index].tolist())

    def crop_square(self, image: NDArray[np.uint8], square: CropRegion) -> NDArray[np.uint8]:
        """What lies in ``square``: grayscale uint8 (48, 48)."""
        return self._cropper.crop(image, [square])[0]


def decode(encoded: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image, rotated as its EXIF data say, to BGR uint8 (H, W, 3).

    Args:
        encoded: The file.
        name: Its name, for the error.

    Raises:
        UsageError: It cannot be read as an image.
    """
    data = np.frombuffer(encoded, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if encoded else None
    except cv2.error:  # such as a header that promises more pixels than OpenCV accepts
        image = None
    if image is None:
        raise UsageError(f"{name} {deep_pixels(data) or 'cannot be read as an image: is it truncated?'}")
    return np.asarray(image, np.uint8)
