"""KCF from OpenCV's contrib modules, run on a scaled-down window around the face.

J. F. Henriques et al., "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015, with the colour-name features of
M. Danelljan et al., "Adaptive Color Attributes for Real-Time Visual Tracking", CVPR 2014.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, UsageError
from ferengine.pip_hint import pip_replace
from ferengine.results import Box
from ferengine.tracking.appearance import similarity, thumbnail
from ferengine.tracking.base import TrackerUpdate
from ferengine.vision import cv2

_CONTEXT = 1.25
"""Sides of the patch that KCF learns, in boxes. KCF searches within twice its size, so the patch limits the motion that it
can follow; more background in it would hold it in place."""

_DETECT_THRESHOLD = 0.2
"""Minimum filter response. OpenCV's 0.5 loses blurred faces that it has in fact found; a wrong result shows in the
confidence."""

_WINDOW = 4.0
"""Sides of the window in boxes: KCF's search area (2 * _CONTEXT) and room to move."""

_MIN_PATCH = 8
"""Pixels: KCF learns nothing from a smaller patch, so smaller ones are enlarged around their centre."""


class OpenCvKcf:
    """``cv2.TrackerKCF`` at a cost that does not grow with the face.

    ``init`` takes a square window around the box, clipped to the frame, and scales it down until the larger side of the face
    has ``face_side`` pixels; KCF runs inside it, so positions come in steps of 1/``face_side`` of a face. A face that leaves
    the middle of its window gets a new one. The box keeps the size that it had at ``init``: KCF does not estimate scale.

    The confidence, which OpenCV does not give, is the normalised cross-correlation of the face at ``init`` and now. It is 0 if
    KCF finds nothing, if the centre of the box has left the frame, and if the frame has changed its size.

    Args:
        face_side: Pixels of the larger side of the face.

    Raises:
        MissingDependencyError: If this OpenCV has no KCF.
    """

    def __init__(self, *, face_side: int = 24) -> None:
        if not hasattr(cv2, "TrackerKCF"):
            raise MissingDependencyError(
                f"OpenCV {cv2.__version__} was installed without its contrib modules and has no KCF tracker, which only "
                "--tracker opencv needs: leave the tracker at kcf, or "
                f"{pip_replace('opencv-python opencv-python-headless', 'opencv-contrib-python<5')}"
            )
        self._face_side = face_side
        self._window: _Window | None = None

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        """Learn the face in ``box``.

        Raises:
            UsageError: If the box is not finite or has no area.
        """
        if not (all(map(math.isfinite, box)) and box[2] > 0 and box[3] > 0):
            raise UsageError(f"a box to track must be finite with a positive width and height, not {box}")
        self._box = box
        self._window = _Window(frame, box, self._face_side)
        self._template = self._window.face

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        """Find the face in ``frame``.

        Raises:
            UsageError: Before ``init``.
        """
        if self._window is None:
            raise UsageError("the tracker has no object yet: call init() before update()")
        found = self._window.find(frame)
        if found is None:
            return TrackerUpdate(self._box, 0.0)
        self._box, face = found
        x, y, w, h = self._box
        if not (0 <= x + w / 2 <= frame.shape[1] and 0 <= y + h / 2 <= frame.shape[0]):
            return TrackerUpdate(self._box, 0.0)
        if self._window.outgrown(self._box):
            self._window = _Window(frame, self._box, self._face_side)
        return TrackerUpdate(self._box, similarity(self._template, face))


class _Window:
    """A fixed part of the frame, scaled down, with KCF in it; ``face`` is the thumbnail of its first face."""

    def __init__(self, frame: NDArray[np.uint8], box: Box, face_side: int) -> None:
        x, y, w, h = box
        side = max(w, h)
        self._frame_shape = frame.shape
        self._box = box
        reach = side * _WINDOW / 2
        left, right = _clipped(x + w / 2 - reach, x + w / 2 + reach, frame.shape[1])
        top, bottom = _clipped(y + h / 2 - reach, y + h / 2 + reach, frame.shape[0])
        self._part = (slice(top, bottom), slice(left, right))
        shrink = min(1.0, face_side / side)
        self._size = (max(1, round((right - left) * shrink)), max(1, round((bottom - top) * shrink)))
        self._scale = (self._size[0] / max(1, right - left), self._size[1] / max(1, bottom - top))
        self._face = (
            (x - left) * self._scale[0],
            (y - top) * self._scale[1],
            w * self._scale[0],
            h * self._scale[1],
        )
        self._patch = (
            *_patch(self._face[0], self._face[2], self._size[0]),
            *_patch(self._face[1], self._face[3], self._size[1]),
        )
        self._kcf: cv2.TrackerKCF | None = None
        self.face = thumbnail(frame, (0.0, 0.0, 0.0, 0.0))
        px, pw, py, ph = self._patch
        if min(pw, ph) >= _MIN_PATCH // 2:
            shrunk = self._shrunk(frame)
            parameters = cv2.TrackerKCF.Params()
            parameters.detect_thresh = _DETECT_THRESHOLD
            self._kcf = cv2.TrackerKCF.create(parameters)
            self._kcf.init(shrunk, (px, py, pw, ph))
            # OpenCV's init() learns nothing; its first update() does, wherever the face has moved in the meantime.
            self._kcf.update(shrunk)
            self.face = thumbnail(shrunk, self._face)

    def find(self, frame: NDArray[np.uint8]) -> tuple[Box, NDArray[np.float32]] | None:
        """The box in ``frame`` and the thumbnail of its content, or None."""
        if self._kcf is None or frame.shape != self._frame_shape:
            return None
        shrunk = self._shrunk(frame)
        found, (px, py, _, _) = self._kcf.update(shrunk)
        if not found:
            return None
        dx, dy = px - self._patch[0], py - self._patch[2]
        x, y, w, h = self._face
        face = thumbnail(shrunk, (x + dx, y + dy, w, h))
        x, y, w, h = self._box
        return (x + dx / self._scale[0], y + dy / self._scale[1], w, h), face

    def outgrown(self, box: Box) -> bool:
        """Whether KCF's search area around ``box`` leaves the window."""
        moved = max(abs(box[0] - self._box[0]), abs(box[1] - self._box[1]))
        return moved > (_WINDOW / 2 - _CONTEXT) * max(box[2], box[3])

    def _shrunk(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = frame[self._part]
        if self._size == (part.shape[1], part.shape[0]):
            return np.ascontiguousarray(part)
        # Linear interpolation skips pixels, but KCF follows real faces on it as well as on area averages, which cost far more.
        return np.asarray(cv2.resize(part, self._size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _clipped(low: float, high: float, size: int) -> tuple[int, int]:
    """Start and end of the whole pixels that [low, high) touches inside [0, size)."""
    first = min(max(0, math.floor(low)), size)
    return first, max(first, min(size, math.ceil(high)))


def _patch(start: float, length: float, size: int) -> tuple[int, int]:
    """Start and length, in whole pixels inside [0, size), of KCF's patch around [start, start + length)."""
    grow = max(length * (_CONTEXT - 1), _MIN_PATCH - length) / 2
    first = min(max(0, round(start - grow)), size)
    return first, max(first, min(size, round(start + length + grow))) - first
