"""KCF from OpenCV's contrib modules, run on a window shrunk around the face.

J. F. Henriques et al., "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015, with the colour-name
features of M. Danelljan et al., "Adaptive Color Attributes for Real-Time Visual Tracking", CVPR 2014.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, UsageError
from ferengine.results import Box
from ferengine.track.appearance import similarity, thumbnail
from ferengine.track.base import TrackerUpdate
from ferengine.vision import cv2

_LEAST_SIDE = 8
"""Pixels: KCF learns nothing from a smaller patch, so smaller boxes are grown around their centre."""


class OpenCvKcf:
    """``cv2.TrackerKCF`` at a cost that does not grow with the face.

    ``init`` takes a square window of ``window`` times the larger side of the box, clipped to the frame, and shrinks
    it until that side measures ``face_side`` pixels (it never enlarges); KCF runs inside it. A face that has moved
    so far that KCF's search area leaves the window gets a new one. The box keeps the size it had at ``init``: KCF
    does not estimate scale.

    The confidence, which OpenCV does not give, is the normalised cross-correlation of the face at ``init`` and now;
    0 when KCF finds no peak, when the centre of the box has left the frame and when the frame has changed its size.
    """

    def __init__(self, *, face_side: int = 48, window: float = 4.0) -> None:
        """Raises MissingDependencyError when this OpenCV has no KCF."""
        if not hasattr(cv2, "TrackerKCF"):
            raise MissingDependencyError(
                f"OpenCV {cv2.__version__} was installed without its contrib modules and has no KCF tracker: "
                "pip uninstall opencv-python opencv-python-headless; pip install 'opencv-contrib-python<5'"
            )
        self._face_side = face_side
        self._window = window
        self._anchor: _Window | None = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        """Learn the face in ``box``; raises UsageError when the box is not finite or has no area."""
        if not (all(map(math.isfinite, box)) and box[2] > 0 and box[3] > 0):
            raise UsageError(f"a box to track must be finite with a positive width and height, not {box}")
        self._box = box
        self._anchor = _Window(frame, box, self._face_side, self._window)
        self._learnt = self._anchor.face

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        """Where the face is in ``frame``; raises UsageError before ``init``."""
        if self._anchor is None:
            raise UsageError("update() of a tracker that has no object yet: call init() first")
        found = self._anchor.find(frame)
        if found is None:
            return TrackerUpdate(self._box, 0.0)
        self._box, face = found
        if not _centre_inside(self._box, frame):
            return TrackerUpdate(self._box, 0.0)
        if self._anchor.outgrown(self._box):
            self._anchor = _Window(frame, self._box, self._face_side, self._window)
        return TrackerUpdate(self._box, similarity(self._learnt, face))


def _centre_inside(box: Box, frame: NDArray[np.uint8]) -> bool:
    x, y, w, h = box
    return 0 <= x + w / 2 <= frame.shape[1] and 0 <= y + h / 2 <= frame.shape[0]


class _Window:
    """A fixed window of the frame, shrunk, with KCF in it; ``face`` is the thumbnail of what it was begun with."""

    def __init__(self, frame: NDArray[np.uint8], box: Box, face_side: int, window: float) -> None:
        self._shape = frame.shape
        self._box = box
        self._reach = window / 2 - 1
        x, y, w, h = box
        side = max(w, h)
        height, width = frame.shape[:2]
        half = side * window / 2
        columns = _clipped(x + w / 2 - half, x + w / 2 + half, width)
        rows = _clipped(y + h / 2 - half, y + h / 2 + half, height)
        self._part = (slice(*rows), slice(*columns))
        shrink = min(1.0, face_side / side)
        self._size = (
            max(1, round((columns[1] - columns[0]) * shrink)),
            max(1, round((rows[1] - rows[0]) * shrink)),
        )
        self._scale = (
            self._size[0] / max(1, columns[1] - columns[0]),
            self._size[1] / max(1, rows[1] - rows[0]),
        )
        left, right = _whole((x - columns[0]) * self._scale[0], w * self._scale[0], self._size[0])
        top, bottom = _whole((y - rows[0]) * self._scale[1], h * self._scale[1], self._size[1])
        self._start = (left, top, right - left, bottom - top)
        self._kcf: cv2.TrackerKCF | None = None
        self.face = thumbnail(frame, box)
        if min(self._start[2:]) >= _LEAST_SIDE // 2:
            shrunk = self._shrunk(frame)
            self._kcf = cv2.TrackerKCF.create()
            self._kcf.init(shrunk, self._start)
            self.face = thumbnail(shrunk, self._start)

    def find(self, frame: NDArray[np.uint8]) -> tuple[Box, NDArray[np.float32]] | None:
        """The box in ``frame`` and the thumbnail inside it, or None."""
        if self._kcf is None or frame.shape != self._shape:
            return None
        shrunk = self._shrunk(frame)
        found, (x, y, w, h) = self._kcf.update(shrunk)
        if not found:
            return None
        box = (
            self._box[0] + (x - self._start[0]) / self._scale[0],
            self._box[1] + (y - self._start[1]) / self._scale[1],
            self._box[2],
            self._box[3],
        )
        return box, thumbnail(shrunk, (x, y, w, h))

    def outgrown(self, box: Box) -> bool:
        """Whether KCF's search area, twice the box, leaves the window (where the frame does not end first)."""
        away = max(abs(box[0] - self._box[0]), abs(box[1] - self._box[1]))
        return away > self._reach * max(box[2], box[3])

    MODE = "lin2"
    def _shrunk(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = frame[self._part]
        w, h = self._size
        if (w, h) == (part.shape[1], part.shape[0]):
            return np.ascontiguousarray(part)
        if self.MODE == "area":
            return cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)
        if self.MODE == "lin":
            return cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR)
        if part.shape[1] > 2 * w:
            part = cv2.resize(part, (2 * w, 2 * h), interpolation=cv2.INTER_LINEAR)
        return cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)


def _clipped(low: float, high: float, size: int) -> tuple[int, int]:
    """The whole pixels that [low, high) touches inside [0, size)."""
    first = min(max(0, math.floor(low)), size)
    return first, max(first, min(size, math.ceil(high)))


def _whole(start: float, length: float, size: int) -> tuple[int, int]:
    """[start, start + length) in whole pixels, at least _LEAST_SIDE of them, clipped to [0, size)."""
    grow = max(0.0, _LEAST_SIDE - length) / 2
    first, last = round(start - grow), round(start + length + grow)
    return min(max(0, first), size), max(0, min(last, size))
