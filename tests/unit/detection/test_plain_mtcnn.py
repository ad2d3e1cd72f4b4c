"""The plain MTCNN: the steps between its networks, against plain loops."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from ferengine.vision import cv2
from oracles.plain_mtcnn.boxes import (
    corners_to_xywh,
    decode_proposals,
    non_maximum_suppression,
    place_landmarks,
    regress,
    square,
)
from oracles.plain_mtcnn.sampling import crops, normalise, pyramid

counts = st.integers(0, 12)
offsets = st.floats(-1, 1, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> NDArray[np.float32]:
    corner = draw(arrays.arrays(np.float32, (draw(counts), 2), elements=st.integers(-20, 60)))
    size = draw(arrays.arrays(np.float32, corner.shape, elements=st.integers(1, 40)))
    return np.hstack([corner, corner + size])


def plain_suppression(boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, method: str) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        ax1, ay1, ax2, ay2 = map(float, boxes[index])
        free = True
        for other in kept:
            bx1, by1, bx2, by2 = map(float, boxes[other])
            shared = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
            areas = (ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1)
            whole = sum(areas) - shared if method == "union" else min(areas)
            free = free and shared <= float(np.float32(threshold)) * whole
        if free:
            kept.append(index)
    return kept


@given(boxes(), st.data(), st.sampled_from([0.25, 0.5, 0.75]), st.sampled_from(["union", "min"]))
def test_suppression(
    boxes: NDArray[np.float32], data: st.DataObject, threshold: float, method: Literal["union", "min"]
) -> None:
    levels = st.sampled_from([0.1, 0.3, 0.5, 0.9])  # few: ties are likely, and go to the earlier box
    scores = data.draw(arrays.arrays(np.float32, len(boxes), elements=levels.map(lambda v: float(np.float32(v)))))
    kept = non_maximum_suppression(boxes, scores, threshold, method)
    assert kept.tolist() == plain_suppression(boxes, scores, threshold, method)


def test_a_box_inside_another_goes_only_by_the_smaller_area() -> None:
    nested = np.array([[0, 0, 10, 10], [2, 2, 5, 5]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert non_maximum_suppression(nested, scores, 0.7).tolist() == [0, 1]
    assert non_maximum_suppression(nested, scores, 0.7, "min").tolist() == [0]


@given(boxes(), st.data())
def test_regression_moves_each_corner(boxes: NDArray[np.float32], data: st.DataObject) -> None:
    moves = data.draw(arrays.arrays(np.float32, boxes.shape, elements=offsets))
    moved = regress(boxes, moves)
    assert moved.dtype == np.float32
    for box, move, result in zip(boxes, moves, moved, strict=True):
        width, height = box[2] - box[0] + 1, box[3] - box[1] + 1
        expected = [box[i] + move[i] * (width, height)[i % 2] for i in range(4)]
        np.testing.assert_allclose(result, expected, atol=1e-4)


@given(boxes())
def test_squares_keep_centre_and_longer_side(boxes: NDArray[np.float32]) -> None:
    for before, after in zip(boxes, square(boxes), strict=True):
        side = max(before[2] - before[0], before[3] - before[1])
        np.testing.assert_allclose(after[2:] - after[:2], side, atol=1e-4)
        np.testing.assert_allclose(after[:2] + after[2:], before[:2] + before[2:], atol=1e-4)


@given(boxes(), st.data())
def test_landmarks_are_placed_by_axis(boxes: NDArray[np.float32], data: st.DataObject) -> None:
    points = data.draw(arrays.arrays(np.float32, (len(boxes), 10), elements=offsets))
    placed = place_landmarks(boxes, points)
    assert placed.shape == (len(boxes), 5, 2)
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        for k in range(5):
            x, y = x1 + points[n, k] * (x2 - x1 + 1) - 1, y1 + points[n, 5 + k] * (y2 - y1 + 1) - 1
            np.testing.assert_allclose(placed[n, k], [x, y], atol=1e-4)


def test_corners_to_xywh() -> None:
    np.testing.assert_array_equal(corners_to_xywh(np.array([[1, 2, 4, 8]], np.float32)), [[1, 2, 3, 6]])


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0.05, 0.6), st.data())
def test_proposals_are_decoded_cell_by_cell(rows: int, columns: int, scale: float, data: st.DataObject) -> None:
    unit = st.floats(0, 1, width=32)
    probabilities = data.draw(arrays.arrays(np.float32, (rows, columns), elements=unit))
    moves = data.draw(arrays.arrays(np.float32, (4, rows, columns), elements=offsets))
    expected, seen = [], []
    for y in range(rows):
        for x in range(columns):
            if probabilities[y, x] > 0.6:
                window = (2 * x + 1, 2 * y + 1, 2 * x + 12, 2 * y + 12)
                seen.append([side / scale for side in window])
                corners = [(window[i] + 11 * moves[i, y, x]) / scale for i in range(4)]
                expected.append((*corners, probabilities[y, x]))
    windows, decoded, scores = decode_proposals(probabilities, moves, 0.6, scale)
    np.testing.assert_allclose(np.column_stack([decoded, scores]), np.reshape(expected, (-1, 5)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(windows, np.reshape(seen, (-1, 4)), rtol=1e-4, atol=1e-3)


@given(st.integers(1, 200), st.integers(1, 200), st.floats(12, 60), st.floats(0.3, 0.9))
def test_pyramid_levels(height: int, width: int, min_face: float, factor: float) -> None:
    frame = np.full((height, width, 3), 90, np.uint8)
    levels = list(pyramid(frame, min_face, factor))
    scale = 12 / min_face
    for given_scale, level in levels:
        assert given_scale == pytest.approx(scale)
        assert level.shape == (int(height * given_scale), int(width * given_scale), 3)
        assert min(level.shape[:2]) >= 12
        assert (level == 90).all()
        scale *= factor
    assert min(height, width) * scale < 12  # nothing was left out


@pytest.mark.parametrize("shape", [(480, 640), (481, 643), (360, 640)])
def test_small_levels_equal_the_area_average_of_the_frame(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    frame = cv2.GaussianBlur(noise, (0, 0), 4)
    levels = list(pyramid(frame, 40, 0.709))
    assert len(levels) > 5
    for _, level in levels:
        whole = cv2.resize(frame, level.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(level.astype(int) - whole).max() <= 3


@given(st.floats(-30, 60, width=32), st.floats(-30, 60, width=32), st.floats(6, 90, width=32), st.sampled_from([24, 48]))
def test_crops_sample_the_frame_bilinearly(x: float, y: float, side: float, size: int) -> None:
    rows, columns = np.mgrid[0:50, 0:70]
    frame = np.stack([2 * columns, 3 * rows, rows + columns], axis=2).astype(np.uint8)
    (crop,) = crops(frame, np.array([[x, y, x + side, y + side]], np.float32), size)
    step = side / (size - 1)
    halved = step * 49 / 50 >= 2
    edge = 2 if halved else 1  # a halved frame loses half a pixel at its edges, and an odd last row or column
    # rounding of the halved frame, places on a 32nd of a pixel of it with a slope of 6, rounding of the crop
    tolerance = 0.5 + 6 / 64 + 0.5 if halved else 1
    for row, column in ((0, 0), (size // 2, size // 3), (size - 1, size - 1)):
        at_x = (x + side * column / (size - 1)) * 69 / 70
        at_y = (y + side * row / (size - 1)) * 49 / 50
        if edge - 1 <= at_x <= 70 - edge and edge - 1 <= at_y <= 50 - edge:
            np.testing.assert_allclose(crop[row, column], [2 * at_x, 3 * at_y, at_x + at_y], atol=tolerance)
        elif not (-edge <= at_x <= 69 + edge and -edge <= at_y <= 49 + edge):
            assert (crop[row, column] == 127).all()


def test_normalise_is_red_first_and_centred() -> None:
    image = np.zeros((1, 2, 3, 3), np.uint8)
    image[0, 1, 2] = (0, 128, 255)  # blue, green, red
    result = normalise(image)
    assert result.shape == (1, 3, 2, 3)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[0, :, 1, 2], np.float32([127.5, 0.5, -127.5]) / 128)
    np.testing.assert_array_equal(result[0, :, 0, 0], np.float32(-127.5 / 128))
