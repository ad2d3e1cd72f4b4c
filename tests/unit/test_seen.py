"""What a camera has shown."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable

import pytest

from ferengine.errors import UsageError
from ferengine.results import Expression, Face, FrameResult, Scores, Timings
from ferengine.seen import BINS, Seen
from threads_help import CheckedThread


def result(seconds: float, *faces: tuple[int, str | None], camera: str = "door") -> FrameResult:
    made = []
    for track, label in faces:
        scores = None if label is None else Scores(label, {label: 1.0})
        expression = None if scores is None else Expression(scores.label, scores.scores, scores)
        made.append(Face(track, (0, 0, 1, 1), 1.0, 1.0, "detected", None, expression))
    return FrameResult(camera, round(seconds * 10), seconds, 20.0, tuple(made), Timings(0, 0, 0, 0, 0))


def test_people_faces_and_fractions() -> None:
    seen = Seen()
    seen.add(result(1_000_000.0))
    seen.add(result(1_000_000.1, (1, "happy"), (2, "sad")))
    seen.add(result(1_000_000.2, (1, "happy"), (3, None)))
    seen.add(result(1_000_001.0, (2, "happy")))
    assert (seen.frames, seen.with_faces, seen.faces, seen.max_at_once, seen.people) == (4, 3, 5, 2, 3)
    assert seen.fractions() == {"happy": 0.75, "sad": 0.25}
    assert seen.seconds == pytest.approx(1.0)
    assert seen.timeline("happy")[-1] == 1.0
    assert seen.timeline("sad")[-1] == 0.0
    assert seen.timeline("happy")[0] is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda seen: pickle.loads(pickle.dumps(seen))])
def test_a_copy_stays_as_it_was(copied: Callable[[Seen], Seen]) -> None:
    seen = Seen()
    seen.add(result(0.0, (1, "happy")))
    before = copied(seen)
    seen.add(result(1.0, (2, "sad")))
    assert (before.frames, before.people, before.fractions(), before.timeline("happy")) == (1, 1, {"happy": 1.0}, [1.0])
    before.add(result(1.0, (2, "sad")))
    assert (before.people, before.fractions(), before.timeline("sad")) == (2, seen.fractions(), seen.timeline("sad"))


def test_nothing_seen() -> None:
    seen = Seen()
    assert seen.fractions() == {}
    assert seen.timeline("happy") == []
    seen.add(result(0.0))
    assert (seen.people, seen.timeline("happy")) == (0, [None])
    for columns in (0, -1):
        with pytest.raises(UsageError, match=f"^a timeline has 1 column or more, not {columns}$"):
            seen.timeline("happy", columns)


@pytest.mark.parametrize("seconds", [1.0, 6.4, 60.0, 3600.0, 86400.0])
def test_a_timeline_of_any_length_has_few_columns_of_equal_time(seconds: float) -> None:
    seen = Seen()
    steps = 1000
    for step in range(steps + 1):
        seen.add(result(seconds * step / steps, (1, "happy" if step < steps / 4 else "sad")))
    columns = seen.timeline("happy")
    assert 5 <= len(columns) <= BINS
    assert all(value is not None for value in columns)
    happy = sum(value or 0.0 for value in columns) / len(columns)
    assert happy == pytest.approx(0.25, abs=1.5 / len(columns))
    assert columns[0] == 1.0
    assert columns[-1] == 0.0


def test_a_slow_camera_has_no_gaps_and_missing_faces_do() -> None:
    seen = Seen()
    for seconds in range(6):
        seen.add(result(float(seconds), *([] if seconds == 3 else [(1, "happy")])))
    columns = seen.timeline("happy")
    assert len(columns) > 12
    third = len(columns) * 3 // 5
    assert columns[third + 1] is None
    assert {value for value in columns if value is not None} == {1.0}
    assert columns.count(None) == pytest.approx(len(columns) / 5, abs=2)


def test_time_that_steps_back_adds_to_the_last_column() -> None:
    seen = Seen()
    for seconds in (0.0, 1.0, 0.2):
        seen.add(result(seconds, (1, "happy")))
    assert len(seen.timeline("happy")) == 11
    assert seen.seconds == 1.0


def test_reading_while_another_thread_adds() -> None:
    seen, read = Seen(), 0
    adding = CheckedThread(lambda: [seen.add(result(n / 10, (1, f"label {n}"))) for n in range(2_000)])
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        while adding.is_alive():
            seen.fractions()
            seen.timeline("label 1")
            read += 1
    finally:
        sys.setswitchinterval(before)
        adding.join()
    assert read
    assert seen.labels.total() == 2_000


def test_many_tracks_are_counted_in_bounded_memory() -> None:
    seen = Seen()
    for number in range(1, 30_001):
        seen.add(result(number / 10, (number, None), (max(1, number - 5), None)))
    assert seen.people == 30_000
    assert len(seen._tracks) <= 10_001
    seen.add(result(3_001.0, (1, None)))
    assert seen.people == 30_000
