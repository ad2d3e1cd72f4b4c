"""The crop square: its place on a face, and its way with the box."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ferengine.tracking.crop_geometry import CropGeometry, face_region, region_from_box, region_from_landmarks

FRONTAL = np.array([[40, 50], [80, 50], [60, 72], [45, 95], [75, 95]], np.float32)
number = st.floats(-2000, 2000)
size = st.floats(1, 1000)
boxes = st.tuples(number, number, size, size)


def turned(points: np.ndarray, angle: float, about: tuple[float, float] = (60.0, 50.0)) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return (points - about) @ np.array([[cos, sin], [-sin, cos]]) + about


@pytest.mark.parametrize("align", [False, True])
def test_frontal_face_is_cropped_as_in_fer2013(align: bool) -> None:
    cx, cy, side, angle = region_from_landmarks(FRONTAL, align)
    assert side == pytest.approx(2.67 * 40)
    assert angle == 0
    assert cx == pytest.approx(60)
    assert cy - side / 2 + 0.38 * side == pytest.approx(50)


@given(st.floats(-1.5, 1.5))
def test_align_turns_the_square_with_the_face(angle: float) -> None:
    upright = region_from_landmarks(FRONTAL, True)
    square = region_from_landmarks(turned(FRONTAL, angle), True)
    centre = turned(np.array([upright[:2]]), angle)[0]
    assert square == pytest.approx((*centre, upright[2], angle), abs=1e-4)


@given(st.floats(-0.6, 0.6))
def test_without_align_it_stays_upright_below_the_same_eyes(angle: float) -> None:
    assert region_from_landmarks(turned(FRONTAL, angle), False) == pytest.approx(
        region_from_landmarks(FRONTAL, False), abs=1e-3
    )


@pytest.mark.parametrize("align", [False, True])
def test_a_profile_keeps_its_size(align: bool) -> None:
    profile = FRONTAL * np.float32([0.05, 1]) + np.float32([57, 0])
    _, _, side, angle = region_from_landmarks(profile, align)
    assert side == pytest.approx(2.67 * 45 / 1.25)
    assert angle == pytest.approx(0)


def test_a_profile_is_levelled_by_the_mouth() -> None:
    points = np.array([[50, 50], [50, 53], [60, 72], [50, 90], [50, 92]], np.float32)
    assert region_from_landmarks(points, True)[3] == pytest.approx(0)


@pytest.mark.parametrize(("box", "side"), [((0, 0, 300, 400), 0.8 * 400), ((40, 30, 40, 50), 1.6 * 50)])
def test_the_box_bounds_the_side_and_the_eyes_stay(box: tuple[int, int, int, int], side: float) -> None:
    cx, cy, bounded, _ = face_region(box, FRONTAL, False)
    assert (cx, bounded) == pytest.approx((60, side))
    assert cy - (0.5 - 0.38) * side == pytest.approx(50)


def test_without_landmarks_the_box_decides() -> None:
    assert face_region((10, 20, 100, 100), None, True) == pytest.approx((60, 70, 103, 0))
    assert region_from_box((10, 20, 100, 100)) == face_region((10, 20, 100, 100), None, False)


@given(boxes, st.tuples(number, number, size, st.floats(-math.pi, math.pi)))
def test_geometry_round_trip(box: tuple[float, ...], square: tuple[float, ...]) -> None:
    again = CropGeometry.of(box, square).region(box)  # type: ignore[arg-type]
    assert again == pytest.approx(square, abs=1e-6)


@given(boxes, number, number, st.floats(0.1, 10))
def test_geometry_moves_and_scales_with_the_box(
    box: tuple[float, float, float, float], dx: float, dy: float, scale: float
) -> None:
    x, y, w, h = box
    assume(w * scale < 1e4)
    square = (x + w, y - h, 2 * w, 0.3)
    geometry = CropGeometry.of(box, square)
    moved = geometry.region((x + dx, y + dy, w * scale, h * scale))
    assert moved == pytest.approx((x + dx + w * scale, y + dy - h * scale, 2 * w * scale, 0.3), abs=1e-6)
