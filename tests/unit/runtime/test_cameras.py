"""The life of a camera, as its events show it."""

from __future__ import annotations

from ferengine.runtime.cameras import Lifecycle


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
