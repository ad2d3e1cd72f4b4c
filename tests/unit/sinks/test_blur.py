"""Blurring: which boxes in which frames, what is left inside them, and nothing of a face in a saved video."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine
from ferengine.config import make_config
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.errors import UsageError
from ferengine.results import Box, Face, FrameResult, Timings
from ferengine.sinks.blur import blur_boxes, blur_faces
from ferengine.sinks.blur_plan import BlurPlan
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2

SIZE = (640, 480)


def face(track: int | None, box: Box = (100, 100, 40, 40)) -> Face:
    return Face(track, box, 1.0, 1.0, "tracked", None, None)


def result(frame: int, tracks: Iterable[int] = (), searched: int | None = None) -> FrameResult:
    """The result of a frame that was searched, or until which others were."""
    faces = tuple(map(face, tracks))
    return FrameResult(
        "door", frame, frame / 25, 0.0, faces, Timings(0, 0, 0, 0, 0), searched=frame if searched is None else searched
    )


def planned(frames: int, *tracks: list[int]) -> list[list[float]]:
    """The widths of the boxes to blur in each frame, given which tracks are in it."""
    plan = BlurPlan[int](frames)
    done = [entry for number, present in enumerate(tracks) for entry in plan.add(number, result(number, present), SIZE)]
    done += plan.flush()
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
    assert plan.add("a", result(0, [1]), SIZE) == [("a", [(90.0, 90.0, 60.0, 60.0)])]
    assert plan.add("b", result(1), SIZE) == [("b", [])]
    assert plan.flush() == []


def test_a_frame_waits_for_the_detection_that_may_find_a_face_in_it() -> None:
    """A detection of every second frame comes late: that of frame 2, which shows a new face, with the result of frame 5."""
    plan = BlurPlan[int](2)
    heard = [0, 0, 0, 0, 0, 2, 2]
    done = [
        plan.add(number, result(number, [1] if number > 4 else [], searched), SIZE) for number, searched in enumerate(heard)
    ]
    # Until frame 4 only frame 0 may go: it was searched. Frames 1 and 2 wait longer than the two frames.
    assert [[number for number, _ in each] for each in done] == [[], [], [0], [], [], [1, 2], []]
    assert [[round(box[2]) for box in boxes] for _, boxes in done[5]] == [[76], [72]]


@pytest.mark.parametrize("heard", [0, -1])
def test_a_frame_that_cannot_wait_longer_for_a_detection_is_blurred_as_a_whole(heard: int) -> None:
    plan = BlurPlan[int](2)
    done = [entry for number in range(7) for entry in plan.add(number, result(number, [1], heard), SIZE)]
    assert [number for number, _ in done] == [0, 1, 2]
    assert [boxes == [(0.0, 0.0, *SIZE)] for _, boxes in done] == [heard < 0, True, True]
    assert [plan.take_whole(), plan.take_whole()] == [2 + (heard < 0), 0]
    done = plan.add(7, result(7, [1], searched=5), SIZE)
    assert [(number, len(boxes), round(boxes[0][2])) for number, boxes in done] == [(3, 1, 60), (4, 1, 60), (5, 1, 60)]
    assert plan.take_whole() == 0


def test_the_last_frames_of_a_source_are_blurred_as_a_whole_where_no_detection_came_after_them() -> None:
    """A face that has come in since the last detection is in no result at all."""
    plan = BlurPlan[int](6)
    done = [entry for number in range(9) for entry in plan.add(number, result(number, searched=number // 3 * 3), SIZE)]
    assert [(number, boxes) for number, boxes in done + plan.flush()] == [
        (number, [] if number <= 6 else [(0.0, 0.0, *SIZE)]) for number in range(9)
    ]


def test_a_camera_that_counts_from_the_start_again_is_not_taken_for_searched() -> None:
    plan = BlurPlan[int](1)
    plan.add(100, result(100), SIZE)
    plan.add(0, result(0, searched=-1), SIZE)
    assert plan.flush() == [(0, [(0.0, 0.0, *SIZE)])]


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


def detail(image: NDArray[np.uint8], box: Box) -> float:
    """The mean gradient in the middle of a face, which the outline drawn around it does not reach."""
    x, y, w, h = box
    inside = image[max(0, int(y + 0.2 * h)) : int(y + 0.8 * h), max(0, int(x + 0.2 * w)) : int(x + 0.8 * w)]
    return float(np.abs(cv2.Laplacian(inside.astype(np.float32), cv2.CV_32F)).mean())


@pytest.mark.parametrize("frames", [pytest.param(48, id="found"), pytest.param(36, id="never-found")])
def test_no_frame_of_a_video_shows_a_face_that_came_between_detections(tmp_path: Path, frames: int) -> None:
    """In the scene a face enters while detection looks at every twelfth frame only, or the video ends before it looks again.

    Whether a face is shown is asked where there is one. In the folds of the coat below it the detector finds another, with a
    score of up to 0.8, in one of some 40 videos: the latency that is written into the corner makes each a little different.
    """
    path, detector = tmp_path / "blurred.mp4", MtcnnDetector()
    known, images = [], []
    with Engine("demo:entries", max_frames=frames, detect_every=12, blur=True, save=path) as engine:
        for read, image in engine.results(frames=True):
            known.append(len(read.faces))
            images.append(image.copy())
    visible = [detector.detect(image).boxes for image in images]
    assert sum(count < len(boxes) for count, boxes in zip(known, visible, strict=True)) >= 3, "no face came between detections"
    video = cv2.VideoCapture(str(path))
    blurred = [image for _, image in iter(video.read, (False, None))]
    assert engine.summary()["blurred_whole"] == {"video": (frames - 1) % 12}  # those after the last scheduled detection
    for before, after, boxes in zip(images, blurred, visible, strict=True):
        assert (iou_matrix(boxes, detector.detect(after).boxes) < 0.1).all()
        for box in boxes.tolist():
            assert detail(after, box) < 0.3 * detail(before, box)


def test_blur_and_near_search_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="blur needs search full"):
        make_config(blur=True, search="near")
    assert make_config().blur_frames is None
    assert make_config(blur=True, detect_every=3).blur_frames == 6


@pytest.mark.parametrize("blur", [lambda image: blur_boxes(image, [(1, 2, 9, 9)]), lambda image: blur_faces(image, [face(1)])])
def test_an_image_on_loan_is_not_blurred_in_place(blur: Callable[[NDArray[np.uint8]], None]) -> None:
    image = np.zeros((160, 160, 3), np.uint8)
    image.flags.writeable = False
    with pytest.raises(UsageError, match=r"^the image is read-only, as images on loan are: draw on a copy"):
        blur(image)
    with pytest.raises(UsageError, match=r"^an image must have the shape \(H, W, 3\) BGR"):
        blur(image[:, :, 0])
