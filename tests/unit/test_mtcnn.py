"""MTCNN against the package whose weights it uses, and its behaviour at the edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine.detect import create_detector, mtcnn_weights
from ferengine.detect.mtcnn import MtcnnDetector
from ferengine.errors import ModelError, UsageError
from ferengine.sources.portraits import PORTRAITS

REFERENCE = json.loads((Path(__file__).parent / "data" / "mtcnn_reference.json").read_text())


def portrait(name: str) -> NDArray[np.uint8]:
    names = ("astronaut", "grace_hopper")
    return np.ascontiguousarray(PORTRAITS[names.index(name)].load())


def iou(a: Any, b: Any) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return float(shared / (a[2] * a[3] + b[2] * b[3] - shared))


@pytest.mark.parametrize("name", ["astronaut", "grace_hopper"])
def test_equals_the_mtcnn_package(name: str) -> None:
    witness = REFERENCE["mtcnn"]
    settings = witness["settings"]
    found = MtcnnDetector(settings["min_face"], settings["thresholds"], settings["factor"]).detect(portrait(name))
    known = witness["portraits"][name]["faces"]
    assert found.landmarks is not None
    assert len(found) == len(known) > 0
    for index, face in enumerate(known):
        assert iou(found.boxes[index], face["box"]) > 0.95
        assert np.abs(found.landmarks[index] - np.array(face["landmarks"])).max() < 2
        assert abs(found.scores[index] - face["score"]) < 0.02


@pytest.mark.parametrize("name", ["astronaut", "grace_hopper"])
def test_finds_the_face_that_facenet_pytorch_finds(name: str) -> None:
    witness = REFERENCE["facenet-pytorch"]
    settings = witness["settings"]
    found = MtcnnDetector(settings["min_face"], settings["thresholds"], settings["factor"]).detect(portrait(name))
    known = witness["portraits"][name]["faces"]
    assert len(found) == len(known)
    for index, face in enumerate(known):  # it resizes crops by area, with whole-pixel corners
        assert iou(found.boxes[index], face["box"]) > 0.85


def test_same_frame_same_faces_whatever_its_layout() -> None:
    frame = portrait("astronaut")
    wide = np.zeros((frame.shape[0], frame.shape[1] + 7, 3), np.uint8)
    wide[:, : frame.shape[1]] = frame
    detector = MtcnnDetector()
    first, again, padded = (detector.detect(f) for f in (frame, frame, wide[:, : frame.shape[1]]))
    frame.flags.writeable = False
    read_only = detector.detect(frame)
    for other in (again, padded, read_only):
        assert np.array_equal(first.boxes, other.boxes)
        assert np.array_equal(first.scores, other.scores)


@pytest.mark.parametrize("shape", [(1, 1, 3), (11, 400, 3), (16, 16, 3), (39, 39, 3)])
def test_small_frames_have_no_faces(shape: tuple[int, ...]) -> None:
    found = MtcnnDetector().detect(np.full(shape, 120, np.uint8))
    assert len(found) == 0
    assert found.landmarks is not None
    assert found.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize(
    "array", [np.zeros((50, 50), np.uint8), np.zeros((50, 50, 3), np.float32), np.zeros((50, 50, 4), np.uint8)]
)
@pytest.mark.parametrize("name", ["mtcnn", "haar"])
def test_other_arrays_are_refused(array: NDArray[Any], name: Any) -> None:
    with pytest.raises(UsageError, match=r"H, W, 3"):
        create_detector(name).detect(array)


@pytest.mark.parametrize(
    "settings",
    [{"min_face": 5}, {"min_face": float("nan")}, {"thresholds": (0.5, 0.5)}, {"thresholds": (0.5, 0.5, 1.0)},
     {"factor": 1.0}, {"max_candidates": 0}],
)  # fmt: skip
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MtcnnDetector(**settings)


def test_the_candidate_cap_bounds_the_faces() -> None:
    sheet = np.hstack([portrait("astronaut")[:400, 100:400]] * 3)
    assert len(MtcnnDetector().detect(sheet)) == 3
    assert len(MtcnnDetector(max_candidates=1).detect(sheet)) == 1


def _must_not_be_called(*_: object) -> None:
    raise AssertionError("unpickled before it was checked")


def test_weights_of_another_hash_are_not_unpickled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(mtcnn_weights, "SHA256", dict.fromkeys(("pnet", "rnet", "onet"), "0" * 64))
    monkeypatch.setattr("joblib.load", _must_not_be_called, raising=True)
    with pytest.raises(ModelError, match="pip install"):
        mtcnn_weights.mtcnn_networks()


def test_cache_is_used_repaired_and_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    networks = mtcnn_weights.mtcnn_networks()
    (cached,) = tmp_path.rglob("pnet*")
    whole = cached.read_bytes()
    cached.write_bytes(whole[:-10])
    assert mtcnn_weights.mtcnn_networks() == networks
    assert cached.read_bytes() == whole
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert mtcnn_weights.mtcnn_networks() == networks


@pytest.mark.data
def test_recall_and_false_boxes_on_photographs(data_dir: Path) -> None:
    from ferengine_tools.detection_accuracy import evaluate

    result = evaluate(MtcnnDetector(), data_dir / "faces_detection")
    assert result.recall >= 0.86
    assert result.false_per_scene <= 0.1
