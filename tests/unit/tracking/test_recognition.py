"""How much a face must look like itself to keep its id, after cuts and out of sight."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.results import Box
from ferengine.tracking.appearance import similarity, thumbnail
from ferengine.tracking.base import TrackerUpdate
from ferengine.tracking.face_tracker import FaceTracker
from ferengine.tracking.recognition import least_similarity

BOX: Box = (40.0, 40.0, 48.0, 48.0)


@pytest.mark.parametrize(
    ("same_scene", "lost_s", "confidence", "least"),
    [(True, 0.0, 1.0, 0.0), (True, 0.0, 0.2, 0.5), (True, 0.7, 0.0, 0.5), (True, 2.0, 0.0, 0.7), (False, 0.0, 0.0, 0.8)],
)
def test_the_less_the_place_says_the_more_alike_a_face_must_be(
    same_scene: bool, lost_s: float, confidence: float, least: float
) -> None:
    assert least_similarity(same_scene, lost_s, confidence) == least


class Lost:
    """Loses its face in the first frame in which it is to find it."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.0)


def scene(face: np.ndarray, seed: int) -> np.ndarray:
    """A background of its own with ``face``, float (24, 24), at BOX."""
    image = np.random.default_rng(seed).integers(0, 256, (8, 8, 1)).repeat(20, axis=0).repeat(20, axis=1).astype(float)
    image[40:88, 40:88, 0] = face.repeat(2, axis=0).repeat(2, axis=1)
    return np.repeat(np.clip(image, 0, 255), 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("own", "ids"), [(1.0, [1]), (0.9, [1]), (0.75, [2]), (0.0, [2])])
def test_after_a_cut_an_id_goes_on_only_where_the_face_looks_the_same(own: float, ids: list[int]) -> None:
    first, other = np.random.default_rng(0).normal(0, 25, (2, 24, 24))
    before, after = scene(128 + first, 1), scene(128 + own * first + np.sqrt(1 - own * own) * other, 2)
    assert similarity(thumbnail(before, BOX), thumbnail(after, BOX)) == pytest.approx(own, abs=0.1)
    tracker, found = FaceTracker(Lost), Detections(np.array([BOX], np.float32), np.ones(1, np.float32), None)
    tracker.correct(before, found, 0.0)
    tracker.correct(after, found, 0.04)
    assert tracker.is_cut
    assert [face.id for face in tracker.faces] == ids
