"""The comparison with facenet-pytorch, whose place a stand-in takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.vision import cv2
from ferengine_tools.detection_facenet import FacenetDetector, main


class Mtcnn:
    """Two faces in every image with something in it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def detect(self, image: NDArray[np.uint8], landmarks: bool) -> tuple[Any, Any, Any]:
        assert landmarks
        self.image = image
        if not image.any():
            return None, [None], None
        points = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
        return np.array([[1.0, 2.0, 5.0, 9.0], [10.0, 0.0, 70.0, 50.0]]), np.array([0.8, 0.9]), points


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=found.append))
    monkeypatch.setitem(sys.modules, "facenet_pytorch", SimpleNamespace(MTCNN=Mtcnn))
    return found


def test_its_answers_become_detections(threads: list[int]) -> None:
    detector = FacenetDetector(min_face=33)
    frame = np.full((80, 90, 3), (1, 2, 3), np.uint8)
    found = detector.detect(frame)
    np.testing.assert_array_equal(found.boxes, [[10, 0, 60, 50], [1, 2, 4, 7]])
    np.testing.assert_allclose(found.scores, [0.9, 0.8])
    assert found.landmarks is not None
    np.testing.assert_array_equal(found.landmarks[0], np.arange(10, 20).reshape(5, 2))
    assert detector._mtcnn.settings == {"keep_all": True, "min_face_size": 33, "device": "cpu"}
    assert tuple(detector._mtcnn.image[0, 0]) == (3, 2, 1)  # red first
    assert threads == [1]
    assert len(detector.detect(np.zeros_like(frame))) == 0


def test_both_are_measured(threads: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((80, 90, 3), 9, np.uint8))
    line = {"image": "0.png", "source": "a", "faces": [{"box": [10, 0, 60, 50]}]}
    (tmp_path / "annotations.jsonl").write_text(json.dumps(line) + "\n")
    assert main([str(tmp_path), "--json"]) == 0
    ours, theirs = json.loads(capsys.readouterr().out).values()
    assert ours["groups"]["a"] == {"found": 0, "faces": 1}
    assert theirs["groups"]["a"] == {"found": 1, "faces": 1}
    assert main([str(tmp_path)]) == 0
    assert "| mtcnn | facenet-pytorch" in " ".join(capsys.readouterr().out.split())


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    assert main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "facenet-pytorch cannot be imported" in error
    assert "--no-deps facenet-pytorch" in " ".join(error.split())
