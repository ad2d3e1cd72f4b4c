"""The life of a camera, as its events show it."""

from __future__ import annotations

import pytest

from ferengine._native import FrameRing
from ferengine.config import make_config
from ferengine.errors import SourceError, WorkerError
from ferengine.runtime.cameras import Cameras, Lifecycle, camera_counts
from ferengine.sources import SourceSpec
from ferengine.stages.messages import CaptureCounts, SourceOpened
from ferengine.stages.records import TRACK_READER, VIDEO_READER


def test_a_change_is_reported_once() -> None:
    door = Lifecycle("door")
    reported = [
        door.note_disconnect("no answer", 1.0),
        door.note_disconnect("no answer", 2.0),
        door.note_open(3.0),
        door.note_open(3.5),
        door.note_disconnect("cable", 4.0),
        door.note_open(6.5),
        door.note_end(None, 7.0),
        door.note_end(None, 8.0),
        door.note_disconnect("late", 9.0),
        door.note_open(9.0),
    ]
    events = [event.to_dict() for event in reported if event is not None]
    assert events == [
        {"camera": "door", "event": "disconnected", "timestamp": 1.0, "reason": "no answer"},
        {"camera": "door", "event": "started", "timestamp": 3.0},
        {"camera": "door", "event": "disconnected", "timestamp": 4.0, "reason": "cable"},
        {"camera": "door", "event": "reconnected", "timestamp": 6.5, "seconds": 2.5},
        {"camera": "door", "event": "ended", "timestamp": 7.0},
    ]


@pytest.mark.parametrize(("live", "broken"), [(True, 5), (False, 2)])
def test_counts_of_a_capture_worker_that_died_are_kept(live: bool, broken: int) -> None:
    camera = Cameras(("happy",), (), make_config(), trackers=1).add(SourceSpec("push", "", "door"))
    camera.joiner.live = live
    camera.note_counts(CaptureCounts(0, 1, 2, 5, 0, truncated=False))
    camera.note_counts(CaptureCounts(0, 3, 4, 6, 0, truncated=False))  # so far, not since the last report
    camera.begin_capture_life()
    camera.note_counts(CaptureCounts(0, 2, 1, 1, 0, truncated=False))  # a file's successor has counted the beginning again
    assert (camera.broken, camera.late, camera.left_out) == (broken, 5, 7)


@pytest.mark.parametrize(
    ("frames", "seconds", "max_frames", "came", "progress", "total"),
    [
        (100, 0.0, None, (24, 0.96), 0.25, 100),
        (100, 4.0, None, (24, 3.0), 0.25, 100),  # the number of frames is known
        (0, 4.0, None, (24, 0.96), 0.25, None),  # at a variable rate nobody knows it
        (0, 4.0, None, (-1, 0.0), 0.0, None),
        (0, 4.0, 50, (24, 0.96), 0.5, 50),
        (0, 4.0, 1000, (24, 0.96), 0.25, 1000),
        (100, 4.0, 50, (24, 0.96), 0.5, 50),
        (0, 0.0, 50, (24, 1.7e9), 0.5, 50),
        (0, 0.0, None, (24, 1.7e9), None, None),
        (10, 0.0, None, (24, 0.96), 1.0, 10),  # it holds more than it says
    ],
)
def test_progress(
    frames: int, seconds: float, max_frames: int | None, came: tuple[int, float], progress: float | None, total: int | None
) -> None:
    camera = Cameras((), (), make_config(), trackers=1).add(SourceSpec("demo", "stroll", "demo"))
    camera.fps = 25.0
    camera.note_length(SourceOpened(0, 2, 2, 25.0, False, 0.0, frames, seconds), max_frames)
    camera.joiner.last_emitted = came
    assert (camera.total, camera.progress) == (total, pytest.approx(progress))
    camera.ended = True
    assert camera.progress == pytest.approx(progress)  # it may have been stopped
    camera.at_end = True
    assert camera.progress == (None if progress is None else 1.0)


def test_the_successor_of_a_track_worker_finds_no_frame_that_was_recorded() -> None:
    """A frame whose detection is late stays held after its record went out: the successor would count it as skipped."""
    camera = Cameras(("happy",), (), make_config(), trackers=1).add(SourceSpec("push", "", "door"))
    ring = FrameRing.create(4, 3)
    camera.add_ring(ring, (1 << TRACK_READER) | (1 << VIDEO_READER))
    for sequence in range(3):
        ring.publish(ring.acquire(0), sequence, 1, 1, 3, 3, 0.0, 0, ring.readers)
    camera.joiner.last_sequence = 1
    camera.release_recorded()
    assert ring.held(TRACK_READER) == [(2, 2)]
    assert ring.held(VIDEO_READER) == [(0, 0), (1, 1), (2, 2)]


def test_skipped_frames_of_rings_that_are_gone_are_counted() -> None:
    camera = Cameras(("happy",), (), make_config(), trackers=1).add(SourceSpec("push", "", "door"))
    for generation in range(2):
        ring = FrameRing.create(4, 3)
        assert camera.add_ring(ring, 1 << TRACK_READER) == generation
        for sequence in range(2):
            ring.publish(ring.acquire(0), sequence, 1, 1, 3, 3, 0.0, 0, ring.readers)
            ring.skip(sequence, TRACK_READER)
    camera.drop_ring(0)
    assert camera_counts(camera)["skipped"] == 4


def test_end_reason_is_the_most_specific_one() -> None:
    camera = Cameras(("happy",), (), make_config(), trackers=1).add(SourceSpec("push", "", "door"))
    assert camera.end_reason(None, stopped=False) == "the run was stopped"  # not done, and nothing else ended it
    assert camera.end_reason(WorkerError("track-0 died"), stopped=False) == "track-0 died"
    camera.close_writers()
    assert camera.done
    assert camera.end_reason(None, stopped=False) is None
    assert camera.end_reason(None, stopped=True) == "the run was stopped"
    camera.leave_until = 0.0
    assert camera.end_reason(None, stopped=True) == "it was removed"
    camera.error = str(SourceError("door broke off"))
    assert camera.end_reason(WorkerError("track-0 died"), stopped=True) == "door broke off"
