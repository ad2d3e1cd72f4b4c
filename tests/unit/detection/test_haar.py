"""The Haar cascade: the baseline detector."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ferengine.detection import create_detector, haar
from ferengine.detection.haar import HaarDetector
from ferengine.errors import MissingDependencyError, UsageError
from ferengine.sources.demo.portraits import ASTRONAUT, HOPPER, Portrait
from ferengine.tracking.matching import iou_matrix


@pytest.fixture(scope="module")
def detector() -> HaarDetector:
    return HaarDetector()


@pytest.mark.parametrize("portrait", [ASTRONAUT, HOPPER], ids=["astronaut", "grace_hopper"])
def test_finds_the_portraits(detector: HaarDetector, portrait: Portrait) -> None:
    found = detector.detect(portrait.load())
    assert found.landmarks is None
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert iou_matrix(found.boxes[:1], [portrait.box])[0, 0] > 0.5  # best first
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores > 0) & (found.scores < 1)).all()


def test_views_give_the_same_faces(detector: HaarDetector) -> None:
    image = ASTRONAUT.load()
    expected = detector.detect(np.ascontiguousarray(image[:400, 30:430]))
    assert len(expected) > 0
    flipped = np.ascontiguousarray(image[:400, 30:430][::-1])
    for view in (image[:400, 30:430], flipped[::-1]):
        np.testing.assert_array_equal(detector.detect(view).boxes, expected.boxes)


@pytest.mark.parametrize("shape", [(11, 11), (39, 39), (39, 640)])
def test_frames_too_small_for_a_face(detector: HaarDetector, shape: tuple[int, int]) -> None:
    assert len(detector.detect(np.zeros((*shape, 3), np.uint8))) == 0


def test_flat_frame(detector: HaarDetector) -> None:
    found = detector.detect(np.full((200, 200, 3), 90, np.uint8))
    assert len(found) == 0
    assert found.landmarks is None


def test_min_face() -> None:
    image = ASTRONAUT.load()
    assert len(HaarDetector(min_face=12).detect(image[::4, ::4])) == 1  # a face of some 25 pixels
    assert len(HaarDetector(min_face=40).detect(image[::4, ::4])) == 0


def test_grey_frames_are_refused(detector: HaarDetector) -> None:
    with pytest.raises(UsageError, match=r"the shape \(H, W, 3\) BGR, not \(50, 50\)"):
        detector.detect(np.zeros((50, 50), np.uint8))


@pytest.mark.parametrize("min_face", [0, 11.9, float("nan"), float("inf")])
def test_bad_arguments(min_face: float) -> None:
    with pytest.raises(UsageError, match="min_face"):
        HaarDetector(min_face)


@pytest.mark.parametrize("with_module", [True, False])
def test_an_opencv_without_the_cascades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_module: bool) -> None:
    bare = SimpleNamespace(__version__="5.0.0")
    if with_module:
        bare.data = SimpleNamespace(haarcascades=f"{tmp_path}/")
    monkeypatch.setattr(haar, "cv2", bare)
    with pytest.raises(MissingDependencyError, match=r"OpenCV 5\.0\.0 .*install 'opencv-contrib-python<5'"):
        HaarDetector()


def test_created_by_name() -> None:
    assert isinstance(create_detector("haar"), HaarDetector)
