"""The Haar cascade of OpenCV: P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features",
CVPR 2001. The document's baseline; it has no landmarks and mistakes more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.detect.base import Detections
from ferengine.errors import MissingDependencyError, UsageError
from ferengine.vision import cv2

_FILE = "haarcascade_frontalface_default.xml"


class HaarDetector:
    """Upright frontal faces of at least ``min_face`` pixels, without landmarks.

    ``scores`` are the level weights w of ``detectMultiScale3`` as w / (w + 2): monotonic, in [0, 1), not a probability.
    """

    def __init__(self, min_face: float = 40.0) -> None:
        if not min_face >= 12:
            raise UsageError(f"min_face must be at least 12 pixels, not {min_face}")
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = Path(folder) / _FILE
        if not path.is_file():
            raise MissingDependencyError(
                f"this OpenCV has no {_FILE} (5.0's wheel lacks it): pip install 'opencv-contrib-python<5'"
            )
        self._cascade = cv2.CascadeClassifier(str(path))
        self._min_face = round(min_face)

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """Faces in ``frame``, BGR uint8 (H, W, 3). Raises UsageError for another array."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise UsageError(f"a frame is a BGR uint8 array of shape (H, W, 3), not {frame.dtype} {frame.shape}")
        if min(frame.shape[:2]) < self._min_face:
            return Detections.none(landmarks=False)
        grey = cv2.equalizeHist(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=5, minSize=(self._min_face, self._min_face), outputRejectLevels=True
        )
        if not len(boxes):
            return Detections.none(landmarks=False)
        raw = np.maximum(np.asarray(weights, np.float32).reshape(-1), 0)
        scores = raw / (raw + 2)
        order = np.argsort(-scores, kind="stable")
        return Detections(np.asarray(boxes, np.float32)[order], scores[order].astype(np.float32), None)
