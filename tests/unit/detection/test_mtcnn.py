"""MtcnnDetector: arguments, odd frames, limits."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.detection import create_detector
from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.errors import UsageError
from ferengine.frames import readable_frame
from ferengine.models.settings import DetectorName
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.tracking.matching import iou_matrix
from oracles.plain_mtcnn import PlainMtcnn


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return ASTRONAUT.load()


def assert_same(actual: Detections, expected: Detections) -> None:
    assert len(expected) > 0
    assert expected.landmarks is not None
    assert actual.landmarks is not None
    np.testing.assert_array_equal(actual.boxes, expected.boxes)
    np.testing.assert_array_equal(actual.scores, expected.scores)
    np.testing.assert_array_equal(actual.landmarks, expected.landmarks)


def test_shapes_and_order(detector: MtcnnDetector, astronaut: NDArray[np.uint8]) -> None:
    small = astronaut[::2, ::2]
    pair = np.zeros((512, 800, 3), np.uint8)
    pair[:, :512], pair[128:384, 530:786] = astronaut, small
    found = detector.detect(pair)
    assert len(found) == 2
    assert found.landmarks is not None
    assert found.boxes.dtype == found.scores.dtype == found.landmarks.dtype == np.float32
    assert found.landmarks.shape == (2, 5, 2)
    assert found.scores[0] >= found.scores[1] > 0.7
    for (x, y, w, h), (left_eye, right_eye, nose, left_mouth, right_mouth) in zip(found.boxes, found.landmarks, strict=True):
        assert x < left_eye[0] < nose[0] < right_eye[0] < x + w
        assert y < left_eye[1] < nose[1] < left_mouth[1] < y + h
        assert left_mouth[0] < right_mouth[0]


@pytest.mark.parametrize("shape", [(1, 1), (11, 11), (11, 300), (39, 39), (39, 640)])
def test_frames_too_small_for_a_face(detector: MtcnnDetector, shape: tuple[int, int]) -> None:
    found = detector.detect(np.full((*shape, 3), 128, np.uint8))
    assert len(found) == 0
    assert found.landmarks is not None
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)


def test_no_face_in_flat_or_noisy_frames(detector: MtcnnDetector) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for frame in (np.zeros_like(noise), np.full_like(noise, 255), noise):
        assert len(detector.detect(frame)) == 0


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((50, 50), np.uint8),
        np.zeros((50, 50, 1), np.uint8),
        np.zeros((50, 50, 4), np.uint8),
        np.zeros((50, 50, 3), np.float32),
        np.zeros((0, 50, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_other_arrays_are_refused(detector: MtcnnDetector, frame: Any) -> None:
    with pytest.raises(UsageError, match=r"^a frame (must have|must be|is empty)"):
        detector.detect(frame)


def test_views_give_the_same_faces(detector: MtcnnDetector, astronaut: NDArray[np.uint8]) -> None:
    expected = detector.detect(np.ascontiguousarray(astronaut[:400, 30:430]))
    assert_same(detector.detect(astronaut[:400, 30:430]), expected)  # padded rows
    mirrored = np.ascontiguousarray(astronaut[:400, 30:430][:, ::-1])
    assert_same(detector.detect(mirrored[:, ::-1]), expected)  # negative strides
    rgb = np.ascontiguousarray(astronaut[:400, 30:430, ::-1])
    assert_same(detector.detect(rgb[..., ::-1]), expected)
    frozen = astronaut[:400, 30:430].copy()
    frozen.flags.writeable = False
    assert_same(detector.detect(frozen), expected)


def test_only_what_opencv_would_copy_each_time_is_copied() -> None:
    frame = np.zeros((50, 60, 3), np.uint8)
    padded = frame[:, :40]
    assert readable_frame(padded) is padded
    for view in (frame[::-1], frame[:, ::-1], frame[..., ::-1], frame[:, ::2], np.broadcast_to(frame[:1], frame.shape)):
        assert readable_frame(view).flags.c_contiguous


def test_a_frame_is_not_changed(detector: MtcnnDetector, astronaut: NDArray[np.uint8]) -> None:
    before = astronaut.copy()
    detector.detect(astronaut)
    np.testing.assert_array_equal(astronaut, before)


def test_a_face_that_the_border_cuts(detector: MtcnnDetector, astronaut: NDArray[np.uint8]) -> None:
    found = detector.detect(astronaut[85:, 195:])  # half of the forehead and of the left cheek are missing
    assert len(found) == 1
    x, y, w, h = found.boxes[0]
    assert x < 10
    assert y < 10
    assert 60 < w < 110
    assert 70 < h < 140


def test_faces_below_min_face_are_not_sought(astronaut: NDArray[np.uint8]) -> None:
    small = astronaut[::3, ::3]  # its face is 28 pixels wide
    assert len(MtcnnDetector(min_face=24).detect(small)) == 1
    assert len(MtcnnDetector(min_face=100).detect(small)) == 0


def test_thresholds_are_those_of_each_network(astronaut: NDArray[np.uint8]) -> None:
    for thresholds in ((0.9999999, 0.7, 0.7), (0.6, 0.9999999, 0.7), (0.6, 0.7, 0.9999999)):
        assert len(MtcnnDetector(thresholds=thresholds).detect(astronaut)) == 0


@pytest.mark.parametrize("limit", [1, 3, 400])
def test_candidates_are_limited_as_in_the_plain_detector(astronaut: NDArray[np.uint8], limit: int) -> None:
    plain = PlainMtcnn(thresholds=(0.3, 0.0, 0.0), max_candidates=limit)
    expected = plain.detect(astronaut)
    found = MtcnnDetector(thresholds=(0.3, 0.0, 0.0), max_candidates=limit).detect(astronaut)
    assert 0 < len(found) <= limit
    assert abs(len(found) - len(expected)) <= 0.05 * len(expected)


def test_the_best_candidates_are_kept(astronaut: NDArray[np.uint8]) -> None:
    few, many = MtcnnDetector(max_candidates=8).detect(astronaut), MtcnnDetector().detect(astronaut)
    assert len(few) == len(many) == 1
    assert iou_matrix(few.boxes, many.boxes)[0, 0] > 0.9


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_face": 11.9},
        {"min_face": float("nan")},
        {"min_face": float("inf")},
        {"thresholds": (0.6, 0.7)},
        {"thresholds": (0.6, 0.7, 1.0)},
        {"thresholds": (-0.1, 0.7, 0.7)},
        {"thresholds": (0.6, float("nan"), 0.7)},
        {"factor": 0.2},
        {"factor": 1.0},
        {"factor": float("nan")},
        {"max_candidates": 0},
    ],
)
def test_bad_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not"):
        MtcnnDetector(**arguments)


def test_frames_are_searched_together_as_one_by_one(astronaut: NDArray[np.uint8], detector: MtcnnDetector) -> None:
    frames = [astronaut, np.zeros((5, 5, 3), np.uint8), astronaut[::2, ::2], np.zeros((9, 9, 3), np.uint8), astronaut[:300]]
    together = detector.detect_many(frames)
    assert [len(found) for found in together] == [1, 0, 1, 0, 1]
    for frame, found in zip(frames, together, strict=True):
        alone = detector.detect(frame)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=0.01)  # the sums of a batch end in another order
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
    assert detector.detect_many([]) == []


def test_threads_share_a_detector(astronaut: NDArray[np.uint8], detector: MtcnnDetector) -> None:
    expected = detector.detect(astronaut)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(detector.detect, [astronaut] * 12):
            assert_same(found, expected)


def test_created_by_name(astronaut: NDArray[np.uint8], detector: MtcnnDetector) -> None:
    created = create_detector("mtcnn", min_face=40, thresholds=(0.6, 0.7, 0.7), factor=0.709)
    assert_same(created.detect(astronaut), detector.detect(astronaut))
    with pytest.raises(UsageError, match="dlib"):
        create_detector("dlib")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        *(
            ({"name": name, "min_face": "40"}, "min_face must be at least 12 pixels, not '40'")
            for name in get_args(DetectorName)
        ),
        *(
            ({"name": name, "min_face": True}, "min_face must be at least 12 pixels, not True")
            for name in get_args(DetectorName)
        ),
        ({"min_face": None}, "min_face must be at least 12 pixels, not None"),
        ({"min_face": float("nan")}, "min_face must be at least 12 pixels, not nan"),
        ({"thresholds": 0.6}, "thresholds must be three numbers in [0, 1), not 0.6"),
        ({"thresholds": (0.6, 0.7)}, "thresholds must be three numbers in [0, 1), not (0.6, 0.7)"),
        ({"thresholds": ("0.6", 0.7, 0.7)}, "thresholds must be three numbers in [0, 1), not ('0.6', 0.7, 0.7)"),
        ({"factor": "x"}, "the pyramid factor must lie between 0.2 and 0.96, not 'x'"),
        ({"backend": "ort"}, "backend must be BackendSettings, such as BackendSettings('ort'), or None, not 'ort'"),
        ({"on_failure": 3}, "on_failure must be a function of one text, or None, not 3"),
        ({"name": None}, "the detector is mtcnn, retinaface or haar, not None"),
    ],
)
def test_values_of_other_kinds_are_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
        create_detector(**{"name": "mtcnn"} | given)
    if not given.keys() & {"name", "backend", "on_failure"}:
        with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
            MtcnnDetector(**given)
