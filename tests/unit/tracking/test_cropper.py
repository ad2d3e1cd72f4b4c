"""FaceCropper: the faces' squares, cropped by the extension."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.errors import UsageError
from ferengine.tracking.crop_geometry import face_region
from ferengine.tracking.cropper import FaceCropper

POINTS = np.array([[40, 50], [80, 50], [60, 72], [45, 95], [75, 95]], np.float32)
BOX = (22.0, 20.0, 76.0, 98.0)


def portrait(points: np.ndarray) -> np.ndarray:
    """Bright discs for the eyes, darker ones for the mouth, BGR uint8 (160, 160, 3)."""
    y, x = np.mgrid[:160, :160] + 0.5
    frame = np.full((160, 160), 100, np.uint8)
    for (px, py), level in zip(points, (250, 250, 100, 10, 10), strict=True):
        frame[(x - px) ** 2 + (y - py) ** 2 < 36] = level
    return np.repeat(frame[..., None], 3, axis=2)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return ((points - (60, 70)) @ np.array([[cos, sin], [-sin, cos]]) + (60, 70)).astype(np.float32)


def detections(points: np.ndarray | None) -> Detections:
    landmarks = None if points is None else points[None]
    return Detections(np.array([BOX], np.float32), np.ones(1, np.float32), landmarks)


def eyes(crop: np.ndarray) -> np.ndarray:
    """Centres of the bright discs in the left and the right half, x, y as shares of the side."""
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]] + 0.5
    weight = np.clip(crop.astype(float) - 130, 0, None)
    halves = [x < crop.shape[1] / 2, x >= crop.shape[1] / 2]
    return np.array([[(a[h] * weight[h]).sum() / weight[h].sum() for a in (x, y)] for h in halves]) / len(crop)


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.5])
def test_aligned_crops_put_the_eyes_where_fer2013_has_them(angle: float) -> None:
    points = turned(POINTS, angle)
    cropper = FaceCropper(48, align=True)
    squares = cropper.regions(detections(points))
    assert squares.dtype == np.float32
    assert squares[0, 3] == pytest.approx(angle, abs=1e-5)
    crops = cropper.crop(portrait(points), squares)
    assert crops.shape == (1, 48, 48)
    assert crops.dtype == np.uint8
    offset = 0.5 / 2.67
    assert eyes(crops[0]) == pytest.approx(np.array([[0.5 - offset, 0.38], [0.5 + offset, 0.38]]), abs=0.012)


def test_upright_crops_keep_the_tilt() -> None:
    points = turned(POINTS, 0.4)
    cropper = FaceCropper(64)
    (left, right) = eyes(cropper.crop(portrait(points), cropper.regions(detections(points)))[0])
    assert math.atan2(right[1] - left[1], right[0] - left[0]) == pytest.approx(0.4, abs=0.05)
    assert (left + right) / 2 == pytest.approx((0.5, 0.38), abs=0.012)


def test_without_landmarks_the_box_is_cut() -> None:
    assert FaceCropper(48).regions(detections(None))[0] == pytest.approx(face_region(BOX, None, False))


def test_no_face_gives_no_crop() -> None:
    cropper = FaceCropper(48)
    squares = cropper.regions(Detections.none())
    assert squares.shape == (0, 4)
    assert cropper.crop(portrait(POINTS), squares).shape == (0, 48, 48)
    assert cropper.crop(portrait(POINTS), []).shape == (0, 48, 48)


def test_squares_may_be_tuples_and_reach_beyond_the_frame() -> None:
    crops = FaceCropper(16).crop(portrait(POINTS), [(60.0, 70.0, 100.0, 0.0), (-40.0, -40.0, 30.0, 0.2)])
    assert crops.shape == (2, 16, 16)
    assert (crops[1] == 100).all()


def test_a_crop_without_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="size of a crop"):
        FaceCropper(0)
