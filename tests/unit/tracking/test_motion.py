"""Where a face that is out of sight may have gone, and that it gets its id back there."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.results import Box
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.motion import Motion

SIDE = 40.0
FACE = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
OTHER = np.random.default_rng(6).integers(0, 256, (8, 8, 3), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
GROUND = np.random.default_rng(7).integers(0, 256, (12, 48, 3), np.uint8).repeat(10, axis=0).repeat(10, axis=1)


def at(x: float, y: float = SIDE) -> Box:
    return x, y, SIDE, SIDE


def moving(*places: tuple[float, float]) -> Motion:
    motion = Motion(at(places[0][1]), places[0][0])
    for timestamp, x in places[1:]:
        motion.add(at(x), timestamp)
    return motion


@pytest.mark.parametrize(
    ("box", "expected"),
    [(at(75), at(75)), (at(500), at(90)), (at(0), at(60)), (at(80, 70), at(80)), (at(75, -500), at(75))],
    ids=["on the way", "beyond", "behind", "beside", "far beside"],
)
def test_the_nearest_place_is_on_the_way_as_far_as_it_may_have_come(box: Box, expected: Box) -> None:
    motion = moving((0.0, 20), (0.2, 40), (0.4, 60))  # 100 pixels a second
    assert motion.nearest(box, 0.7) == pytest.approx(expected)


def test_a_face_is_not_followed_further_than_two_of_its_sides() -> None:
    motion = moving((0.0, 20), (0.2, 40), (0.4, 60))
    assert motion.nearest(at(500), 4.0) == pytest.approx(at(60 + 2 * SIDE))


@pytest.mark.parametrize(
    "motion",
    [
        moving((0.0, 60)),
        moving((0.0, 60), (0.2, 60)),
        moving((0.0, 20), (0.05, 60)),
        moving((0.0, 20), (1.4, 60)),
        moving((0.2, 20), (0.0, 60)),
    ],
    ids=["seen once", "stands still", "too soon", "too long ago", "the clock goes back"],
)
def test_without_a_speed_the_place_stays(motion: Motion) -> None:
    assert motion.nearest(at(100), 0.6) == at(60)


def test_the_speed_is_that_of_the_last_two_steps() -> None:
    motion = moving((0.0, 0), (0.2, 0), (0.4, 30), (0.6, 60))
    assert motion.nearest(at(500), 0.8) == pytest.approx(at(90))


def test_the_way_begins_anew_after_a_cut() -> None:
    motion = moving((0.0, 20), (0.2, 40))
    motion.restart(at(200), 0.4)
    assert motion.nearest(at(300), 0.6) == at(200)
    motion.add(at(190), 0.6)
    assert motion.nearest(at(100), 0.8) == pytest.approx(at(180))


def frame(face: np.ndarray | None, x: float) -> tuple[np.ndarray, Detections]:
    """A frame with a face at a place, or none, and what a detector finds in it."""
    image = GROUND.copy()
    boxes = np.array([] if face is None else [at(x)], np.float32).reshape(-1, 4)
    if face is not None:
        image[40:80, round(x) : round(x) + 40] = face
    return image, Detections(boxes, np.full(len(boxes), 0.99, np.float32), None)


@pytest.mark.parametrize(
    ("face", "x", "timestamp", "expected"),
    [
        (FACE, 130, 1.1, 1),  # where it comes out if it has moved on
        (FACE, 60, 1.1, 1),  # where it went out of sight
        (OTHER, 130, 1.1, 2),
        (FACE, 300, 1.1, 2),  # further than it can have come
        (FACE, 130, 0.6, 2),  # so far only later
    ],
    ids=["moved on", "stayed", "another one", "too far", "too soon"],
)
def test_a_face_that_passes_behind_something_keeps_its_id(face: np.ndarray, x: float, timestamp: float, expected: int) -> None:
    tracker = FaceTracker()
    for number in range(5):  # 100 pixels a second
        seen, found = frame(FACE, 20 + 10 * number)
        tracker.correct(seen, found, 0.1 * number)
    assert [face.id for face in tracker.faces] == [1]
    for number in range(5, round(10 * timestamp)):
        tracker.correct(*frame(None, 0), 0.1 * number)
    assert tracker.faces == []
    seen, found = frame(face, x)
    for late in (0.0, 0.2):
        tracker.correct(seen, found, timestamp + late)
    assert [face.id for face in tracker.faces] == [expected]
