"""The binary messages: each comes back as it was sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine._native import FACE_KEY
from ferengine.classification.quality import MEASURES
from ferengine.detection.base import Detections
from ferengine.errors import WorkerError
from ferengine.results import FrameResult, Timings
from ferengine.stages.records import (
    CLASSIFIED,
    FACE_RING_FULL,
    CameraEnd,
    DetectionAnswer,
    DetectionRequest,
    Record,
    RenderItem,
    ScoreBatch,
    decode_event,
    face_rows,
)
from ferengine.tracking.track import TrackedFace

u4 = st.integers(0, 2**32 - 1)
u8 = st.integers(0, 2**63 - 1)
f4 = st.floats(-1e6, 1e6, width=32)
boxes = st.tuples(f4, f4, f4, f4)
requests = st.builds(DetectionRequest, u4, u4, u4, u4, u8, u4, st.none() | st.lists(boxes, max_size=5).map(tuple))
landmarks = st.none() | st.just(np.arange(10, dtype=np.float32).reshape(5, 2))
faces = st.builds(
    TrackedFace, st.integers(1, 2**32 - 1), boxes, f4, f4, st.sampled_from(["detected", "tracked"]), landmarks, boxes
)


@given(requests)
def test_detection_requests(request: DetectionRequest) -> None:
    assert DetectionRequest.decode(request.encode()) == request


@given(requests, st.integers(0, 6), st.booleans())
def test_detection_answers(request: DetectionRequest, count: int, landmarks: bool) -> None:
    random = np.random.default_rng(count)
    points = random.random((count, 5, 2), np.float32) if landmarks else None
    found = Detections(random.random((count, 4), np.float32), random.random(count, np.float32), points)
    answer = DetectionAnswer.decode(DetectionAnswer(request, found).encode())
    assert (answer.request.camera, answer.request.sequence) == (request.camera, request.sequence)
    assert (answer.request.epoch, answer.request.tracker) == (request.epoch, request.tracker)
    np.testing.assert_array_equal(answer.detections.boxes, found.boxes)
    np.testing.assert_array_equal(answer.detections.scores, found.scores)
    if found.landmarks is None:
        assert answer.detections.landmarks is None
    else:
        assert answer.detections.landmarks is not None
        np.testing.assert_array_equal(answer.detections.landmarks, found.landmarks)


@given(
    st.builds(
        Record, u4, u4, u8, st.floats(allow_nan=False), u8, u8, st.sampled_from([CLASSIFIED, FACE_RING_FULL]), u4, u4,
        st.booleans(), st.lists(faces, max_size=5).map(face_rows),
    )
)  # fmt: skip
def test_records(record: Record) -> None:
    decoded = decode_event(record.encode())
    assert isinstance(decoded, Record)
    np.testing.assert_array_equal(decoded.faces, record.faces)
    for name in Record.__slots__:
        if name != "faces":
            assert getattr(decoded, name) == getattr(record, name)


def test_rows_hold_what_is_known_of_a_face() -> None:
    points = np.ones((5, 2), np.float32)
    detected = TrackedFace(3, (1.0, 2.0, 3.0, 4.0), 0.5, 0.25, "detected", points, (0.0, 0.0, 1.0, 0.0))
    tracked = TrackedFace(4, (5.0, 6.0, 7.0, 8.0), 0.5, 0.25, "tracked", None, (0.0, 0.0, 1.0, 0.0))
    rows = face_rows([detected, tracked])
    assert rows["id"].tolist() == [3, 4]
    assert rows["detected"].tolist() == rows["has_landmarks"].tolist() == [1, 0]
    assert rows["box"][1].tolist() == [5, 6, 7, 8]


@given(u4, u4)
def test_ends(camera: int, epoch: int) -> None:
    assert decode_event(CameraEnd(camera, epoch).encode()) == CameraEnd(camera, epoch)


@given(st.integers(1, 9), st.integers(1, 9), u4, u8)
def test_scores(count: int, classes: int, capacity: int, inferred_ns: int) -> None:
    keys = np.zeros(count, FACE_KEY)
    keys["sequence"] = np.arange(count)
    scores = np.random.default_rng(0).random((count, 2 * classes), np.float32)[:, ::2]  # not contiguous
    measures = np.random.default_rng(1).random((count, MEASURES), np.float32)
    decoded = decode_event(ScoreBatch(keys, scores, measures, capacity, inferred_ns).encode())
    assert isinstance(decoded, ScoreBatch)
    np.testing.assert_array_equal(decoded.keys, keys)
    np.testing.assert_array_equal(decoded.scores, scores)
    np.testing.assert_array_equal(decoded.measures, measures)
    assert (decoded.capacity, decoded.inferred_ns) == (capacity, inferred_ns)


@pytest.mark.parametrize("result", [None, FrameResult("door", 3, 0.5, 1.0, (), Timings(0, 1, 2, 3, 4))])
def test_results_to_be_drawn(result: FrameResult | None) -> None:
    assert RenderItem.decode(RenderItem(1, 2, 3, result).encode()) == RenderItem(1, 2, 3, result)


def record(**changes: Any) -> Record:
    return Record(**{**dict.fromkeys(Record.__slots__, 0), "faces": face_rows([]), **changes})


SCORED = ScoreBatch(np.zeros(2, FACE_KEY), np.zeros((2, 7), np.float32), np.zeros((2, MEASURES), np.float32), 8, 1)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (b"\x09\0\0\0" + bytes(80), "unknown event of kind 9"),
        (b"", "unknown event of kind 0"),
        (record().encode()[:-3], "malformed event of kind 1"),
        (SCORED.encode()[:-4], "malformed event of kind 3"),
    ],
)
def test_what_cannot_be_read_is_named(message: bytes, named: str) -> None:
    with pytest.raises(WorkerError, match=named):
        decode_event(message)
