"""How much a face must look like itself to keep its id, after cuts and out of sight."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.detection.birth import BirthScores
from ferengine.results import Box
from ferengine.tracking.appearance import appearance, similarity
from ferengine.tracking.base import TrackerUpdate
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.recognition import least_similarity
from ferengine.tracking.scene import SceneCuts
from ferengine.vision import cv2

BOX: Box = (40.0, 40.0, 48.0, 48.0)


@pytest.mark.parametrize(
    ("lost_s", "seen_s", "confidence", "denied", "least"),
    [
        (0.0, 0.24, 1.0, False, 0.4),
        (0.0, 0.4, 1.0, False, 0.3),
        (0.0, 0.24, 0.59, False, 0.45),
        (0.0, 0.4, 0.59, False, 0.35),
        (0.0, 0.24, 0.1, False, 0.6),
        (0.3, 0.4, 0.3, False, 0.0),
        (0.3, 0.4, 0.3, True, 0.4),
        (0.7, 0.9, 0.0, False, 0.4),
        (2.0, 2.2, 0.0, False, 0.6),
    ],
)
def test_the_less_the_place_says_the_more_alike_a_face_must_be(
    lost_s: float, seen_s: float, confidence: float, denied: bool, least: float
) -> None:
    assert least_similarity(lost_s, seen_s, confidence, denied) == pytest.approx(least)


class Lost:
    """Loses its face in the first frame in which it is to find it."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.0)


def scene(face: np.ndarray, seed: int) -> np.ndarray:
    """A background of its own with ``face``, float (6, 6), at BOX."""
    image = np.random.default_rng(seed).integers(0, 256, (8, 8, 1)).repeat(20, axis=0).repeat(20, axis=1).astype(float)
    image[40:88, 40:88, 0] = cv2.resize(face, (48, 48), interpolation=cv2.INTER_CUBIC)
    return np.repeat(np.clip(image, 0, 255), 3, axis=2).astype(np.uint8)


def blended(own: float) -> np.ndarray:
    """A face, float (6, 6), that is another one but for ``own``."""
    first, other = np.random.default_rng(0).normal(0, 40, (2, 6, 6))
    return np.asarray(128 + own * first + np.sqrt(1 - own * own) * other)


FOUND = Detections(np.array([BOX], np.float32), np.ones(1, np.float32), None)


@pytest.mark.parametrize(("own", "alike", "ids"), [(1.0, 1.0, [1]), (0.9, 0.84, [1]), (0.8, 0.7, [2]), (0.0, 0.14, [2])])
def test_after_a_cut_an_id_goes_on_only_where_the_face_looks_the_same(own: float, alike: float, ids: list[int]) -> None:
    before, after = scene(blended(1.0), 1), scene(blended(own), 2)
    assert similarity(appearance(before, BOX), appearance(after, BOX)) == pytest.approx(alike, abs=0.02)
    tracker = FaceTracker(Lost)
    tracker.correct(before, FOUND, 0.0)
    tracker.correct(after, FOUND, 0.04)
    assert tracker.is_cut
    assert [face.id for face in tracker.faces] == ids


class Sure(Lost):
    """Sure of whatever is there."""

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.9)


@pytest.mark.parametrize(("own", "ids"), [(0.7, [1]), (0.0, [2])])
def test_a_sure_tracker_does_not_carry_an_id_to_another_face(own: float, ids: list[int]) -> None:
    tracker = FaceTracker(Sure)
    tracker.correct(scene(blended(1.0), 1), FOUND, 0.0)
    tracker.correct(scene(blended(own), 1), FOUND, 0.04)
    assert not tracker.is_cut
    assert [face.id for face in tracker.faces] == ids


def test_what_was_refused_as_another_face_does_not_take_the_id_a_moment_later() -> None:
    """Not even where it is not yet believed to be a new one."""
    tracker = FaceTracker(Lost, births=BirthScores(0.98, 0.85, 0.9))
    tracker.correct(scene(blended(1.0), 1), FOUND, 0.0)
    other, doubtful = scene(blended(0.0), 1), Detections(FOUND.boxes, np.array([0.92], np.float32), None)
    seen = []
    for timestamp in (0.04, 0.08):
        tracker.correct(other, doubtful, timestamp)
        seen.append([face.id for face in tracker.faces])
    assert seen == [[], [2]]


class Doubting(Lost):
    """Doubts whatever is there."""

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.7)


@pytest.mark.parametrize(
    ("faces", "replaced", "is_cut"), [(2, 2, False), (3, 1, False), (3, 2, True), (4, 2, False), (4, 3, True)]
)
def test_a_page_of_others_is_another_scene(monkeypatch: pytest.MonkeyPatch, faces: int, replaced: int, is_cut: bool) -> None:
    monkeypatch.setattr(SceneCuts, "change", lambda *_: "possible")
    own, other = scene(blended(1.0), 1), scene(blended(0.0), 1)
    before = np.concatenate([own] * faces, axis=1)
    after = np.concatenate([other] * replaced + [own] * (faces - replaced), axis=1)
    boxes = np.array([(160 * number + 40, 40, 48, 48) for number in range(faces)], np.float32)
    tracker = FaceTracker(Doubting)
    tracker.correct(before, Detections(boxes, np.ones(faces, np.float32), None), 0.0)
    tracker.advance(after, 0.04)
    assert tracker.is_cut == is_cut


@pytest.mark.parametrize(("own", "ids"), [(1.0, [1]), (0.85, [2])])
def test_in_a_dissolve_a_face_must_look_as_no_mixture_does(monkeypatch: pytest.MonkeyPatch, own: float, ids: list[int]) -> None:
    """Half way it is much like both people: as alike as after a cut is not enough."""
    tracker = FaceTracker(Doubting)
    tracker.correct(scene(blended(1.0), 1), FOUND, 0.0)
    monkeypatch.setattr(SceneCuts, "change", lambda *_: "dissolve")
    tracker.correct(scene(blended(own), 1), FOUND, 0.04)
    assert tracker.is_cut
    assert [face.id for face in tracker.faces] == ids
