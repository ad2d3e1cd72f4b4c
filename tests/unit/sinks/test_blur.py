"""Blurring: which boxes in which frames, what is left inside them, and nothing of a face in a saved video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ferengine import Engine
from ferengine.config import make_config
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.errors import UsageError
from ferengine.results import Box, Face
from ferengine.sinks.blur import blur_boxes, blur_faces
from ferengine.sinks.blur_plan import BlurPlan
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.vision import cv2


def face(track: int | None, box: Box = (100, 100, 40, 40)) -> Face:
    return Face(track, box, 1.0, 1.0, "tracked", None, None)


def planned(frames: int, *tracks: list[int]) -> list[list[float]]:
    """The widths of the boxes to blur in each frame, given which tracks are in it."""
    plan = BlurPlan[int](frames)
    done = [entry for number, present in enumerate(tracks) for entry in plan.add(number, map(face, present))] + plan.flush()
    assert [item for item, _ in done] == list(range(len(tracks)))
    return [[round(box[2]) for box in boxes] for _, boxes in done]


def test_a_face_is_blurred_before_it_is_found_and_after_it_is_lost() -> None:
    assert planned(2, [], [], [], [1], [1], [], [], [], []) == [[], [68], [64], [60], [60], [64], [68], [], []]


def test_a_face_that_comes_back_is_blurred_in_between() -> None:
    assert planned(3, [1], [], [1]) == [[60, 68], [64, 64], [60]]


def test_tracks_are_blurred_each_for_itself() -> None:
    assert planned(1, [1], [1, 2], [2]) == [[60, 64], [60, 60], [64, 60]]


def test_without_holding_back_each_frame_comes_at_once() -> None:
    plan = BlurPlan[str](0)
    assert plan.add("a", [face(1)]) == [("a", [(90.0, 90.0, 60.0, 60.0)])]
    assert plan.add("b", []) == [("b", [])]
    assert plan.flush() == []


@pytest.mark.parametrize("box", [(40, 30, 50, 60), (-20, -20, 60, 60), (290, 220, 60, 60), (100, 100, 3, 2), (-90, 0, 50, 50)])
def test_inside_only_mean_colours_are_left_and_outside_nothing_changes(box: Box) -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    before, outside = image.copy(), np.ones(image.shape[:2], bool)
    blur_boxes(image, [box])
    x, y, w, h = box
    outside[max(0, y) : max(0, y + h + 1), max(0, x) : max(0, x + w + 1)] = False
    np.testing.assert_array_equal(image[outside], before[outside])
    inside = ~outside
    if inside.sum() > 100:
        assert image[inside].std() < 0.25 * before[inside].std()
        region = image[max(0, y) : y + h, max(0, x) : x + w]
        assert np.abs(cv2.Laplacian(region.astype(np.float32), cv2.CV_32F)).mean() < 5


def test_every_face_of_a_still_image_is_blurred() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 500, 3), np.uint8)
    blurred = image.copy()
    blur_faces(blurred, [face(None, (60.0 + 150 * number, 80, 40, 40)) for number in range(3)])
    changed = (blurred != image).any(axis=2)
    assert [changed[70:130, left : left + 60].mean() > 0.9 for left in (50, 200, 350)] == [True] * 3


def test_the_half_of_a_face_at_the_border_gets_half_the_colours() -> None:
    image = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    expected = image.copy()
    cells = cv2.resize(image[20:101, :41], (3, 6), interpolation=cv2.INTER_AREA)
    expected[20:101, :41] = cv2.resize(cells, (41, 81), interpolation=cv2.INTER_CUBIC)
    blur_boxes(image, [(-40, 20, 80, 80)])
    np.testing.assert_array_equal(image, expected)


def test_no_detector_finds_a_blurred_face() -> None:
    image = ASTRONAUT.load()
    detector = MtcnnDetector()
    found = detector.detect(image)
    assert len(found.boxes) == 1
    blur_faces(image, [face(None, tuple(map(float, found.boxes[0])))])
    assert len(detector.detect(image).boxes) == 0


def test_no_frame_of_a_video_shows_a_face_that_came_between_detections(tmp_path: Path) -> None:
    """In the scene a face enters while detection looks at every twelfth frame only."""
    path, detector = tmp_path / "blurred.mp4", MtcnnDetector()
    with Engine("demo:entries", max_frames=48, detect_every=12, blur=True, save=path) as engine:
        seen = [(len(result.faces), len(detector.detect(image).boxes)) for result, image in engine.results(frames=True)]
    assert sum(known < visible for known, visible in seen) >= 3, "no face came between detections"
    video = cv2.VideoCapture(str(path))
    assert [len(detector.detect(image).boxes) for _, image in iter(video.read, (False, None))] == [0] * len(seen)


def test_blur_and_near_search_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="blur needs search full"):
        make_config(blur=True, search="near")
    assert make_config().blur_frames is None
    assert make_config(blur=True, detect_every=3).blur_frames == 6
