"""Cuts, and what they do to the ids of faces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.results import Box
from ferengine.tracking.base import TrackerUpdate
from ferengine.tracking.detection_schedule import DetectionSchedule
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.scene import SceneCuts
from ferengine.vision import cv2

FACE: Box = (130.0, 70.0, 60.0, 60.0)


def scene(seed: int, size: tuple[int, int] = (320, 180)) -> NDArray[np.uint8]:
    """A smooth image like a photograph out of focus, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 10, 3), np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def with_face(background: NDArray[np.uint8], person: int, box: Box = FACE) -> NDArray[np.uint8]:
    """A face, by ``person``, drawn on a copy of the background."""
    x, y, w, h = (round(value) for value in box)
    coarse = np.random.default_rng(1000 + person).integers(0, 256, (8, 8, 3), np.uint8)
    frame = background.copy()
    frame[y : y + h, x : x + w] = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    return frame


def found(*boxes: Box) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.99, np.float32), None)


@pytest.mark.parametrize("size", [(320, 180), (64, 48), (20, 20), (1920, 1080)])
def test_another_image_is_a_cut_and_the_same_one_brighter_is_not(size: tuple[int, int]) -> None:
    cuts, first, second = SceneCuts(), scene(1, size), scene(2, size)
    brighter = np.clip(first * 0.6 + 50, 0, 255).astype(np.uint8)
    shown = [first, first, brighter, second, second]
    assert [cuts.is_cut(frame, number / 30) for number, frame in enumerate(shown)] == [False, False, False, True, False]


def test_pan_is_no_cut() -> None:
    wide, cuts = scene(3, (640, 180)), SceneCuts()
    assert not any(cuts.is_cut(wide[:, x : x + 320], x / 360) for x in range(0, 320, 12))


def test_black_frame_between_is_passed_over() -> None:
    cuts, black = SceneCuts(), np.full((180, 320, 3), 16, np.uint8)
    shown = [scene(1), black, scene(1), black, scene(2)]
    assert [cuts.is_cut(frame, number / 30) for number, frame in enumerate(shown)] == [False] * 4 + [True]


@pytest.mark.parametrize("scheduled", [False, True])
def test_id_ends_at_a_cut_to_another_person_at_the_same_place(scheduled: bool) -> None:
    tracker = FaceTracker()
    tracker.correct(with_face(scene(1), 1), found(FACE), 0.0)
    tracker.advance(with_face(scene(1), 1), 0.1)
    after = with_face(scene(2), 2)
    if scheduled:
        tracker.look(after, 0.2)
    else:
        tracker.advance(after, 0.2)
    assert tracker.is_cut
    assert tracker.in_new_scene
    assert tracker.wants_detection
    assert tracker.faces == []  # nobody is shown under an id that may be another's
    assert DetectionSchedule(True, 10.0).boxes(tracker) is None
    tracker.correct(after, found(FACE), 0.2)
    assert [face.id for face in tracker.faces] == [2]
    assert tracker.is_cut
    assert not tracker.in_new_scene
    tracker.advance(after, 0.3)
    assert not tracker.is_cut
    assert [face.id for face in tracker.faces] == [2]


def test_id_survives_a_cut_away_and_back() -> None:
    tracker = FaceTracker()
    for step, (background, person) in enumerate([(1, 1), (2, 2), (1, 1)]):
        tracker.correct(with_face(scene(background), person), found(FACE), 0.3 * step)
        assert [face.id for face in tracker.faces] == [2 if person == 2 else 1]


def test_late_detection_of_the_scene_before_is_ignored() -> None:
    tracker = FaceTracker()
    before = with_face(scene(1), 1)
    tracker.correct(before, found(FACE), 0.0)
    tracker.advance(before, 0.1)
    snapshot = tracker.snapshot()
    tracker.advance(with_face(scene(2), 2), 0.2)
    tracker.correct(before, found(FACE), 0.1, snapshot)
    assert tracker.faces == []
    assert tracker.wants_detection


def test_face_that_fills_the_frame_and_is_followed_is_no_cut() -> None:
    """The sample changes as at a cut, but the tracker is sure of its face."""
    tracker = FaceTracker()
    box: Box = (20.0, 10.0, 280.0, 160.0)
    tracker.correct(with_face(scene(1), 1, box), found(box), 0.0)
    moved: Box = (60.0, 10.0, 280.0, 160.0)
    frame = with_face(scene(2, (380, 180)), 1, moved)[:, :320]
    tracker.advance(frame, 0.1)
    assert not tracker.is_cut
    assert [face.id for face in tracker.faces] == [1]


@pytest.mark.parametrize("scheduled", [False, True])
def test_id_ends_where_only_the_face_has_changed(scheduled: bool) -> None:
    """A jump cut: the background stays, and nothing of the frame says that it is another person."""
    tracker = FaceTracker()
    tracker.correct(with_face(scene(1), 1), found(FACE), 0.0)
    tracker.advance(with_face(scene(1), 1), 0.1)
    after = with_face(scene(1), 2)
    if not scheduled:
        tracker.advance(after, 0.2)
        assert tracker.wants_detection
    tracker.correct(after, found(FACE), 0.2)
    assert [face.id for face in tracker.faces] == [2]


