"""Results as JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.results import (
    CameraEvent,
    Expression,
    Face,
    FrameResult,
    Gender,
    HeadReading,
    Pose,
    Quality,
    Scores,
    Timings,
    make_expression,
)
from results_help import face, result

NAMES = st.text(min_size=1, max_size=8)
NONE = Timings(*[math.nan] * 5)


def rounded(digits: int, lowest: float = -1e4, highest: float = 1e4) -> st.SearchStrategy[float]:
    """Numbers of so many decimals, which rounding leaves as they are."""
    return st.floats(lowest, highest).map(lambda value: round(value, digits) + 0.0)


NUMBERS = st.dictionaries(NAMES, rounded(5, 0, 1), min_size=1, max_size=4)
SCORES = st.builds(Scores, NAMES, NUMBERS)
REASONS = st.sampled_from([None, "turned", "small", "blurred", "dark", "low_score"])
POINTS = st.tuples(*[st.tuples(rounded(2), rounded(2))] * 5)
FACES = st.builds(
    Face,
    track=st.none() | st.integers(1, 10**10),
    box=st.tuples(*[rounded(2)] * 4),
    score=rounded(5, 0, 1),
    track_confidence=rounded(4, 0, 1),
    origin=st.sampled_from(["detected", "tracked"]),
    landmarks=st.none() | POINTS,
    expression=st.none() | st.builds(Expression, NAMES, NUMBERS, SCORES, REASONS),
    reason=st.sampled_from([None, "deadline", "face_ring_full", "not_finite"]),
    gender=st.none() | st.builds(Gender, NAMES, NUMBERS, SCORES, REASONS),
    pose=st.none() | st.builds(Pose, rounded(1), rounded(1), rounded(1), rounded(3, 0)),
    quality=st.none() | st.builds(Quality, rounded(1), rounded(3), rounded(1), rounded(1)),
    changed_from=st.none() | NAMES,
    zones=st.lists(NAMES, max_size=3).map(tuple),
    heads=st.dictionaries(
        NAMES, st.builds(HeadReading, st.sampled_from(["classes", "labels", "values"]), NUMBERS, NUMBERS), max_size=2
    ),
)
RESULTS = st.builds(
    FrameResult,
    camera=NAMES,
    frame=st.integers(0, 10**12),
    timestamp=rounded(6, 0, 2e9),
    latency_ms=rounded(3, 0),
    faces=st.lists(FACES, max_size=3, unique_by=lambda each: each.track).map(tuple),
    timings=st.just(NONE),
    scene_cut=st.booleans(),
)


def changes_said(each: Face) -> Face:
    """Without the earlier label of a face that is not classified, which no output has."""
    return each if each.expression is not None else dataclasses.replace(each, changed_from=None)


@given(RESULTS)
def test_a_result_comes_back_from_its_json(made: FrameResult) -> None:
    line = json_text(made.to_dict())
    read = FrameResult.from_dict(json.loads(line))
    assert read.timings.captured != read.timings.captured  # not known
    said = dataclasses.replace(made, faces=tuple(map(changes_said, made.faces)))
    assert read == said
    assert json_text(read.to_dict()) == line


def test_from_a_line_of_which_numbers_were_rounded() -> None:
    expression = make_expression(("happy", "sad"), (1 / 3, 2 / 3), (0.123456789, 0.876543211))
    made = result(3, dataclasses.replace(face(1, None), expression=expression, changed_from="happy"))
    read = FrameResult.from_dict({**made.to_dict(), "node": "unknown keys are ignored"})
    assert read.faces[0].expression == make_expression(("happy", "sad"), (0.33333, 0.66667), (0.12346, 0.87654))
    assert read.faces[0].changed_from == "happy"
    assert [(change.before, change.after) for change in read.changes] == [("happy", "sad")]
    assert all(math.isnan(value) for value in read.timings.durations_ms().values())


GOOD = result(0, face(1, "happy")).to_dict()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (CameraEvent("door", "started", 1.0).to_dict(), "a frame: it is the event 'started'"),
        ({}, "a frame: it has no 'camera'"),
        ({key: value for key, value in GOOD.items() if key != "faces"}, "a frame: it has no 'faces'"),
        ({**GOOD, "faces": [{"track": 1}]}, "a face: it has no 'box'"),
        ({**GOOD, "faces": [{"box": [1, 2, 3, 4]}]}, "a face: it has no 'track'"),
        ({**GOOD, "faces": [{**GOOD["faces"][0], "box": [1, 2]}]}, "a face: not enough values"),
        ({**GOOD, "faces": 7}, "a frame: .* not iterable"),
        ({**GOOD, "faces": [{**GOOD["faces"][0], "landmarks": [[1, 2]]}]}, "a face: not enough values"),
        ([GOOD], "a frame: it is of the type list"),
        (None, "a frame: it is of the type NoneType"),
    ],
)
def test_what_is_no_frame_is_refused(given: Any, why: str) -> None:
    with pytest.raises(UsageError, match=f"^this is not the JSON object of {why}"):
        FrameResult.from_dict(given)


@pytest.mark.parametrize(
    ("kind", "what", "missing"),
    [
        (Face, "a face", "box"),
        (Expression, "a reading", "label"),
        (Gender, "a reading", "label"),
        (HeadReading, "the reading of a head", "kind"),
        (Pose, "a pose", "yaw"),
        (Quality, "a quality", "size"),
        (Scores, "scores", "label"),
    ],
)
def test_what_is_no_part_of_a_frame_is_refused(kind: Any, what: str, missing: str) -> None:
    with pytest.raises(UsageError, match=f"^this is not the JSON object of {what}: it has no '{missing}'$"):
        kind.from_dict({})
    with pytest.raises(UsageError, match=f"^this is not the JSON object of {what}: it is of the type list$"):
        kind.from_dict([])


def test_the_part_that_is_none_is_named() -> None:
    made = {**GOOD["faces"][0], "pose": {"yaw": 1}}
    with pytest.raises(UsageError, match=r"^this is not the JSON object of a pose: it has no 'pitch'$"):
        FrameResult.from_dict({**GOOD, "faces": [made]})


def test_results_are_equal_whatever_their_timings() -> None:
    read = FrameResult.from_dict(GOOD)
    assert pickle.loads(pickle.dumps(read)) == read == FrameResult.from_dict(GOOD)
    assert dataclasses.replace(read, timings=Timings(1, 2, 3, 4, 5)) == read
    assert dataclasses.replace(read, frame=1) != read
