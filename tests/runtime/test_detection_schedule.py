"""When detection searches everywhere and when near the tracks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ferengine import Engine
from ferengine.config import make_config
from ferengine.errors import UsageError
from ferengine.tracking.detection_schedule import DetectionSchedule
from ferengine.tracking.matching import iou_matrix


def plan(policy: DetectionSchedule, times: list[float]) -> list[bool]:
    return [policy.is_full(sequence, timestamp) for sequence, timestamp in enumerate(times)]


def test_full_search_is_always_full() -> None:
    assert plan(DetectionSchedule(False, 1.0), [0.0, 0.1, 5.0]) == [True, True, True]


def test_one_full_scan_in_so_many_seconds() -> None:
    times = [3.0, 3.4, 3.9, 4.0, 4.4, 9.0, 9.2]
    assert plan(DetectionSchedule(True, 1.0), times) == [True, False, False, True, False, True, False]
    assert plan(DetectionSchedule(True, 0.0), [0.0, 0.0, 0.1]) == [True, True, True]


def test_timestamps_that_begin_anew() -> None:
    assert plan(DetectionSchedule(True, 1.0), [8.0, 8.2, 0.0, 0.2]) == [True, False, True, False]


def test_looking_ahead_changes_nothing() -> None:
    policy = DetectionSchedule(True, 1.0)
    assert plan(policy, [0.0, 0.5, 1.0, 1.5]) == [True, False, True, False]
    assert policy.is_full(1, 0.5) is False
    assert policy.is_full(2, 1.0) is True
    policy.forget(1)
    policy.forget(77)


def test_what_is_searched_near() -> None:
    tracker: Any = SimpleNamespace(in_new_scene=False, places=[(1.0, 2.0, 3.0, 4.0)])
    assert DetectionSchedule(True, 1.0).boxes(tracker) == ((1.0, 2.0, 3.0, 4.0),)
    tracker.in_new_scene = True  # faces may be anywhere
    assert DetectionSchedule(True, 1.0).boxes(tracker) is None
    tracker.in_new_scene, tracker.places = False, []
    assert DetectionSchedule(True, 1.0).boxes(tracker) is None


def test_settings() -> None:
    assert make_config().search == "full"
    assert make_config(search="near", full_scan=2).full_scan == 2
    assert make_config(search="near", detector="retinaface").search == "near"
    with pytest.raises(UsageError, match="only the detectors mtcnn and retinaface can search near"):
        make_config(detector="haar", search="near")
    with pytest.raises(UsageError, match="full_scan"):
        make_config(full_scan=-1)


def run(**settings: Any) -> list[list[tuple[float, ...]]]:
    with Engine("demo:stroll", max_frames=60, **settings) as engine:
        return [[face.box for face in result.faces] for result in engine.results()]


def test_near_search_follows_the_faces_of_full_scans_and_repeats_itself() -> None:
    full, near = run(), run(search="near", full_scan=10)
    assert [len(boxes) for boxes in near] == [len(boxes) for boxes in full]
    for expected, boxes in zip(full, near, strict=True):
        assert (iou_matrix(expected, boxes).max(axis=1) > 0.7).all()
    for first, second in zip(near, run(search="near", full_scan=10), strict=True):
        np.testing.assert_array_equal(first, second)
