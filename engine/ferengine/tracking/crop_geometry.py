"""Where the classifier's crop lies on a face.

The images of FER-2013 are squares with a side of 2.67 times the distance between the eyes, and the midpoint of the eyes at
0.38 of their height. Faces must be cropped in the same way when the network is trained and when it is used.

Coordinates are continuous: pixel (0, 0) covers [0, 1) x [0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box

CropRegion: TypeAlias = tuple[float, float, float, float]
"""A rotated square: x and y of its centre and its side in pixels, and the angle of its upper edge against the horizontal in
radians, positive clockwise on the screen."""

SIDE_PER_EYE_DISTANCE = 2.67
EYE_HEIGHT = 0.38
"""Height of the midpoint between the eyes from the top of the square, as a fraction of its side."""

SIDE_PER_HAAR_BOX = 1.03
"""The square of FER-2013 is the box of OpenCV's frontal Haar cascade, 3 % larger, with the same centre."""

MOUTH_PER_EYE_DISTANCE = 1.25
"""Maximum distance from the midpoint of the eyes to that of the mouth in frontal faces, in distances between the eyes
(measured: median 1.05, 95 % below 1.22). Turning the head shortens the distance between the eyes alone, so a larger ratio
means a profile."""

SIDE_PER_BOX = (0.8, 1.6)
"""Bounds of the square's side, as a multiple of the larger side of the detector's box: beyond them landmarks are misplaced."""


def region_from_landmarks(landmarks: NDArray[np.float32] | Sequence[Sequence[float]], align: bool) -> CropRegion:
    """Return the crop region of a face from its landmarks.

    The size follows the distance between the eyes or, if the face is turned away, that from the eyes to the mouth.

    Args:
        landmarks: (5, 2), x and y in pixels: left eye, right eye, nose, left and right mouth corner.
        align: Rotate the region so that the eyes are level in it. A face so turned that the eyes nearly coincide is aligned
            by the axis from the eyes to the mouth.
    """
    left, right, _, *mouth = np.asarray(landmarks, np.float64)
    eyes, chin = (left + right) / 2, (mouth[0] + mouth[1]) / 2
    across, down = right - left, chin - eyes
    distance, by_mouth = float(np.hypot(*across)), float(np.hypot(*down)) / MOUTH_PER_EYE_DISTANCE
    side = SIDE_PER_EYE_DISTANCE * max(distance, by_mouth)
    angle = 0.0
    if align:
        along = across if distance >= 0.5 * by_mouth else np.array([down[1], -down[0]])
        angle = math.atan2(along[1], along[0])
    shift = (0.5 - EYE_HEIGHT) * side
    return float(eyes[0] - shift * math.sin(angle)), float(eyes[1] + shift * math.cos(angle)), side, angle


def region_from_box(box: Box) -> CropRegion:
    """Return the crop region of a face from its Haar box: upright, with the same centre."""
    x, y, w, h = box
    return x + w / 2, y + h / 2, SIDE_PER_HAAR_BOX * math.sqrt(w * h), 0.0


def face_region(box: Box, landmarks: NDArray[np.float32] | None, align: bool) -> CropRegion:
    """Return the crop region of a detected face.

    Args:
        box: x, y, w, h in pixels.
        landmarks: (5, 2) in pixels, which decide within ``SIDE_PER_BOX``; None for a detector that finds only boxes.
        align: Rotate the region so that the eyes are level in it.
    """
    if landmarks is None:
        return region_from_box(box)
    cx, cy, side, angle = region_from_landmarks(landmarks, align)
    larger = max(box[2], box[3])
    bounded = min(max(side, SIDE_PER_BOX[0] * larger), SIDE_PER_BOX[1] * larger)
    shift = (0.5 - EYE_HEIGHT) * (bounded - side)  # keeps the eyes at their height
    return cx - shift * math.sin(angle), cy + shift * math.cos(angle), bounded, angle


@dataclass(frozen=True, slots=True)
class CropGeometry:
    """Where a crop region lies relative to its box, so that it moves with the box while this is tracked.

    Attributes:
        dx: Offset of its centre from the box's centre, in widths of the box.
        dy: The same in heights of the box.
        scale: Its side in sqrt(width * height) of the box.
        angle: Radians.
    """

    dx: float
    dy: float
    scale: float
    angle: float

    @staticmethod
    def of(box: Box, region: CropRegion) -> CropGeometry:
        """Return the geometry of ``region`` on ``box`` (x, y, w, h; w and h positive)."""
        x, y, w, h = box
        cx, cy, side, angle = region
        return CropGeometry((cx - x) / w - 0.5, (cy - y) / h - 0.5, side / math.sqrt(w * h), angle)

    def region(self, box: Box) -> CropRegion:
        """Return the same crop region on another box."""
        x, y, w, h = box
        return x + (0.5 + self.dx) * w, y + (0.5 + self.dy) * h, self.scale * math.sqrt(w * h), self.angle
