"""Where the classifier's crop lies on a face.

FER-2013's images are squares 2.67 times the distance between the eyes wide, the midpoint of the eyes at
0.38 of their height. Faces must be cut the same way when the network reads them as when it learnt them.

Coordinates are continuous: pixel (0, 0) covers [0, 1) x [0, 1). A square is (cx, cy, side, angle): its centre
and side in pixels and the angle of its upper edge against the horizontal in radians, clockwise on the screen
positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.results import Box

Square: TypeAlias = tuple[float, float, float, float]
"""cx, cy, side in pixels, angle in radians."""

SIDE_PER_EYE_DISTANCE = 2.67
EYE_HEIGHT = 0.38
"""Height of the midpoint between the eyes, as a share of the square's side from its top."""

SIDE_PER_HAAR_BOX = 1.03
"""The square of FER-2013 is the box of OpenCV's frontal Haar cascade, 3 % larger, about the same centre."""

MOUTH_PER_EYE_DISTANCE = 1.25
"""Distance from the eyes' to the mouth's midpoint, in distances between the eyes, that frontal faces stay below
(measured: median 1.05, 95 % below 1.22). Turning away shortens the distance between the eyes alone, so a larger
ratio tells a profile."""

SIDE_PER_BOX = (0.8, 1.6)
"""Bounds of the square's side in larger sides of the detector's box: landmarks beyond them are misplaced."""


def square_from_landmarks(landmarks: NDArray[np.float32] | Sequence[Sequence[float]], align: bool) -> Square:
    """The crop of a face by its five points (5, 2): left eye, right eye, nose, left and right mouth corner.

    With ``align`` the square is turned so that the eyes are level in it; without, it stays upright. The size
    follows the distance between the eyes or, where the face is turned away, that from the eyes to the mouth.
    A face so turned that the eyes nearly coincide is levelled by the axis from eyes to mouth.
    """
    left, right, _, *mouth = np.asarray(landmarks, np.float64)
    eyes, chin = (left + right) / 2, (mouth[0] + mouth[1]) / 2
    across, down = right - left, chin - eyes
    distance, by_mouth = float(np.hypot(*across)), float(np.hypot(*down)) / MOUTH_PER_EYE_DISTANCE
    side = SIDE_PER_EYE_DISTANCE * max(distance, by_mouth)
    angle = 0.0
    if align:
        levelled = across if distance >= 0.5 * by_mouth else np.array([down[1], -down[0]])
        angle = math.atan2(levelled[1], levelled[0])
    shift = (0.5 - EYE_HEIGHT) * side
    return float(eyes[0] - shift * math.sin(angle)), float(eyes[1] + shift * math.cos(angle)), side, angle


def square_from_box(box: Box) -> Square:
    """The crop of a face by its Haar box: upright, about the same centre."""
    x, y, w, h = box
    return x + w / 2, y + h / 2, SIDE_PER_HAAR_BOX * math.sqrt(w * h), 0.0


def face_square(box: Box, landmarks: NDArray[np.float32] | None, align: bool) -> Square:
    """The crop of a detected face: by its landmarks (5, 2) within ``SIDE_PER_BOX``, else by its box."""
    if landmarks is None:
        return square_from_box(box)
    cx, cy, side, angle = square_from_landmarks(landmarks, align)
    larger = max(box[2], box[3])
    bounded = min(max(side, SIDE_PER_BOX[0] * larger), SIDE_PER_BOX[1] * larger)
    shift = (0.5 - EYE_HEIGHT) * (bounded - side)  # keeps the eyes at their height
    return cx - shift * math.sin(angle), cy + shift * math.cos(angle), bounded, angle


@dataclass(frozen=True, slots=True)
class CropGeometry:
    """Where a square lies relative to its box, to be carried along while the box is tracked.

    ``dx``, ``dy``: its centre from the box's centre, in widths and heights of the box; ``scale``: its side in
    sqrt(width * height); ``angle`` in radians.
    """

    dx: float
    dy: float
    scale: float
    angle: float

    @staticmethod
    def of(box: Box, square: Square) -> CropGeometry:
        """The geometry of ``square`` on ``box`` (x, y, w, h; w and h positive)."""
        x, y, w, h = box
        cx, cy, side, angle = square
        return CropGeometry((cx - x) / w - 0.5, (cy - y) / h - 0.5, side / math.sqrt(w * h), angle)

    def square(self, box: Box) -> Square:
        """The same crop on another box."""
        x, y, w, h = box
        return x + (0.5 + self.dx) * w, y + (0.5 + self.dy) * h, self.scale * math.sqrt(w * h), self.angle
