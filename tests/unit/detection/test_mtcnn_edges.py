"""MTCNN on frames at the edge of what there is: a row of pixels, padded rows, the smallest faces, 8K."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2
from oracles.plain_mtcnn import PlainMtcnn

MIN_FACE = 24.0


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector(min_face=MIN_FACE)


def portrait(width: int, height: int) -> NDArray[np.uint8]:
    """A portrait whose face takes about a quarter of its width."""
    return np.asarray(cv2.resize(ASTRONAUT.load(), (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def padded(frame: NDArray[np.uint8], padding: int) -> NDArray[np.uint8]:
    """The same pixels, with ``padding`` pixels of noise behind each row."""
    height, width = frame.shape[:2]
    whole = np.random.default_rng(width).integers(0, 256, (height, width + padding, 3), np.uint8)
    whole[:, :width] = frame
    return whole[:, :width]


def test_detections_are_equal_by_their_numbers() -> None:
    points = np.ones((2, 5, 2), np.float32)

    def made(score: float = 0.9, landmarks: NDArray[np.float32] | None = points) -> Detections:
        return Detections(np.ones((2, 4), np.float32), np.float32([0.95, score]), landmarks)

    assert made() == made()
    assert made(landmarks=None) == made(landmarks=None)
    others: tuple[object, ...] = (made(0.8), made(landmarks=None), made(landmarks=points - 1), Detections.none(), None)
    for other in others:
        assert made() != other
    assert Detections.none() == Detections.none() != Detections.none(landmarks=False)


def assert_same(found: Detections, expected: Detections) -> None:
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.landmarks is not None
    assert expected.landmarks is not None
    np.testing.assert_array_equal(found.landmarks, expected.landmarks)


def assert_alike(found: Detections, expected: Detections) -> None:
    """One face each, in the same place."""
    assert len(found) == len(expected) == 1
    assert iou_matrix(found.boxes, expected.boxes)[0, 0] > 0.98
    assert found.scores[0] == pytest.approx(expected.scores[0], abs=0.03)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (23, 500), (500, 23)])
def test_frames_too_narrow_for_the_smallest_face_have_none(detector: MtcnnDetector, size: tuple[int, int]) -> None:
    assert len(detector.detect(portrait(*size))) == 0
    assert len(detector.detect(portrait(*size), np.float32([[0, 0, 30, 30]]))) == 0


@settings(deadline=None, max_examples=25, derandomize=True)
@given(width=st.integers(24, 220), height=st.integers(24, 220), padding=st.integers(1, 9))
def test_what_lies_behind_a_row_changes_nothing(width: int, height: int, padding: int) -> None:
    """The kernels read beyond the pixels of a row, of which nothing may come of it."""
    detector, frame = MtcnnDetector(min_face=MIN_FACE), portrait(width, height)
    near = np.float32([[width / 4, height / 8, 40, 40]])
    assert_same(detector.detect(padded(frame, padding)), detector.detect(frame))
    assert_same(detector.detect(padded(frame, padding), near), detector.detect(frame, near))


@pytest.mark.parametrize("side", [150, 151, 163, 177, 201, 255])
def test_faces_from_the_smallest_on(detector: MtcnnDetector, side: int) -> None:
    frame = portrait(side, side)
    assert_alike(detector.detect(frame), PlainMtcnn(min_face=MIN_FACE).detect(frame))


def test_a_face_in_the_last_corner_of_an_8k_frame() -> None:
    frame = np.full((4320, 7680, 3), 127, np.uint8)
    frame[-1600:, -1600:] = portrait(1600, 1600)
    found = MtcnnDetector(min_face=300).detect(frame)
    assert_alike(found, PlainMtcnn(min_face=300).detect(frame))
    assert found.boxes[0, 0] > 7680 - 1600
