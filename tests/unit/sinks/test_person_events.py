"""Which events there are, and when."""

from __future__ import annotations

from dataclasses import replace

from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.person_events import Event, EventDetector
from results_help import face, result


def events(results: list[FrameResult]) -> list[tuple[str, float, int | None, str | None]]:
    detector = EventDetector()
    found = [event for each in results for event in detector.add(each)]
    return [(event.kind, event.timestamp, event.track, event.label) for event in found]


def test_a_person_appears_changes_and_leaves() -> None:
    found = events([result(n, face(1, "happy" if n < 20 else "sad")) for n in range(40)] + [result(n) for n in range(40, 70)])
    assert found == [
        ("appeared", 0.5, 1, "happy"),
        ("expression", 2.7, 1, "sad"),
        ("left", 3.9, 1, "sad"),
    ]


def test_what_lasts_a_moment_is_no_event() -> None:
    assert events([result(n, face(1, "happy")) for n in range(4)] + [result(n) for n in range(4, 60)]) == []
    blink = [result(n, face(1, "sad" if 10 <= n < 14 else "happy")) for n in range(30)]
    assert [kind for kind, *_ in events(blink)] == ["appeared"]
    hidden = [result(n, *([] if 10 <= n < 25 else [face(1, "happy")])) for n in range(40)]
    assert [kind for kind, *_ in events(hidden)] == ["appeared"]


def test_faces_that_are_not_classified_change_nothing() -> None:
    assert events([result(n, face(1, None)) for n in range(20)] + [result(n) for n in range(20, 50)]) == []
    assert [kind for kind, *_ in events([result(n, face(None, "happy")) for n in range(20)])] == []


def test_cameras_are_apart() -> None:
    both = [result(n, face(1, "happy"), camera=camera) for n in range(10) for camera in ("door", "lobby")]
    assert [kind for kind, *_ in events(both)] == ["appeared", "appeared"]


def test_scene_cuts() -> None:
    assert events([result(0), result(1, cut=True)]) == [("scene_cut", 0.1, None, None)]


def test_everybody_has_left_a_camera_that_is_away() -> None:
    detector = EventDetector()
    for number in range(20):
        detector.add(result(number, face(1, "happy"), face(2, "sad")))
    away = detector.add_camera_event(CameraEvent("door", "disconnected", 1e9, "no frames"))
    assert [(event.kind, event.track, event.seconds) for event in away] == [
        ("left", 1, 1.9),
        ("left", 2, 1.9),
        ("disconnected", None, None),
    ]
    assert detector.add_camera_event(CameraEvent("door", "reconnected", 1e9 + 4, seconds=4.0))[0].seconds == 4.0
    assert away[-1].to_dict() == {"event": "disconnected", "camera": "door", "timestamp": 1e9, "reason": "no frames"}


def test_a_file_that_begins_anew() -> None:
    found = events([result(n, face(1, "happy")) for n in (*range(20, 40), *range(20))])
    assert [(kind, track) for kind, _, track, _ in found] == [("appeared", 1), ("left", 1), ("appeared", 1)]


def test_as_json() -> None:
    event = Event("expression", "door", 1.23456789, 3, "sad", 0.123456, "happy")
    assert event.to_dict() == {
        "event": "expression", "camera": "door", "timestamp": 1.234568, "track": 3, "label": "sad", "confidence": 0.1235,
        "before": "happy",
    }  # fmt: skip


def test_zones_are_entered_and_left() -> None:
    def at(number: int, *zones: str) -> FrameResult:
        return result(number, replace(face(1, "happy"), zones=zones))

    detector = EventDetector()
    frames = [at(n, "hall") for n in range(20)]
    frames += [at(n, "hall", *(["stairs"] if n % 4 else [])) for n in range(20, 40)]  # on the border of the second
    frames += [at(n, "stairs") for n in range(40, 60)]
    frames += [result(n) for n in range(60, 90)]
    found = [event for each in frames for event in detector.add(each)]
    assert [(event.kind, event.zone, event.timestamp) for event in found] == [
        ("appeared", None, 0.5),
        ("zone_entered", "hall", 0.5),
        ("zone_entered", "stairs", 2.6),
        ("zone_left", "hall", 3.9),
        ("zone_left", "stairs", 5.9),
        ("left", None, 5.9),
    ]
    assert found[3].to_dict() == {
        "event": "zone_left", "camera": "door", "timestamp": 3.9, "track": 1, "label": "happy", "confidence": 0.75,
        "seconds": 3.9, "zone": "hall",
    }  # fmt: skip
    assert found[0].to_dict()["zones"] == ["hall"]


def test_who_passes_through_a_zone_has_not_entered_it() -> None:
    detector = EventDetector()
    frames = [result(n, replace(face(1, "happy"), zones=("hall",) if 20 <= n < 23 else ())) for n in range(60)]
    assert [event.kind for each in frames for event in detector.add(each)] == ["appeared"]


def test_an_event_that_a_camera_has_started_says_the_prior() -> None:
    detector = EventDetector(prior="office")
    [started] = detector.add_camera_event(CameraEvent("door", "started", 1e9))
    assert started.to_dict() == {"event": "started", "camera": "door", "timestamp": 1e9, "prior": "office"}
    [ended] = detector.add_camera_event(CameraEvent("door", "ended", 1e9, "over"))
    assert "prior" not in ended.to_dict()
