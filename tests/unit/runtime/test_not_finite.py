"""Faces for which a network gives no numbers: reported as such, counted, and without a trace in the faces after them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Analyzer
from ferengine._native import FACE_KEY
from ferengine.classification.quality import MEASURES
from ferengine.runtime.joiner import CameraJoiner, split_batch
from ferengine.sources.demo import DemoSource
from ferengine.stages.records import CLASSIFIED, Record, ScoreBatch, face_rows
from ferengine.tracking.track import TrackedFace

LABELS = ("angry", "happy", "sad")
NAN = math.nan


def put(joiner: CameraJoiner, sequence: int, scores: list[list[float]]) -> None:
    """A frame with a face for each row of scores."""
    faces = [TrackedFace(index, (0, 0, 10, 10), 1.0, 1.0, "tracked", None, (5, 5, 10, 0)) for index in range(len(scores))]
    joiner.add_record(Record(0, 1, sequence, sequence / 4, 1, 2, CLASSIFIED, 0, 0, False, face_rows(faces)))
    keys = np.zeros(len(scores), FACE_KEY)
    keys["epoch"], keys["sequence"], keys["face"] = 1, sequence, np.arange(len(scores))
    measures = np.zeros((len(scores), MEASURES), np.float32)
    for _, number, epoch, index, scored in split_batch(ScoreBatch(keys, np.array(scores, np.float32), measures, 32, 3)):
        joiner.add_scores(number, epoch, index, scored)


@pytest.mark.parametrize("bad", [[NAN, NAN, NAN], [0.1, NAN, 0.9]])
def test_face_without_numbers_has_a_reason_and_is_counted(bad: list[float]) -> None:
    joiner = CameraJoiner("cam", False, LABELS, deadline=1.0, smoothing=0.8)
    good = [0.1, 0.8, 0.1]
    found = []
    for sequence, rows in enumerate(([good, good], [bad, good], [good, good])):
        put(joiner, sequence, rows)
        joined = joiner.next_ready(0.0)
        assert joined is not None
        found.append(joined.result.faces)
    assert [[face.reason for face in faces] for faces in found] == [[None, None], ["not_finite", None], [None, None]]
    assert found[1][0].expression is None
    assert joiner.unclassified["not_finite"] == 1
    for face in (*found[0], found[1][1], *found[2]):
        assert face.expression is not None
        assert face.expression.smoothed.scores == pytest.approx({"angry": 0.1, "happy": 0.8, "sad": 0.1})


def test_faces_beyond_the_largest_number_are_counted() -> None:
    joiner = CameraJoiner("cam", False, LABELS, deadline=1.0, smoothing=0.8)
    joiner.add_record(Record(0, 1, 0, 0.0, 1, 2, CLASSIFIED, 0, 0, False, face_rows([]), beyond=7))
    assert joiner.next_ready(0.0) is not None
    assert joiner.unclassified["too_many"] == 7


def test_network_without_numbers_for_the_gender_alone() -> None:
    joiner = CameraJoiner("cam", False, LABELS, deadline=1.0, smoothing=0.8, gender_labels=("man", "woman"))
    put(joiner, 0, [[0.1, 0.8, 0.1, NAN, NAN]])
    joined = joiner.next_ready(0.0)
    assert joined is not None
    [face] = joined.result.faces
    assert (face.expression, face.gender, face.reason) == (None, None, "not_finite")


def test_analyzer_reports_faces_without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    source = DemoSource()
    source.open()
    source.skip(30)
    frame = source.read()
    assert frame is not None
    with Analyzer() as analyzer:
        whole = analyzer.analyze(frame.image)
        assert whole
        scores = analyzer._classifier.read

        def first_without(crops: NDArray[np.float32]) -> NDArray[np.float32]:
            rows = scores(crops)
            rows[0] = NAN
            return rows

        monkeypatch.setattr(analyzer._classifier, "read", first_without)
        faces = analyzer.analyze(frame.image)
    assert [face.box for face in faces] == [face.box for face in whole]
    assert (faces[0].expression, faces[0].reason) == (None, "not_finite")
    assert all(face.reason is None and face.expression is not None for face in faces[1:])
