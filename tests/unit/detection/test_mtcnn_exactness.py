"""MTCNN against what two other implementations of the same networks answered (see data/make_mtcnn_reference.py)."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from ferengine.detection.base import Detections
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2

REFERENCE = json.loads((Path(__file__).parent / "data" / "mtcnn_reference.json").read_text())
PORTRAITS = ("astronaut", "grace_hopper")
PROBES = {"pnet": (2, 3, 15, 18), "rnet": (2, 3, 24, 24), "onet": (2, 3, 48, 48)}


def portrait(witness: str, name: str) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    item = REFERENCE[witness]["portraits"][name]
    spec = find_spec(item["package"])
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / item["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == item["sha256"], f"{path} is another image"
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8), item["faces"]


@pytest.fixture(scope="module")
def found() -> dict[str, Detections]:
    settings = REFERENCE["mtcnn"]["settings"]
    assert settings == REFERENCE["facenet-pytorch"]["settings"]
    detector = MtcnnDetector(settings["min_face"], settings["thresholds"], settings["factor"])
    return {name: detector.detect(portrait("mtcnn", name)[0]) for name in PORTRAITS}


def distances(detections: Detections, faces: list[dict[str, Any]]) -> tuple[float, float]:
    """The smallest IoU and the largest distance of a landmark between both lists of one face each."""
    assert len(detections) == len(faces) == 1
    overlap = iou_matrix(detections.boxes, [faces[0]["box"]])[0, 0]
    assert detections.landmarks is not None
    points = np.hypot(*(detections.landmarks[0] - faces[0]["landmarks"]).T).max()
    return float(overlap), float(points)


def test_boxes_and_landmarks_are_those_of_the_mtcnn_package(found: dict[str, Detections]) -> None:
    _, faces = portrait("mtcnn", "astronaut")
    overlap, points = distances(found["astronaut"], faces)
    assert overlap > 0.95
    assert points < 2
    assert found["astronaut"].scores[0] == pytest.approx(faces[0]["score"], abs=0.005)


def test_a_large_face_is_near_that_of_the_mtcnn_package(found: dict[str, Detections]) -> None:
    """The package samples single pixels four apart where this engine averages them: it is surer, and lies a little beside."""
    _, faces = portrait("mtcnn", "grace_hopper")
    overlap, points = distances(found["grace_hopper"], faces)
    assert overlap > 0.9
    assert points < 4
    assert found["grace_hopper"].scores[0] >= faces[0]["score"]


@pytest.mark.parametrize("name", PORTRAITS)
def test_the_same_faces_as_facenet_pytorch(found: dict[str, Detections], name: str) -> None:
    """It resizes, rounds and crops in another way, hence lies further from both the package and this engine."""
    _, faces = portrait("facenet-pytorch", name)
    overlap, points = distances(found[name], faces)
    assert overlap > 0.85
    assert points < 5


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_networks_answer_as_those_of_facenet_pytorch(name: str) -> None:
    """The second witness of the conversion: same weights, another framework, another layout."""
    shape = PROBES[name]
    probe = np.sin(0.7 * np.arange(math.prod(shape), dtype=np.float64)).astype(np.float32).reshape(shape)
    session = onnxruntime.InferenceSession(mtcnn_networks()[name], providers=["CPUExecutionProvider"])
    expected = REFERENCE["facenet-pytorch"]["networks"][name]
    assert {output.name for output in session.get_outputs()} == set(expected)
    for output in session.get_outputs():
        actual = session.run([output.name], {"input": probe})[0]
        np.testing.assert_allclose(actual, expected[output.name], atol=2e-5)
