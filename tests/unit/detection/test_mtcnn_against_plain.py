"""The native detector finds what the plain one finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.sources.demo import DemoSource
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.sources.spec import Scenario
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2
from ferengine_tools.detection_accuracy import evaluate
from oracles.plain_mtcnn import PlainMtcnn

each_instruction_set = pytest.mark.usefixtures("each_instruction_set")


def assert_alike(found: Detections, expected: Detections) -> None:
    assert len(found) == len(expected) > 0
    for index, best in enumerate(iou_matrix(expected.boxes, found.boxes).argmax(axis=1)):
        assert iou_matrix(expected.boxes[[index]], found.boxes[[best]])[0, 0] > 0.99
        assert found.scores[best] == pytest.approx(expected.scores[index], abs=0.03)
        assert found.landmarks is not None
        assert expected.landmarks is not None
        width = expected.boxes[index, 2]
        np.testing.assert_allclose(found.landmarks[best], expected.landmarks[index], atol=0.01 * width)


@each_instruction_set
@pytest.mark.parametrize("size", [(512, 512), (300, 280), (1024, 900)])
def test_portrait(size: tuple[int, int]) -> None:
    frame = np.asarray(cv2.resize(ASTRONAUT.load(), size, interpolation=cv2.INTER_AREA), np.uint8)
    assert_alike(MtcnnDetector().detect(frame), PlainMtcnn().detect(frame))


@each_instruction_set
def test_demo() -> None:
    source, native, plain = DemoSource(scenario=Scenario.STROLL), MtcnnDetector(), PlainMtcnn()
    source.open()
    for _ in range(4):
        frame = source.read().image.copy()
        assert_alike(native.detect(frame), plain.detect(frame))
        source.skip(20)


class Both:
    """Detects with both, and keeps what they said."""

    def __init__(self) -> None:
        self.native, self.plain = MtcnnDetector(), PlainMtcnn()
        self.pairs: list[tuple[Detections, Detections]] = []

    def detect(self, frame: np.ndarray) -> Detections:  # type: ignore[type-arg]
        self.pairs.append((self.native.detect(frame), self.plain.detect(frame)))
        return self.pairs[-1][0]


class Replay:
    """Says again what a detector said of the same images in the same order."""

    def __init__(self, answers: list[Detections]) -> None:
        self.answers = iter(answers)

    def detect(self, frame: np.ndarray) -> Detections:  # type: ignore[type-arg]
        return next(self.answers)


@pytest.mark.data
def test_real_photographs(data_dir: Path) -> None:
    both = Both()
    native = evaluate(both, data_dir / "faces_detection")
    plain = evaluate(Replay([expected for _, expected in both.pairs]), data_dir / "faces_detection")
    assert native.recall >= plain.recall - 0.003
    assert native.false_boxes <= plain.false_boxes
    found = sure = 0
    for detections, expected in both.pairs:
        boxes = expected.boxes[expected.scores >= 0.9]
        overlap = iou_matrix(boxes, detections.boxes).reshape(len(boxes), len(detections))
        sure += len(boxes)
        found += int((overlap.max(axis=1, initial=0) > 0.9).sum())
    assert sure > 800
    assert found >= 0.995 * sure
