"""What happens, rather than what each frame shows: people appear, leave, change their expression; scenes cut; cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ferengine.results import CameraEvent, Face, FrameResult

EventKind: TypeAlias = Literal[
    "appeared", "left", "expression", "zone_entered", "zone_left", "scene_cut", "started", "disconnected", "reconnected",
    "ended",
]  # fmt: skip

APPEAR_SECONDS = 0.5
"""How long a person has to be there before that is an event: what detectors take for a face for a moment is none."""
LEAVE_SECONDS = 2.0
"""How long a person has to be away: who is hidden for a moment has not left."""
ZONE_SECONDS = 1.0
"""How long a person has to be out of a zone to have left it: who stands on its border goes in and out."""
HOLD_SECONDS = 0.7
"""How long a new label has to hold."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: "appeared", "left", "expression", "zone_entered" and "zone_left" concern a person; the rest the camera.
        camera: Its name.
        timestamp: As the result's: seconds since the epoch for live sources, media seconds for files. For ``started`` to
            ``ended`` always the former.
        track: The person.
        label: The smoothed label: when they appeared, last, or now.
        confidence: Its score.
        before: Of "expression": the label before.
        seconds: Of "left" and "zone_left": how long they were there; of "reconnected": how long the camera was away.
        reason: Of "disconnected" and "ended"; it never holds credentials.
        zone: Of "zone_entered" and "zone_left": the name of the zone.
        zones: Of "appeared" and "expression": the zones that they are in.
        snapshot: The path of its snapshot, which is written soon.
        clip: The path of its clip, which is there when that is over.
        prior: Of "started": the name of the class prior that the labels are read under.
    """

    kind: EventKind
    camera: str
    timestamp: float
    track: int | None = None
    label: str | None = None
    confidence: float | None = None
    before: str | None = None
    seconds: float | None = None
    reason: str | None = None
    zone: str | None = None
    zones: tuple[str, ...] = ()
    snapshot: str | None = None
    clip: str | None = None
    prior: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; what does not apply is left out."""
        record: dict[str, Any] = {"event": self.kind, "camera": self.camera, "timestamp": round(self.timestamp, 6)}
        for name, digits in (
            ("track", None),
            ("label", None),
            ("confidence", 4),
            ("before", None),
            ("seconds", 3),
            ("reason", None),
            ("zone", None),
            ("snapshot", None),
            ("clip", None),
            ("prior", None),
        ):
            value = getattr(self, name)
            if value is not None:
                record[name] = value if digits is None else round(value, digits)
        if self.zones:
            record["zones"] = list(self.zones)
        return record


@dataclass(slots=True)
class _Stay:
    """A person's time in one zone."""

    first: float
    last: float
    announced: bool = False


@dataclass(slots=True)
class _Person:
    first: float
    last: float
    announced: bool = False
    label: str | None = None
    confidence: float | None = None
    candidate: str | None = None
    since: float = 0.0
    stays: dict[str, _Stay] = field(default_factory=dict)


class EventDetector:
    """Finds events in the results of any number of cameras, each in order.

    Args:
        attach: Gives an event its snapshot and its clip.
        prior: The name of the class prior in force: the events that a camera has started say it.
    """

    def __init__(self, attach: Callable[[Event], Event] = lambda event: event, prior: str | None = None) -> None:
        self._attach = attach
        self._prior = prior
        self._people: dict[str, dict[int, _Person]] = {}

    def add(self, result: FrameResult) -> list[Event]:
        """What happened with this result."""
        people = self._people.setdefault(result.camera, {})
        now = result.timestamp
        events = [Event("scene_cut", result.camera, now)] if result.scene_cut else []
        for face in result.faces:
            if face.track is not None:
                person = people.setdefault(face.track, _Person(now, now, since=now))
                person.last = now
                events += self._changes(result.camera, face.track, person, face, now)
                events += self._moves(result.camera, face.track, person, face.zones, now)
        for track, person in list(people.items()):
            if now - person.last > LEAVE_SECONDS or now < person.first:  # a file or a camera has begun anew
                events += self._leave(result.camera, track)
        return [self._attach(event) for event in events]

    def add_camera_event(self, event: CameraEvent) -> list[Event]:
        """What happened with the camera: where it is away, everybody has left."""
        events: list[Event] = []
        if event.kind in ("disconnected", "ended"):
            for track in list(self._people.get(event.camera, {})):
                events += self._leave(event.camera, track)
            self._people.pop(event.camera, None)
        prior = self._prior if event.kind == "started" else None
        events.append(Event(event.kind, event.camera, event.timestamp, seconds=event.seconds, reason=event.reason, prior=prior))
        return [self._attach(each) for each in events]

    @staticmethod
    def _changes(camera: str, track: int, person: _Person, face: Face, now: float) -> list[Event]:
        if face.expression is None:
            if not face.heads or person.announced or now - person.first < APPEAR_SECONDS:
                return []
            person.announced = True  # it was classified, by a model that reads no expression
            return [Event("appeared", camera, now, track, zones=face.zones)]
        smoothed = face.expression.smoothed
        score = smoothed.confidence
        if smoothed.label != person.candidate:
            person.candidate, person.since = smoothed.label, now
        if not person.announced:
            if now - person.first < APPEAR_SECONDS:
                return []
            person.announced = True
            person.label, person.confidence = smoothed.label, score
            return [Event("appeared", camera, now, track, smoothed.label, score, zones=face.zones)]
        if smoothed.label == person.label:
            person.confidence = score
            return []
        if now - person.since < HOLD_SECONDS:
            return []
        before, person.label, person.confidence = person.label, smoothed.label, score
        return [Event("expression", camera, now, track, smoothed.label, score, before, zones=face.zones)]

    @staticmethod
    def _moves(camera: str, track: int, person: _Person, zones: tuple[str, ...], now: float) -> list[Event]:
        """Which zones a person has entered or left: each after some time there, or away."""
        events = []
        for zone in zones:
            stay = person.stays.setdefault(zone, _Stay(now, now))
            stay.last = now
            if person.announced and not stay.announced and now - stay.first >= APPEAR_SECONDS:
                stay.announced = True
                events.append(Event("zone_entered", camera, now, track, person.label, person.confidence, zone=zone))
        for zone in [zone for zone, stay in person.stays.items() if zone not in zones and now - stay.last > ZONE_SECONDS]:
            events += _end_stay(camera, track, person, zone)
        return events

    def _leave(self, camera: str, track: int) -> list[Event]:
        person = self._people[camera].pop(track)
        if not person.announced:
            return []
        zones = [event for zone in list(person.stays) for event in _end_stay(camera, track, person, zone)]
        return [
            *zones,
            Event("left", camera, person.last, track, person.label, person.confidence, seconds=person.last - person.first),
        ]


def _end_stay(camera: str, track: int, person: _Person, zone: str) -> list[Event]:
    stay = person.stays.pop(zone)
    if not stay.announced:
        return []
    seconds = stay.last - stay.first
    return [Event("zone_left", camera, stay.last, track, person.label, person.confidence, seconds=seconds, zone=zone)]
