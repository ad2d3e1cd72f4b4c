"""Identity over detections, tracking, occlusion and late corrections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine.detection.base import Detections
from ferengine.errors import UsageError
from ferengine.results import Box
from ferengine.tracking.base import TrackerUpdate
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2

FRAME = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8).repeat(10, axis=0).repeat(10, axis=1)
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


class FakeTracker:
    """Stays where it was put, unless the test says where it goes and how sure it is."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.answer = TrackerUpdate(box, 1.0)

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return self.answer


@pytest.fixture
def fakes() -> list[FakeTracker]:
    return []


@pytest.fixture
def tracker(fakes: list[FakeTracker]) -> FaceTracker:
    def make() -> FakeTracker:
        fakes.append(FakeTracker())
        return fakes[-1]

    return FaceTracker(make)


def found(boxes: Sequence[Box], *, landmarks: bool = False) -> Detections:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    points = array[:, None, :2] + POINTS * array[:, None, 2:] if landmarks else None
    return Detections(array, np.linspace(0.99, 0.9, len(array), dtype=np.float32), points)


def ids(tracker: FaceTracker) -> list[int]:
    return [face.id for face in tracker.faces]


A: Box = (10.0, 10.0, 40.0, 40.0)
B: Box = (100.0, 60.0, 40.0, 40.0)


def moved(box: Box, dx: float, dy: float = 0.0) -> Box:
    return box[0] + dx, box[1] + dy, box[2], box[3]


def test_births_count_up_and_faces_carry_the_detection(tracker: FaceTracker) -> None:
    assert tracker.wants_detection
    assert tracker.next_id == 1
    tracker.correct(FRAME, found([A, B], landmarks=True), 0.0)
    assert not tracker.wants_detection
    assert tracker.next_id == 3
    first, second = tracker.faces
    assert (first.id, first.box, first.origin, first.confidence) == (1, A, "detected", 1.0)
    assert first.score == pytest.approx(0.99)
    assert first.landmarks is not None
    assert first.landmarks.shape == (5, 2)
    assert first.region == pytest.approx((30, 26 + 0.12 * 2.67 * 16, 2.67 * 16, 0), abs=1e-4)
    assert second.box == B


def test_a_tracked_face_keeps_score_and_crop_but_no_landmarks(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A], landmarks=True), 0.0)
    before = tracker.faces[0]
    fakes[0].answer = TrackerUpdate(moved(A, 5, 3), 0.8)
    tracker.advance(FRAME, 0.1)
    (face,) = tracker.faces
    assert (face.id, face.origin, face.landmarks, face.confidence) == (1, "tracked", None, 0.8)
    assert face.score == before.score
    assert face.region == pytest.approx((before.region[0] + 5, before.region[1] + 3, *before.region[2:]))


def test_align_carries_the_angle() -> None:
    tracker = FaceTracker(FakeTracker, align=True)
    detections = found([A], landmarks=True)
    assert detections.landmarks is not None
    detections.landmarks[0, 1, 1] += 8
    tracker.correct(FRAME, detections, 0.0)
    tracker.advance(FRAME, 0.1)
    assert tracker.faces[0].region[3] == pytest.approx(math.atan2(8, 16), abs=1e-4)


