"""The Haar cascade of OpenCV: P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple
Features", CVPR 2001. The baseline: it has no landmarks, finds fewer faces than MTCNN and takes longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ferengine.detection.base import Detections, Detector, Frame, Near, check_min_face
from ferengine.errors import MissingDependencyError
from ferengine.frames import readable_frame
from ferengine.models.settings import MIN_FACE
from ferengine.pip_hint import pip_install
from ferengine.vision import cv2

CASCADE = "haarcascade_frontalface_default.xml"
_WINDOW = 24
"""Side of the cascade's own window, pixels: the smallest face that it can find."""


class HaarDetector(Detector):
    """Upright frontal faces, by OpenCV's cascade of boosted Haar features; no landmarks.

    On equalised grey, with a scale step of 1.1 and at least five neighbours. ``scores`` are 1 / (1 + exp(-w / 2)) of the
    weight w that ``detectMultiScale3`` gives a box, the sum of its last stage (about 0 to 12): it orders the boxes of all
    frames, but is no probability.

    Args:
        min_face: Width of the smallest face to look for, pixels, at least 12; the cascade itself starts at 24.

    Raises:
        UsageError: ``min_face`` is smaller than that.
        MissingDependencyError: OpenCV came without the cascade's file.
    """

    def __init__(self, min_face: float = MIN_FACE) -> None:
        check_min_face(min_face)
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = Path(folder) / CASCADE
        if not path.is_file():
            raise MissingDependencyError(
                f"OpenCV {cv2.__version__} came without {CASCADE} (5.0's wheel lacks it): "
                f"{pip_install('opencv-contrib-python<5')}"
            )
        self._cascade = cv2.CascadeClassifier(str(path))
        self._min_face = max(_WINDOW, round(min_face))

    def detect(self, frame: Frame, near: Near | None = None) -> Detections:
        """As ``Detector.detect``; it looks everywhere, whatever is ``near``."""
        frame = readable_frame(frame)
        if min(frame.shape[:2]) < self._min_face:
            return Detections.none(landmarks=False)
        grey = cv2.equalizeHist(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=1.1,
            minNeighbors=5,
            minSize=(self._min_face, self._min_face),
            outputRejectLevels=True,
        )
        if not len(boxes):
            return Detections.none(landmarks=False)
        scores = (1 / (1 + np.exp(-np.ravel(weights) / 2))).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        return Detections(np.asarray(boxes, np.float32)[order], scores[order], None)
