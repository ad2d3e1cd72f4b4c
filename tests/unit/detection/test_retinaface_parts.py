"""Which parts of a frame RetinaFace searches near known faces."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.detection.retinaface_parts import KNOWN, Part, joined, parts_near, whole_faces
from ferengine.errors import UsageError


def near(*boxes: tuple[float, float, float, float]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(boxes, np.float32)


def found(*faces: tuple[float, float, float, float, float]) -> Detections:
    values = np.array(faces, np.float32).reshape(-1, 5)
    return Detections(values[:, :4], values[:, 4], np.repeat(values[:, None, :2], 5, axis=1))


def test_a_known_face_is_searched_for_one_side_around_it() -> None:
    assert parts_near(near((600, 300, 60, 50)), 1280, 720, 0.75) == [Part(540, 240, 720, 410, 0.75)]


def test_the_frame_bounds_a_part() -> None:
    (part,) = parts_near(near((-10.5, 700, 40, 40)), 1280, 720, 0.75)
    assert (part.left, part.top, part.right, part.bottom) == (0, 660, 70, 720)


def test_a_large_face_is_scaled_down() -> None:
    (part,) = parts_near(near((500, 200, 200, 160)), 1920, 1080, 0.75)
    assert part.scale == pytest.approx(KNOWN / 200)


def test_faces_apart_are_parts_of_their_own_and_neighbours_one() -> None:
    assert len(parts_near(near((100, 100, 60, 60), (1700, 900, 60, 60)), 1920, 1080, 0.75)) == 2
    assert parts_near(near((100, 100, 60, 60), (150, 110, 60, 60)), 1920, 1080, 0.75) == [Part(40, 40, 270, 230, 0.75)]


def test_three_that_are_joined_one_after_another() -> None:
    boxes = near((100, 300, 60, 60), (260, 300, 60, 60), (180, 300, 60, 60))
    assert parts_near(boxes, 1920, 1080, 0.75) == [Part(40, 240, 380, 420, 0.75)]


@pytest.mark.parametrize(
    "boxes",
    [
        near((5000, 5000, 50, 50)),  # not in the frame
        near((10, 10, 0, 0)),  # no face
        near((50, 50, 100, 100), (400, 50, 100, 100), (200, 330, 100, 100)),  # hardly cheaper
        np.tile(np.float32([[10, 10, 40, 40]]), (33, 1)),
    ],
)
def test_the_whole_frame_where_parts_do_not_pay(boxes: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    assert parts_near(boxes, 640, 480, 0.75) == []


@pytest.mark.parametrize("boxes", [np.zeros((2, 3), np.float32), np.full((1, 4), np.inf, np.float32)])
def test_boxes_that_are_none(boxes: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    with pytest.raises(UsageError, match="near must hold finite boxes"):
        parts_near(boxes, 640, 480, 0.75)


def test_faces_that_an_edge_cuts_are_left_to_the_part_that_shows_them_whole() -> None:
    part = Part(100, 0, 300, 200, 0.75)
    faces = found((120, 10, 40, 40, 0.9), (95, 50, 40, 40, 0.8), (270, 50, 40, 40, 0.8), (150, -5, 40, 40, 0.7))
    kept = whole_faces(faces, part, 640, 480)
    assert kept.boxes[:, 0].tolist() == [120, 150]  # what the frame's own edge cuts stays
    assert kept.landmarks is not None
    assert len(kept.landmarks) == 2


def test_a_face_of_two_parts_is_one() -> None:
    both = joined([found((10, 10, 40, 40, 0.8), (200, 10, 40, 40, 0.7)), found(), found((12, 10, 40, 40, 0.9))], 0.4)
    assert both.boxes[:, 0].tolist() == [12, 200]
    assert both.scores.tolist() == pytest.approx([0.9, 0.7])
    assert both.landmarks is not None
    assert both.landmarks[:, 0, 0].tolist() == [12, 200]
    assert len(joined([found(), found()], 0.4)) == 0
