"""How sure the tracks are, and what that makes of a detection in between with near search."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.results import Box
from ferengine.tracking.base import TrackerUpdate
from ferengine.tracking.detection_schedule import DetectionSchedule
from ferengine.tracking.face_tracker import FaceTracker

FRAME = np.zeros((100, 400, 3), np.uint8)
BOXES: list[Box] = [(10.0 + 90 * index, 10.0, 40.0, 40.0) for index in range(4)]


class Scripted:
    """Stays in its box, as sure as ``confidence`` says."""

    confidence = 1.0

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, self.confidence)


def followed(*confidences: float) -> FaceTracker:
    """One track each, after a frame in which its tracker was so confident."""
    trackers: list[Scripted] = []

    def make() -> Scripted:
        trackers.append(Scripted())
        return trackers[-1]

    tracker = FaceTracker(make)
    count = len(confidences)
    tracker.correct(FRAME, Detections(np.float32(BOXES[:count]).reshape(-1, 4), np.ones(count, np.float32), None), 0.0)
    for scripted, confidence in zip(trackers, confidences, strict=True):
        scripted.confidence = confidence
    tracker.advance(FRAME, 0.04)
    return tracker


@pytest.mark.parametrize(
    ("confidences", "doubt"), [((), 0.0), ((1, 1), 0.0), ((1, 0.2), 0.5), ((0, 0.2, 1, 1), 0.5), ((0.4,), 1.0), ((0,), 1.0)]
)
def test_fraction_of_weak_or_lost_tracks(confidences: tuple[float, ...], doubt: float) -> None:
    assert followed(*confidences).uncertain_fraction == doubt


def test_a_face_that_a_detection_has_denied_is_no_doubt() -> None:
    tracker = followed(0.0, 1.0)
    tracker.correct(FRAME, Detections(np.float32(BOXES[1:2]), np.ones(1, np.float32), None), 0.08)
    assert tracker.uncertain_fraction == 0.0


def test_one_weak_face_of_several_is_looked_for_near_the_tracks() -> None:
    tracker = followed(1, 0.2, 1, 1)
    assert tracker.wants_detection
    assert DetectionSchedule(True, 1.0).boxes_when_uncertain(tracker) == tuple(BOXES)


@pytest.mark.parametrize("confidences", [(0.2,), (0.2, 1), (0, 0, 0, 1), ()])
def test_a_changed_scene_is_searched_in_full(confidences: tuple[float, ...]) -> None:
    assert DetectionSchedule(True, 1.0).boxes_when_uncertain(followed(*confidences)) is None


def test_full_search_stays_full() -> None:
    policy, tracker = DetectionSchedule(False, 1.0), followed(1, 1, 1, 0.2)
    assert policy.boxes(tracker) is None
    assert policy.boxes_when_uncertain(tracker) is None