class SureTracker:
    """Sure of everything, as a filter is of another frontal face at the same place."""

    def init(self, frame: NDArray[np.uint8], box: Box) -> None:
        self.box = box

    def update(self, frame: NDArray[np.uint8]) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.7)


def test_tracker_that_is_sure_of_another_face_does_not_hide_a_cut() -> None:
    tracker = FaceTracker(SureTracker)
    tracker.correct(with_face(scene(1), 1), found(FACE), 0.0)
    tracker.look(with_face(scene(2), 2), 0.1)
    assert tracker.is_cut
    tracker.correct(with_face(scene(2), 2), found(FACE), 0.1)
    assert [face.id for face in tracker.faces] == [2]


def test_frames_a_little_unlike_are_a_cut_where_the_faces_have_gone_or_after_black() -> None:
    first = scene(1)
    second = np.clip(0.55 * first + 0.45 * scene(2), 0, 255).astype(np.uint8)
    black = np.full_like(first, 16)
    cuts = SceneCuts()
    changes = [cuts.change(frame, number / 30) for number, frame in enumerate([first, second, black, first, black, first])]
    assert changes == ["none", "possible", "none", "cut", "none", "none"]
    for person, is_cut in ((1, False), (2, True)):
        tracker = FaceTracker()
        tracker.correct(with_face(first, 1), found(FACE), 0.0)
        tracker.advance(with_face(second, person), 0.1)
        assert tracker.is_cut == is_cut


def dissolving(seconds: float, people: tuple[int, int] = (1, 2), scenes: tuple[int, int] = (1, 2)) -> list[NDArray[np.uint8]]:
    """Half a second of one scene with a face, a dissolve, and half a second of the other, at 30 frames/s."""
    first, second = (with_face(scene(number), person) for number, person in zip(scenes, people, strict=True))
    weights = np.clip((np.arange(round(30 * (1 + seconds))) - 14) / (30 * seconds), 0, 1)
    return [np.rint((1 - weight) * first + weight * second).astype(np.uint8) for weight in weights]


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.8, 1.5])
def test_dissolve_is_found_once_when_the_second_scene_is_the_stronger(seconds: float) -> None:
    cuts = SceneCuts()
    frames = dissolving(seconds)
    found_at = [number for number, frame in enumerate(frames) if cuts.change(frame, number / 30) == "dissolve"]
    assert len(found_at) == 1
    assert 0.5 <= (found_at[0] - 14) / (30 * seconds) <= 0.6 + 0.14 / seconds
    assert cuts.dissolving_since <= 0.5 + 0.5 * seconds


@pytest.mark.parametrize("fps", [5, 15, 60])
def test_dissolve_is_found_at_other_rates(fps: int) -> None:
    frames, cuts = dissolving(0.8), SceneCuts()
    kept = frames[:: 30 // fps] if fps < 30 else [frame for frame in frames for _ in range(fps // 30)]
    changes = [cuts.change(frame, number / fps) for number, frame in enumerate(kept)]
    assert changes.count("dissolve") == 1


def test_pan_and_changing_light_are_no_dissolve() -> None:
    wide = np.concatenate([scene(number) for number in range(8)], axis=1)
    cuts = SceneCuts()
    assert "dissolve" not in [cuts.change(wide[:, x : x + 320], x / 600) for x in range(0, 2200, 20)]
    cuts = SceneCuts()
    light = 0.6 + 0.4 * np.sin(np.arange(60) / 5)
    assert {cuts.change((scene(1) * each).astype(np.uint8), number / 30) for number, each in enumerate(light)} == {"none"}


def test_negative_and_a_clock_set_back_do_no_harm() -> None:
    cuts, first = SceneCuts(), scene(1)
    negative = [np.rint(first + (255.0 - 2 * first) * weight).astype(np.uint8) for weight in np.linspace(0, 1, 20)]
    assert "dissolve" not in [cuts.change(frame, number / 30) for number, frame in enumerate(negative)]
    cuts = SceneCuts()
    for start in (1000.0, 0.0):
        changes = [cuts.change(frame, start + number / 30) for number, frame in enumerate(dissolving(0.8))]
        assert changes.count("dissolve") == 1


def test_id_does_not_dissolve_into_another_face() -> None:
    """The filter is sure throughout, and each mixture is like the one before."""
    tracker = FaceTracker(SureTracker)
    ids = []
    for number, frame in enumerate(dissolving(0.8)):
        tracker.look(frame, number / 30)
        if number % 6:
            tracker.advance(frame, number / 30)
        if number % 6 == 0 or tracker.wants_detection:
            tracker.correct(frame, found(FACE), number / 30)
        ids.append([face.id for face in tracker.faces])
    assert ids[0] == [1]
    assert ids[-1] == [2]
    assert set(map(tuple, ids)) == {(1,), (2,)}


def test_id_goes_on_where_only_the_background_dissolves() -> None:
    tracker = FaceTracker(SureTracker)
    for number, frame in enumerate(dissolving(0.8, people=(1, 1))):
        tracker.look(frame, number / 30)
        tracker.correct(frame, found(FACE), number / 30)
    assert [face.id for face in tracker.faces] == [1]
