"""Two thresholds: what starts a track, and what continues one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ferengine.config import make_config
from ferengine.detection.base import Detections
from ferengine.detection.birth import BIRTH_SCORES, BirthScores, birth_scores
from ferengine.errors import UsageError
from ferengine.results import Box
from ferengine.runtime.topology import Topology
from ferengine.tracking.base import TrackerUpdate
from ferengine.tracking.births import Births
from ferengine.tracking.detection_schedule import DetectionSchedule
from ferengine.tracking.face_tracker import FaceTracker

SCORES = BirthScores(0.95, 0.85)
HERE: Box = (10.0, 10.0, 40.0, 40.0)
NEARBY: Box = (14.0, 12.0, 40.0, 40.0)
THERE: Box = (100.0, 60.0, 40.0, 40.0)


def coarse(seed: int) -> np.ndarray:
    """An image of squares of 10 pixels, as coarse as a face."""
    return np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8).repeat(10, axis=0).repeat(10, axis=1)


FRAME, OTHER = coarse(3), coarse(10)  # faces that do not look alike


class Still:
    """Stays where it was put, as sure as ``confidence`` says."""

    confidence = 1.0

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, self.confidence)


def found(*faces: tuple[Box, float]) -> Detections:
    boxes = np.array([box for box, _ in faces], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([score for _, score in faces], np.float32), None)


def ids(tracker: FaceTracker) -> list[int]:
    return [face.id for face in tracker.faces]


@pytest.fixture
def tracker() -> FaceTracker:
    return FaceTracker(Still, births=SCORES)


def test_a_high_score_is_believed_at_once() -> None:
    births = Births(SCORES)
    assert births.choose([HERE, THERE], [0.95, 0.5], 0.0) == [True, False]
    assert not births.wants_look
    assert births.places == []


def test_two_likely_ones_of_one_place_are_believed() -> None:
    births = Births(SCORES)
    assert births.choose([HERE], [0.9], 0.0) == [False]
    assert births.wants_look
    assert births.places == [HERE]
    assert births.choose([THERE, NEARBY], [0.9, 0.86], 0.04) == [False, True]
    assert births.places == [THERE]
    assert births.choose([HERE], [0.9], 0.08) == [False]  # the first pair is used up


def test_a_second_one_must_be_likely_as_well() -> None:
    births = Births(SCORES)
    births.choose([HERE], [0.9], 0.0)
    assert births.choose([HERE], [0.84], 0.04) == [False]
    assert not births.wants_look  # each asks once
    assert births.choose([HERE], [0.9], 0.2) == [True]


def test_two_must_be_likely_enough_together() -> None:
    births = Births(BirthScores(0.98, 0.85, 0.9))
    assert births.choose([HERE], [0.86], 0.0) == [False]
    assert births.choose([NEARBY], [0.87], 0.04) == [False]
    assert not births.wants_look
    assert births.choose([HERE], [0.92], 0.08) == [False]  # with 0.87, the better of those before
    assert births.choose([HERE], [0.88], 0.12) == [True]  # with 0.92
    assert births.places == []


def test_a_pair_that_is_not_likely_enough_is_forgotten_in_time() -> None:
    births = Births(BirthScores(0.98, 0.85, 0.9))
    births.choose([HERE], [0.94], 0.0)
    births.choose([HERE], [0.85], 0.3)
    assert births.choose([HERE], [0.85], 0.4) == [False]
    assert births.choose([HERE], [0.94], 0.8) == [False]


@pytest.mark.parametrize("later", [5.0, -5.0])
def test_a_second_one_must_come_soon(later: float) -> None:
    births = Births(SCORES)
    births.choose([HERE], [0.9], 10.0)
    births.choose([], [], 10.0 + later)
    assert births.places == []
    assert births.choose([HERE], [0.9], 10.0 + later) == [False]


def test_a_slow_source_gets_its_next_detection_frame() -> None:
    births = Births(SCORES)
    births.choose([HERE], [0.9], 0.0)
    assert births.choose([HERE], [0.9], 2.0) == [True]


def test_by_default_every_detection_is_believed() -> None:
    assert Births(BirthScores()).choose([HERE], [0.1], 0.0) == [True]
    tracker = FaceTracker(Still)
    tracker.correct(FRAME, found((HERE, 0.1)), 0.0)
    assert ids(tracker) == [1]


def test_a_likely_face_asks_for_a_second_look_and_then_gets_an_id(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found((HERE, 0.9)), 0.0)
    assert ids(tracker) == []
    assert tracker.wants_detection
    tracker.advance(FRAME, 0.04)
    assert tracker.wants_detection
    tracker.correct(FRAME, found((NEARBY, 0.9)), 0.04)
    assert ids(tracker) == [1]
    assert not tracker.wants_detection


def test_a_false_box_gets_no_id_and_asks_once(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found((THERE, 0.9)), 0.0)
    tracker.correct(FRAME, found(), 0.04)
    assert not tracker.wants_detection
    for step in range(1, 20):
        tracker.correct(FRAME, found((THERE, 0.8)), 0.2 * step)
        assert ids(tracker) == []


def test_a_known_face_is_followed_with_a_low_score(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found((HERE, 0.99)), 0.0)
    tracker.correct(FRAME, found((NEARBY, 0.5)), 0.2)
    assert [(face.id, face.box, face.score) for face in tracker.faces] == [(1, NEARBY, pytest.approx(0.5))]


def test_a_lost_face_does_not_come_back_with_a_low_score(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found((HERE, 0.99)), 0.0)
    tracker.correct(FRAME, found(), 0.2)
    tracker.correct(FRAME, found((HERE, 0.6)), 0.4)
    assert ids(tracker) == []
    tracker.correct(FRAME, found((HERE, 0.86)), 0.6)
    assert ids(tracker) == [1]


def test_a_cut_ends_what_was_seen_once(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found((HERE, 0.9)), 0.0)
    tracker.advance(OTHER, 0.04)
    assert tracker.is_cut
    assert tracker.places == []
    tracker.correct(OTHER, found((HERE, 0.9)), 0.04)
    assert ids(tracker) == []


def test_near_search_looks_where_a_face_was_seen_once(tracker: FaceTracker) -> None:
    schedule = DetectionSchedule(near=True, full_scan=1.0)
    tracker.correct(FRAME, found((HERE, 0.99), (THERE, 0.9)), 0.0)
    assert schedule.boxes_when_uncertain(tracker) == (HERE, THERE)


@pytest.mark.parametrize(("gone", "expected"), [(0.3, 1), (0.8, 2), (2.0, 2)])
def test_a_face_that_looks_otherwise_comes_back_only_soon(tracker: FaceTracker, gone: float, expected: int) -> None:
    elsewhere = FRAME.copy()
    elsewhere[10:50, 10:50] = OTHER[10:50, 10:50]
    tracker.correct(FRAME, found((HERE, 0.99)), 0.0)
    tracker.correct(FRAME, found(), 0.2)
    tracker.correct(elsewhere, found((HERE, 0.99)), 0.2 + gone)
    assert ids(tracker) == [expected]


@pytest.mark.parametrize("gone", [2.0, 3.5])
def test_a_face_that_looks_as_before_comes_back_after_seconds(tracker: FaceTracker, gone: float) -> None:
    tracker.correct(FRAME, found((HERE, 0.99)), 0.0)
    tracker.correct(FRAME, found(), 0.2)
    tracker.correct(FRAME, found((HERE, 0.99)), 0.2 + gone)
    assert ids(tracker) == [1]


@pytest.mark.parametrize("confidence", [0.2, 0.4, 0.9])
def test_an_id_does_not_go_on_to_an_unlike_face_at_the_place(confidence: float) -> None:
    made: list[Still] = []

    def make() -> Still:
        made.append(Still())
        return made[-1]

    tracker = FaceTracker(make, births=SCORES)
    tracker.correct(FRAME, found((HERE, 0.99)), 0.0)
    made[0].confidence = confidence
    jump = FRAME.copy()
    jump[10:50, 10:50] = OTHER[10:50, 10:50]  # too small a part of the frame for a cut
    tracker.advance(jump, 0.04)
    assert not tracker.is_cut
    tracker.correct(jump, found((HERE, 0.99)), 0.04)
    assert ids(tracker) == [2]


def test_scores_of_the_settings() -> None:
    assert birth_scores(make_config(), stills=False) == BIRTH_SCORES["mtcnn"] == BirthScores(0.98, 0.85, 0.9)
    assert birth_scores(make_config(detector="retinaface"), stills=False) == BirthScores(0.8, 0.7)
    assert birth_scores(make_config(detector="haar"), stills=False) == BirthScores(0.0, 0.0)
    assert birth_scores(make_config(new_track_scores=(0.7, 0.6)), stills=False) == BirthScores(0.7, 0.6)
    with pytest.raises(UsageError, match="new_track_scores: the score for two detections must not be higher"):
        make_config(new_track_scores=(0.6, 0.7))


def test_single_images_keep_their_threshold() -> None:
    assert birth_scores(make_config(), stills=True) == BirthScores(0.7, 0.7)
    assert birth_scores(make_config(thresholds=(0.6, 0.7, 0.9)), stills=True) == BirthScores(0.9, 0.9)
    assert birth_scores(make_config(detector="retinaface"), stills=True) == BirthScores(0.0, 0.0)
    config = make_config()
    assert config.mtcnn_thresholds(tracked=False) == (0.6, 0.7, 0.7)
    assert config.mtcnn_thresholds(tracked=True) == (0.6, 0.7, 0.5)
    assert make_config(thresholds=(0.1, 0.2, 0.3)).mtcnn_thresholds(tracked=True) == (0.1, 0.2, 0.3)


def test_a_face_that_may_come_back_waits_until_it_can_be_recognised() -> None:
    births = Births(SCORES)
    assert births.choose([HERE], [0.99], 0.0, [True]) == [False]
    assert not births.wants_look
    assert births.choose([HERE], [0.99], 0.04, [True]) == [False]
    assert births.choose([HERE], [0.99], 0.2, [True]) == [True]  # it is somebody else
    births.choose([HERE], [0.99], 1.0, [True])
    assert births.choose([HERE], [0.99], 1.04, [False]) == [True]


def test_a_half_hidden_face_gets_its_id_back_once_it_is_seen_whole(tracker: FaceTracker) -> None:
    half = FRAME.copy()
    half[10:50, 10:30] = OTHER[10:50, 10:30]
    tracker.correct(FRAME, found((HERE, 0.99)), 0.0)
    tracker.correct(FRAME, found(), 0.2)
    tracker.correct(half, found((HERE, 0.99)), 2.0)
    assert ids(tracker) == []
    tracker.correct(FRAME, found((HERE, 0.99)), 2.2)
    assert ids(tracker) == [1]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("images", BirthScores(0.7, 0.7)), ("file", BIRTH_SCORES["mtcnn"]), ("camera", BIRTH_SCORES["mtcnn"])],
)
def test_sources_of_images_are_tracked_with_the_scores_of_single_images(kind: str, expected: BirthScores) -> None:
    joiner = SimpleNamespace(next_track_id=1, emitted=0, waiting=0)
    camera = SimpleNamespace(number=0, live=False, epoch=0, joiner=joiner, zones=(), spec=SimpleNamespace(kind=kind))
    topology = SimpleNamespace(_config=make_config())
    assert Topology._add_camera(topology, camera).births == expected  # type: ignore[arg-type]