def test_a_match_replaces_a_drifting_box(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    fakes[0].answer = TrackerUpdate(moved(A, 15), 0.9)
    tracker.advance(FRAME, 0.1)
    tracker.correct(FRAME, found([moved(A, 2)]), 0.2)
    (face,) = tracker.faces
    assert (face.id, face.box, face.origin) == (1, moved(A, 2), "detected")
    assert fakes[0].answer.box == moved(A, 2)


def test_a_denied_track_is_hidden_and_takes_its_id_back(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found([A, B]), 0.0)
    tracker.correct(FRAME, found([B]), 0.2)
    assert ids(tracker) == [2]
    tracker.advance(FRAME, 0.3)
    assert ids(tracker) == [2]
    tracker.correct(FRAME, found([B, moved(A, 25)]), 0.4)
    assert ids(tracker) == [1, 2]
    assert tracker.next_id == 3


@pytest.mark.parametrize("back", [moved(A, 60), (10.0, 10.0, 90.0, 90.0)])
def test_another_place_or_size_is_another_face(tracker: FaceTracker, back: Box) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    tracker.correct(FRAME, found([]), 0.2)
    tracker.correct(FRAME, found([back]), 0.4)
    assert ids(tracker) == [2]


@pytest.mark.parametrize(("timestamp", "expected"), [(4.15, 1), (4.25, 2), (-5.0, 2)])
def test_a_lost_face_dies_after_its_time(tracker: FaceTracker, timestamp: float, expected: int) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    tracker.correct(FRAME, found([]), 0.2)
    tracker.correct(FRAME, found([A]), timestamp)
    assert ids(tracker) == [expected]


def test_weak_stays_visible_and_asks_once(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    fakes[0].answer = TrackerUpdate(A, 0.2)
    tracker.advance(FRAME, 0.1)
    assert tracker.wants_detection
    assert tracker.faces[0].confidence == 0.2
    tracker.correct(FRAME, found([A]), 0.1)
    assert not tracker.wants_detection
    assert tracker.faces[0].confidence == 1.0


def test_an_occlusion_asks_once(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    fakes[0].answer = TrackerUpdate(A, 0.0)
    tracker.advance(FRAME, 0.04)
    assert tracker.wants_detection
    assert tracker.faces == []
    tracker.correct(FRAME, found([]), 0.04)
    for step in range(2, 6):
        tracker.advance(FRAME, 0.04 * step)
        assert not tracker.wants_detection
        assert tracker.faces == []
    tracker.correct(FRAME, found([A]), 0.24)
    assert ids(tracker) == [1]


def test_a_tracker_that_finds_its_face_again_needs_no_detection(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    for confidence, seen in [(0.0, []), (0.3, []), (0.9, [1]), (0.3, [1])]:
        fakes[0].answer = TrackerUpdate(A, confidence)
        tracker.advance(FRAME, 0.1)
        assert ids(tracker) == seen


def test_a_lost_tracker_is_buried_without_detections(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    fakes[0].answer = TrackerUpdate(A, 0.0)
    tracker.advance(FRAME, 0.1)
    fakes[0].answer = TrackerUpdate(A, 1.0)
    tracker.advance(FRAME, 4.2)
    assert tracker.faces == []


def test_a_face_is_looked_for_where_it_was_last_sure(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    fakes[0].answer = TrackerUpdate(moved(A, 100), 0.3)  # dragged away by a person who passed in front
    tracker.advance(FRAME, 0.1)
    tracker.correct(FRAME, found([moved(A, 5)]), 0.2)
    assert ids(tracker) == [1]


def test_sure_boxes_since_the_last_detection_count(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    frame = np.tile(FRAME[:, :50], (1, 4, 1))  # a face at 0, 50, ... pixels looks alike
    tracker.correct(frame, found([A]), 0.0)
    for box, confidence in [(moved(A, 65), 0.9), (moved(A, 140), 0.3)]:
        fakes[0].answer = TrackerUpdate(box, confidence)
        tracker.advance(frame, 0.1)
    tracker.correct(frame, found([moved(A, 50)]), 0.2)
    assert ids(tracker) == [1]


def test_two_tracks_on_one_face_ask_and_the_likeness_decides(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    beside = moved(B, -44)
    tracker.correct(FRAME, found([beside, B]), 0.0)
    fakes[0].answer = TrackerUpdate(B, 0.9)  # track 1 was carried off to the other face
    fakes[1].answer = TrackerUpdate(moved(B, 3), 0.9)
    tracker.advance(FRAME, 0.1)
    assert tracker.wants_detection
    tracker.correct(FRAME, found([B]), 0.1)
    assert [(face.id, face.box) for face in tracker.faces] == [(2, B)]
    tracker.correct(FRAME, found([B, beside]), 0.2)
    assert [(face.id, face.box) for face in tracker.faces] == [(1, beside), (2, B)]


def test_detections_that_overlap_do_not_ask(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found([A, moved(A, 6)]), 0.0)
    tracker.advance(FRAME, 0.1)
    assert not tracker.wants_detection
    assert ids(tracker) == [1, 2]


def test_likeness_decides_who_came_back(tracker: FaceTracker) -> None:
    left, right = (20.0, 20.0, 40.0, 40.0), (50.0, 20.0, 40.0, 40.0)
    tracker.correct(FRAME, found([left, right]), 0.0)
    tracker.correct(FRAME, found([]), 0.1)
    swapped = FRAME.copy()
    swapped[20:60, 20:60] = FRAME[20:60, 50:90]
    swapped[20:60, 60:100] = FRAME[20:60, 20:60]
    tracker.correct(swapped, found([left]), 0.2)
    assert [(face.id, face.box) for face in tracker.faces] == [(2, left)]


def test_a_late_detection_is_matched_where_the_faces_were(tracker: FaceTracker, fakes: list[FakeTracker]) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    fakes[0].answer = TrackerUpdate(moved(A, 60), 0.9)
    tracker.advance(FRAME, 0.1)
    snapshot = tracker.snapshot()
    fakes[0].answer = TrackerUpdate(moved(A, 130), 0.9)
    tracker.advance(FRAME, 0.2)
    searched = FRAME.copy()
    searched[10:50, 72:112] = FRAME[10:50, 10:50]
    tracker.correct(searched, found([moved(A, 62), (10.0, 70.0, 40.0, 40.0)]), 0.1, snapshot)
    assert [(face.id, face.box) for face in tracker.faces] == [(1, moved(A, 62)), (2, (10.0, 70.0, 40.0, 40.0))]
    assert fakes[0].answer.box == moved(A, 62)


def test_a_late_detection_does_not_deny_a_younger_track(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    snapshot = tracker.snapshot()
    tracker.correct(FRAME, found([A, B]), 0.1)
    tracker.correct(FRAME, found([A]), 0.0, snapshot)
    assert ids(tracker) == [1, 2]


def test_correct_after_advance_on_the_same_frame(tracker: FaceTracker) -> None:
    tracker.correct(FRAME, found([A]), 0.0)
    tracker.advance(FRAME, 0.1)
    tracker.correct(FRAME, found([A]), 0.1)
    tracker.correct(FRAME, found([A]), 0.1)
    assert [(face.id, face.origin) for face in tracker.faces] == [(1, "detected")]


def test_unusable_detections_are_ignored(tracker: FaceTracker) -> None:
    bad: list[Box] = [(0, 0, 0, 10), (0, 0, 10, -1), (math.nan, 0, 9, 9), (0, 0, math.inf, 9)]
    tracker.correct(FRAME, found([*bad, A]), 0.0)
    assert [(face.id, face.box) for face in tracker.faces] == [(1, A)]
    assert tracker.faces[0].score == pytest.approx(0.9)


def test_ids_go_on_after_a_restart() -> None:
    tracker = FaceTracker(FakeTracker, first_id=41)
    tracker.correct(FRAME, found([A]), 0.0)
    assert ids(tracker) == [41]
    assert tracker.next_id == 42


@pytest.mark.parametrize("option", [{"weak_confidence": 1.5}, {"min_iou": 0.0}, {"max_lost_s": -1.0}, {"max_lost_s": math.nan}])
def test_options_out_of_range_are_named(option: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        FaceTracker(FakeTracker, **option)  # type: ignore[arg-type]


box_strategy = st.tuples(st.floats(-20, 150), st.floats(-20, 110), st.floats(5, 60, width=32), st.floats(5, 60, width=32))
steps = st.lists(
    st.one_of(st.none(), st.lists(box_strategy, max_size=4)), min_size=1, max_size=12
)  # None: followed, else corrected


@settings(max_examples=40, deadline=None)
@given(steps)
def test_any_run_repeats_and_no_id_is_used_twice(run: list[list[Box] | None]) -> None:
    def play() -> list[list[tuple[object, ...]]]:
        tracker = FaceTracker()
        frames = np.random.default_rng(1).integers(0, 256, (len(run), 120, 160, 3), np.uint8)
        seen = []
        for index, (frame, boxes) in enumerate(zip(frames, run, strict=True)):
            if boxes is None:
                tracker.advance(frame, index / 10)
            else:
                tracker.correct(frame, found(boxes), index / 10)
                assert len(tracker.faces) == len(boxes)
            faces = [(face.id, face.box, face.confidence, face.region) for face in tracker.faces]
            assert ids(tracker) == sorted(set(ids(tracker)))
            assert all(identity < tracker.next_id for identity in ids(tracker))
            seen.append(faces)
        return seen  # type: ignore[return-value]

    assert play() == play()


def test_memory_is_bounded_over_births_and_deaths(tracker: FaceTracker) -> None:
    rng = np.random.default_rng(0)
    most, last = 0, 0
    for index in range(4_000):
        if index % 3 == 0:
            boxes = [(float(x), float(y), 30.0, 30.0) for x, y in rng.uniform(0, 400, (2, 2))]
            tracker.correct(FRAME, found(boxes), index / 10)
        else:
            tracker.advance(FRAME, index / 10)
        most = max(most, len(tracker.snapshot().boxes))
        assert ids(tracker) == sorted(set(ids(tracker)))
        last = max([last, *ids(tracker)])
    assert last > 2000
    assert most <= 32


# Rendered scenes with KCF and a detector that sees what is there, one frame in six.


def texture(side: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


BACKGROUND = cv2.GaussianBlur(np.random.default_rng(7).integers(0, 256, (240, 480, 3), np.uint8), (0, 0), 2)


def paint(frame: np.ndarray, patch: np.ndarray, x: float, y: float, angle: float = 0.0) -> None:
    side = patch.shape[0]
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, 1.0)
    turn[:, 2] += (x, y)
    size = (frame.shape[1], frame.shape[0])
    inside = cv2.warpAffine(np.full((side, side), 255, np.uint8), turn, size) > 127
    frame[inside] = cv2.warpAffine(patch, turn, size, borderMode=cv2.BORDER_REPLICATE)[inside]


def drive(frames: Sequence[np.ndarray], truth: Sequence[Sequence[Box | None]], seed: int = 0) -> list[dict[int, Box]]:
    """Detect one frame in six and when asked, follow the others; what is seen, by id, for each frame."""
    rng = np.random.default_rng(seed)
    tracker = FaceTracker()
    seen = []
    for index, (frame, boxes) in enumerate(zip(frames, truth, strict=True)):
        if index % 6:
            tracker.advance(frame, index / 25)
        if index % 6 == 0 or tracker.wants_detection:
            noisy = [tuple(np.array(box) + rng.normal(0, 1, 4)) for box in boxes if box is not None]
            tracker.correct(frame, found(noisy), index / 25)  # type: ignore[arg-type]
        seen.append({face.id: face.box for face in tracker.faces})
    return seen


def test_an_id_survives_five_occluded_frames() -> None:
    frames, truth = [], []
    for index in range(40):
        frame, x = BACKGROUND.copy(), 100.0 + 2 * index
        paint(frame, texture(60, 1), x, 80)
        occluded = 15 <= index < 20
        if occluded:
            paint(frame, texture(110, 5), x - 25, 55)
        frames.append(frame)
        truth.append([None if occluded else (x, 80.0, 60.0, 60.0)])
    seen = drive(frames, truth)
    assert {identity for faces in seen for identity in faces} == {1}
    assert all(not faces for faces in seen[15:20])
    assert seen[24]
    assert all(1 in faces for faces in seen[24:])


def test_an_id_survives_a_turn_of_thirty_degrees() -> None:
    frames, truth = [], []
    for index in range(40):
        frame = BACKGROUND.copy()
        paint(frame, texture(60, 1), 200, 80, angle=30 * math.sin(index / 40 * 2 * math.pi))
        frames.append(frame)
        truth.append([(200.0, 80.0, 60.0, 60.0)])
    seen = drive(frames, truth)
    assert all(list(faces) == [1] for faces in seen)
    assert all(iou_matrix([faces[1]], [(200, 80, 60, 60)])[0, 0] > 0.7 for faces in seen)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("speed", [3.0, 6.0, 9.0])
def test_two_faces_that_pass_at_touching_distance_keep_their_ids(speed: float, seed: int) -> None:
    frames, truth = [], []
    for index in range(int(300 / speed)):
        frame, forth, back = BACKGROUND.copy(), 60.0 + speed * index, 360.0 - speed * index
        paint(frame, texture(60, 1), forth, 50)
        paint(frame, texture(60, 2), back, 112)
        frames.append(frame)
        truth.append([(forth, 50.0, 60.0, 60.0), (back, 112.0, 60.0, 60.0)])
    seen = drive(frames, truth, seed)
    for faces, boxes in zip(seen, truth, strict=True):
        for identity, box in zip((1, 2), boxes, strict=True):
            assert iou_matrix([faces[identity]], [box])[0, 0] > 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2e9])
@pytest.mark.parametrize("place", range(4))
def test_detection_that_is_nowhere_is_ignored(bad: float, place: int) -> None:
    tracker, box = FaceTracker(), list(A)
    box[place] = bad
    tracker.correct(FRAME, found([(box[0], box[1], box[2], box[3]), B]), 0.0)
    assert [face.box for face in tracker.faces] == [B]


def test_landmarks_that_are_not_finite_are_none(tracker: FaceTracker) -> None:
    detections = found([A, B], landmarks=True)
    assert detections.landmarks is not None
    detections.landmarks[0, 2, 1] = np.nan
    tracker.correct(FRAME, detections, 0.0)
    first, second = tracker.faces
    assert first.landmarks is None
    assert np.isfinite(first.region).all()
    assert second.landmarks is not None
