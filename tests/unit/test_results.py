"""Results as JSON and back."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
from decimal import Decimal
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
from ferengine.runtime.health import CameraHealth, Health, WorkerHealth
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


HEAD = HeadReading("labels", {"smile": 0.75}, {"smile": 0.5})
GOOD = result(
    0,
    dataclasses.replace(
        face(1, "happy"), pose=Pose(1.0, 2.0, 3.0), quality=Quality(50.0, 0.5, 120.0, 30.0), heads={"units": HEAD},
        gender=Gender("a", {"a": 1.0}, Scores("a", {"a": 1.0})), changed_from="sad", zones=("hall",),
        landmarks=((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.0)),
    ),
).to_dict()  # fmt: skip
GOOD_FACE = GOOD["faces"][0]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (CameraEvent("door", "started", 1.0).to_dict(), "a frame: it is the event 'started'"),
        ({}, "a frame: camera is missing"),
        ({key: value for key, value in GOOD.items() if key != "faces"}, "a frame: faces is missing"),
        ({**GOOD, "faces": [{"track": 1}]}, r"a frame: faces\[0\].box is missing"),
        ({**GOOD, "faces": [GOOD_FACE, {"box": [1, 2, 3, 4]}]}, r"a frame: faces\[1\].track is missing"),
        ([GOOD], "a frame: it is of the type list"),
        (None, "a frame: it is of the type NoneType"),
    ],
)
def test_what_is_no_frame_is_refused(given: Any, why: str) -> None:
    with pytest.raises(UsageError, match=f"^this is not the JSON object of {why}"):
        FrameResult.from_dict(given)


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        ("camera", 7, "camera should be a text, not 7"),
        ("frame", "7", "frame should be a whole number, not '7'"),
        ("frame", True, "frame should be a whole number, not True"),
        ("frame", 7.5, "frame should be a whole number, not 7.5"),
        ("frame", math.inf, "frame should be a whole number, not inf"),
        ("frame", None, "frame should be a whole number, not None"),
        ("frame", Decimal("inf"), "frame should be a whole number, not Decimal('Infinity')"),
        ("timestamp", True, "timestamp should be a number, not True"),
        ("latency_ms", "fast", "latency_ms should be a number, not 'fast'"),
        ("scene_cut", 1, "scene_cut should be true or false, not 1"),
        ("faces", 7, "faces should be a list, not 7"),
        ("faces", "none", "faces should be a list, not 'none'"),
        ("faces.0", None, "faces[0] should be an object, not None"),
        ("changes.0.from", 3, "changes[0].from should be a text, not 3"),
        ("changes.0.track", [1], "changes[0].track should be a whole number, not [1]"),
        ("faces.0.track", "1", "faces[0].track should be a whole number, not '1'"),
        ("faces.0.box", [1, 2], "faces[0].box should be a list of 4 numbers, not [1, 2]"),
        ("faces.0.box", "1234", "faces[0].box should be a list of 4 numbers, not '1234'"),
        ("faces.0.score", False, "faces[0].score should be a number, not False"),
        ("faces.0.origin", "guessed", "faces[0].origin should be one of detected, tracked, not 'guessed'"),
        ("faces.0.landmarks", [[1, 2]], "faces[0].landmarks should be a list of 5 points, not [[1, 2]]"),
        ("faces.0.landmarks.3", [1, "2"], "faces[0].landmarks[3] should be a list of 2 numbers, not [1, '2']"),
        ("faces.0.reason", 5, "faces[0].reason should be a text, not 5"),
        ("faces.0.zones", "hall", "faces[0].zones should be a list, not 'hall'"),
        ("faces.0.zones.0", 7, "faces[0].zones[0] should be a text, not 7"),
        ("faces.0.expression", "happy", "faces[0].expression should be an object, not 'happy'"),
        ("faces.0.expression.label", None, "faces[0].expression.label should be a text, not None"),
        ("faces.0.expression.scores", [0.5], "faces[0].expression.scores should be an object, not [0.5]"),
        ("faces.0.gender.smoothed.scores.a", "1", "faces[0].gender.smoothed.scores.a should be a number, not '1'"),
        ("faces.0.gender.reason", {}, "faces[0].gender.reason should be a text, not {}"),
        ("faces.0.pose.yaw", "left", "faces[0].pose.yaw should be a number, not 'left'"),
        ("faces.0.quality.size", "large", "faces[0].quality.size should be a number, not 'large'"),
        ("faces.0.box", None, "faces[0].box should be a list of 4 numbers, not None"),
        ("faces.0.heads.units.kind", "sums", "faces[0].heads.units.kind should be one of classes, labels, values, not 'sums'"),
        ("faces.0.expression.scores", {}, "faces[0].expression.scores should have at least one number"),
        ("faces.0.heads.units.smoothed", {}, "faces[0].heads.units.smoothed should have at least one number"),
        ("faces.0.heads.units.values.smile", [], "faces[0].heads.units.values.smile should be a number, not []"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_named_by_its_place(place: str, value: Any, why: str) -> None:
    given = json.loads(json.dumps(GOOD))
    FrameResult.from_dict(given)
    *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
    part: Any = given
    for step in path:
        part = part[step]
    part[last] = value
    with pytest.raises(UsageError) as caught:
        FrameResult.from_dict(given)
    assert str(caught.value) == f"this is not the JSON object of a frame: {why}"


def test_numbers_as_other_programs_write_them() -> None:
    read = FrameResult.from_dict({**GOOD, "frame": 7.0, "timestamp": 3, "faces": [{**GOOD_FACE, "track": 2.0}]})
    assert (read.frame, read.timestamp, read.faces[0].track) == (7, 3, 2)
    assert type(read.frame) is int is type(read.faces[0].track)


def test_decimals_become_floats() -> None:
    line = json_text(GOOD)
    read = FrameResult.from_dict(json.loads(line, parse_float=Decimal))
    assert json_text(read.to_dict()) == line
    assert type(read.latency_ms) is float is type(read.faces[0].box[0])


def test_what_is_written_as_null_because_it_is_no_number_is_read_as_one_that_is_not_known() -> None:
    """Every number of a result, whole ones apart."""
    made = FrameResult.from_dict(GOOD)
    nan = math.nan
    odd = dataclasses.replace(
        made.faces[0], box=(1.0, nan, 3.0, math.inf), score=nan, track_confidence=nan, pose=Pose(nan, 2.0, nan),
        quality=Quality(nan, 0.5, nan, 30.0), landmarks=((nan, 2.0), *[(1.0, 1.0)] * 4),
        heads={"units": HeadReading("labels", {"smile": nan}, {"smile": 0.5})},
    )  # fmt: skip
    line = json_text(dataclasses.replace(made, latency_ms=nan, faces=(odd,)).to_dict())
    read = FrameResult.from_dict(json.loads(line))
    assert math.isnan(read.latency_ms)
    assert [math.isnan(value) for value in read.faces[0].box] == [False, True, False, True]
    assert json_text(read.to_dict()) == line


@pytest.mark.parametrize(
    ("kind", "what", "missing"),
    [
        (Face, "a face", "track"),
        (Expression, "a reading", "label"),
        (Gender, "a reading", "label"),
        (HeadReading, "the reading of a head", "kind"),
        (Pose, "a pose", "yaw"),
        (Quality, "a quality", "size"),
        (Scores, "scores", "label"),
        (CameraEvent, "a camera event", "camera"),
    ],
)
def test_what_is_no_part_of_a_frame_is_refused(kind: Any, what: str, missing: str) -> None:
    with pytest.raises(UsageError, match=f"^this is not the JSON object of {what}: {missing} is missing$"):
        kind.from_dict({})
    with pytest.raises(UsageError, match=f"^this is not the JSON object of {what}: it is of the type list$"):
        kind.from_dict([])


def test_the_part_that_lacks_something_is_named() -> None:
    made = {**GOOD_FACE, "pose": {"yaw": 1}}
    with pytest.raises(UsageError, match=r"^this is not the JSON object of a frame: faces\[0\].pose.pitch is missing$"):
        FrameResult.from_dict({**GOOD, "faces": [made]})


def test_results_are_equal_whatever_their_timings() -> None:
    read = FrameResult.from_dict(GOOD)
    assert pickle.loads(pickle.dumps(read)) == read == FrameResult.from_dict(GOOD)
    assert dataclasses.replace(read, timings=Timings(1, 2, 3, 4, 5)) == read
    assert dataclasses.replace(read, frame=1) != read


@given(RESULTS)
def test_equal_results_have_one_hash_and_are_one_item_of_a_set(made: FrameResult) -> None:
    same = dataclasses.replace(pickle.loads(pickle.dumps(made)), timings=Timings(1, 2, 3, 4, 5))
    assert len({made, same, *made.faces}) == 1 + len(set(made.faces)) == 1 + len(made.faces)
    assert {each.expression for each in made.faces} == {each.expression for each in same.faces}


def test_equal_health_has_one_hash() -> None:
    worker = WorkerHealth("detect-0", "running", 7, 0, 0.25)
    camera = CameraHealth("door", "running", True, 9, 3, 0.5, 0, {"late": 1}, None)
    made = Health("running", {"detect-0": worker}, {"door": camera}, (), ())
    assert len({made, copy.deepcopy(made), dataclasses.replace(made, cameras={})}) == 2
    assert len({camera, dataclasses.replace(camera, dropped={}), worker, copy.copy(worker)}) == 3


def test_faces_that_differ_in_scores_alone_differ() -> None:
    one = Face.from_dict(GOOD_FACE)
    other = dataclasses.replace(one, heads={"units": HeadReading("labels", {"smile": 0.5}, {"smile": 0.5})})
    assert one != other
    assert len({one, other, Face.from_dict(GOOD_FACE, "calm")}) == 3


@pytest.mark.parametrize(
    "event",
    [
        CameraEvent("door", "started", 1764097200.123457),
        CameraEvent("door", "disconnected", 1.5, "it ended"),
        CameraEvent("door", "reconnected", 2.0, seconds=4.75),
        CameraEvent("talk", "ended", 0.0),
    ],
)
def test_a_camera_event_comes_back_from_its_json(event: CameraEvent) -> None:
    read = CameraEvent.from_dict(json.loads(json_text({**event.to_dict(), "node": "unknown keys are ignored"})))
    assert read == event
    assert hash(read) == hash(event)


def test_what_is_no_camera_event_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^this is not the JSON object of a camera event: event is missing$"):
        CameraEvent.from_dict(GOOD)
    with pytest.raises(UsageError, match=r"event should be one of started, disconnected, reconnected, ended, not 'left'$"):
        CameraEvent.from_dict({"camera": "door", "event": "left", "timestamp": 1.0})
