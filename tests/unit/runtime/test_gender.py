"""The parallel network: side by side with the expression net, from the batch to the result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ferengine import Analyzer, Engine
from ferengine._native import FACE_KEY
from ferengine.classification.classifier import Classifier
from ferengine.classification.parallel_heads import ParallelClassifier
from ferengine.classification.quality import MEASURES
from ferengine.errors import ModelError
from ferengine.models.registry import SHIPPED, load_model
from ferengine.results import Gender
from ferengine.runtime.joiner import CameraJoiner, split_batch
from ferengine.sources.demo.portraits import ASTRONAUT
from ferengine.stages.records import CLASSIFIED, Record, ScoreBatch, face_rows
from ferengine.tracking.track import TrackedFace
from networks_help import read_crops

LABELS, GENDERS = ("happy", "sad"), ("male", "female")


def copy_of_dscnn(folder: Path, **changes: object) -> str:
    """The shipped network with a changed manifest."""
    manifest = json.loads((SHIPPED / "dscnn.json").read_text()) | changes
    (folder / "other.json").write_text(json.dumps(manifest))
    (folder / "other.onnx").write_bytes((SHIPPED / "dscnn.onnx").read_bytes())
    return str(folder / "other.onnx")


def test_networks_answer_side_by_side(tmp_path: Path) -> None:
    other = copy_of_dscnn(tmp_path, temperature=2.0)
    crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    scores = read_crops(ParallelClassifier(["dscnn", other]), crops)
    assert scores.shape == (5, 14)
    np.testing.assert_array_equal(scores[:, :7], Classifier("dscnn").scores(crops))
    np.testing.assert_array_equal(scores[:, 7:], Classifier(other).scores(crops))


def test_networks_that_normalise_otherwise_get_their_own_rows(tmp_path: Path) -> None:
    other = copy_of_dscnn(tmp_path, input={"size": 48, "channels": 1, "mean": 0.4, "std": 0.3, "white": 1})
    crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    networks = ParallelClassifier(["dscnn", other])
    scores = read_crops(networks, crops)
    assert networks.classifiers[1].normalisation == pytest.approx((0.4 * 255, 0.3 * 255))
    np.testing.assert_array_equal(scores[:, :7], Classifier("dscnn").scores(crops))
    np.testing.assert_array_equal(scores[:, 7:], Classifier(other).scores(crops))
    assert not np.array_equal(scores[:, 7:], scores[:, :7])


def test_a_model_of_another_task_is_refused(tmp_path: Path) -> None:
    other = copy_of_dscnn(tmp_path, task="gender")
    with pytest.raises(ModelError, match=r"other\.onnx reads gender, not expression"):
        load_model(other, "expression")
    assert load_model(other, "gender").manifest.task == "gender"


def results_of(joiner: CameraJoiner, scores: list[list[float]]) -> list[Gender | None]:
    """Gender of one tracked face, frame by frame, 0.1 s apart."""
    face = TrackedFace(1, (0.0, 0.0, 10.0, 10.0), 0.9, 1.0, "detected", None, (5.0, 5.0, 10.0, 0.0))
    answers = []
    for sequence, row in enumerate(scores):
        joiner.add_record(Record(0, 0, sequence, 0.1 * sequence, 1, 2, CLASSIFIED, 0, 0, False, face_rows([face])))
        key = np.zeros(1, FACE_KEY)
        key["sequence"] = sequence
        for _, number, epoch, index, scored in split_batch(
            ScoreBatch(key, np.array([row], np.float32), np.zeros((1, MEASURES), np.float32), 8, 3)
        ):
            joiner.add_scores(number, epoch, index, scored)
        joined = joiner.next_ready(1.0)
        assert joined is not None
        (emitted,) = joined.result.faces
        assert emitted.expression is not None
        assert emitted.expression.label == LABELS[int(row[1] > row[0])]
        answers.append(emitted.gender)
    return answers


def test_gender_is_given_beside_the_expression_and_is_slow_to_change() -> None:
    joiner = CameraJoiner("c", False, LABELS, 1.0, 0.0, gender_labels=GENDERS)
    first, second = results_of(joiner, [[0.9, 0.1, 0.2, 0.8], [0.3, 0.7, 0.9, 0.1]])
    assert isinstance(first, Gender)
    assert isinstance(second, Gender)
    assert (first.label, second.label, second.smoothed.label) == ("female", "male", "female")
    assert second.scores == pytest.approx({"male": 0.9, "female": 0.1})
    assert second.to_dict()["smoothed"]["label"] == "female"


def test_gender_is_off_unless_asked_for() -> None:
    joiner = CameraJoiner("c", False, LABELS, 1.0, 0.0)
    assert results_of(joiner, [[0.9, 0.1]]) == [None]


def test_the_shipped_network_reads_gender_beside_the_expression() -> None:
    with Engine("demo", gender=True, max_frames=12) as engine:
        assert engine.gender_labels == ("male", "female")
        faces = [face for result in engine.results() for face in result.faces]
    assert faces
    for face in faces:
        assert face.gender is not None
        assert face.gender.label in engine.gender_labels
        assert sum(face.gender.scores.values()) == pytest.approx(1, abs=1e-4)
    with Engine("demo", max_frames=3) as engine:
        assert all(face.gender is None for result in engine.results() for face in result.faces)


def test_the_analyzer_reads_gender_when_asked() -> None:
    portrait = ASTRONAUT.load()
    with Analyzer(gender=True) as analyzer:
        (face, *_) = analyzer.analyze(portrait)
    assert face.gender is not None
    assert face.gender.smoothed.scores == face.gender.scores
