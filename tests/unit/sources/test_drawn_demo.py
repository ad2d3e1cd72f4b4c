"""The drawn faces of the demo: found by the detector, read by the model, in every scenario."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Analyzer
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.sources.demo import DemoSource
from ferengine.sources.demo.drawing import Drawing
from ferengine.sources.demo.drawn import MIENS, PEOPLE, DrawnFace, mien_at, turn_at
from ferengine.sources.spec import Scenario
from ferengine.tracking.matching import iou_matrix
from oracles.demo_truth import demo_truth


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


def frame(source: DemoSource, index: int) -> NDArray[np.uint8]:
    source.open()
    source.skip(index)
    captured = source.read()
    assert captured is not None
    return captured.image.copy()


def on_grey(cut_out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    cover = 1 - cut_out[..., 3:].astype(np.float32) / 255
    return np.asarray(np.clip(120 * cover + cut_out[..., :3], 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("scenario", "faces", "size"),
    [
        (Scenario.STROLL, 2, (640, 480)),
        (Scenario.STROLL, 4, (1280, 720)),
        (Scenario.TURN, 1, (640, 480)),
        (Scenario.CROSSING, 2, (640, 480)),
        (Scenario.EMPTY, 2, (640, 480)),
    ],
)
def test_truth_is_what_mtcnn_finds(scenario: Scenario, faces: int, size: tuple[int, int], detector: MtcnnDetector) -> None:
    source = DemoSource(*size, scenario=scenario, faces=faces, drawn=True)
    for index in range(0, 560, 79):
        found = detector.detect(frame(DemoSource(*size, scenario=scenario, faces=faces, drawn=True), index)).boxes
        truth = demo_truth(source, index)
        assert len(found) == len(truth), index
        for face in truth:
            assert iou_matrix(np.array([face.box], np.float32), found).max() > 0.6, index


def test_landmarks_lie_near_the_truth(detector: MtcnnDetector) -> None:
    source = DemoSource(faces=2, drawn=True)
    found = detector.detect(frame(source, 0))
    for face in demo_truth(source, 0):
        nearest = int(iou_matrix(np.array([face.box], np.float32), found.boxes).argmax())
        assert found.landmarks is not None
        off = np.abs(found.landmarks[nearest] - np.array(face.landmarks)) / face.box[3]
        assert off.max() < 0.2  # heads turn, portraits do not


def test_expressions_are_read_as_they_are_drawn() -> None:
    labels = {1: "happy", 3: "surprise", 5: "angry", 0: "neutral"}
    right = 0
    with Analyzer() as analyzer:
        for person in PEOPLE:
            for number, label in labels.items():
                drawing = Drawing(person, 130, 0.2)
                (face,) = analyzer.analyze(on_grey(drawing.draw(MIENS[number])))
                assert face.expression is not None
                right += face.expression.label == label
    assert right >= 13  # of 16: a model is no ruler


def test_frames_are_a_pure_function_of_seed_and_index() -> None:
    source = DemoSource(320, 240, drawn=True, seed=3)
    source.open()
    images = [captured.image.copy() for _ in range(40) if (captured := source.read()) is not None]
    assert np.array_equal(images[39], frame(DemoSource(320, 240, drawn=True, seed=3), 39))


def test_expressions_and_turns_change_smoothly() -> None:
    for person in range(4):
        shown = [mien_at(person, step / 100) for step in range(1600)]
        assert max(abs(a.smile - b.smile) for a, b in pairwise(shown)) < 0.08
        assert {round(mien.smile, 2) for mien in shown} >= {1.0, -1.0, 0.1}
        turns = [turn_at(person, step / 100) for step in range(1600)]
        assert max(turns) == pytest.approx(math.radians(20), abs=0.01)
        assert min(turns) == pytest.approx(-math.radians(20), abs=0.01)


def test_a_face_is_drawn_only_when_it_changes() -> None:
    face = DrawnFace(0, 60, 2.0)
    assert face(0.0) is face(0.07)
    assert face(0.0) is not face(0.09)


@pytest.mark.parametrize("height", [8, 40, 220])
@pytest.mark.parametrize("below", [0.3, 1.3])
def test_any_size_is_drawn_premultiplied(height: int, below: float) -> None:
    drawing = Drawing(PEOPLE[0], height, -0.3, below)
    image = drawing.draw(MIENS[3])
    assert image.dtype == np.uint8
    assert image.shape[2] == 4
    assert (image[..., :3] <= image[..., 3:].astype(int) + 1).all()
    assert image[-1, :, 3].max() < 100  # faded out
    x, y = drawing.middle
    assert image[round(y), round(x), 3] == 255
