"""Counts what a report shows, in bounded memory however long the recording is."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ferengine.results import EPOCH_NUMBERS, UNCERTAIN

_FIRST_WIDTH = 0.125
_MAX_CELLS = 40_000
"""Cells of all people together; when there are more, each two neighbours become one."""
_MAX_STEP = 1.0
"""Seconds that a frame counts for at most: what was not seen for longer was not there."""
_SAMPLED_WIDTH, _MAX_SAMPLED_STEP = 1.0, 1.5
"""The same where people are sampled once a second, or a little later."""

Key: TypeAlias = tuple[str, int, int]
"""A person: the camera, how often its frames have begun anew, and the track."""


@dataclass(slots=True)
class Cell:
    """What one person showed in a short time; ``n`` frames, of which ``scored`` have an expression."""

    n: int = 0
    scored: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    confidence: float = 0.0
    width: float = 0.0
    measures: Counter[str] = field(default_factory=Counter)
    measured: Counter[str] = field(default_factory=Counter)

    def add(self, other: Cell) -> None:
        self.n += other.n
        self.scored += other.scored
        self.labels.update(other.labels)
        self.confidence += other.confidence
        self.width += other.width
        self.measures.update(other.measures)
        self.measured.update(other.measured)

    def measure(self, name: str, value: object) -> None:
        """Add one value of what is not measured on every face."""
        self.measures[name] += float(value)  # type: ignore[assignment, arg-type]
        self.measured[name] += 1

    def mean(self, name: str) -> float | None:
        """The mean of such a measure."""
        return self.measures[name] / self.measured[name] if self.measured[name] else None

    @property
    def label(self) -> str | None:
        """The most frequent label."""
        return self.labels.most_common(1)[0][0] if self.labels else None


@dataclass(slots=True)
class Person:
    """One track.

    Attributes:
        seconds: How long each label lasted.
        cells: What it showed, by the number of the cell in time.
        first, last: Time stamps of its first and last frame.
    """

    seconds: Counter[str] = field(default_factory=Counter)
    cells: dict[int, Cell] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    label: str | None = None


@dataclass(slots=True)
class Camera:
    """One camera.

    Attributes:
        frames, faces: How many there are.
        dropped: Frames missing between those that are there.
        unclassified: Faces without an expression, by reason.
        uncertain: Faces that could not be read surely, by reason.
        events: What happened to it: time stamp, event and reason.
        latencies: Of each cell in time: frames and the sum of their latencies, and the largest, in milliseconds.
        gaps: Of each cell in time: frames missing.
    """

    frames: int = 0
    faces: int = 0
    dropped: int = 0
    scene_cuts: int = 0
    unclassified: Counter[str] = field(default_factory=Counter)
    uncertain: Counter[str] = field(default_factory=Counter)
    events: list[tuple[float, str, str]] = field(default_factory=list)
    latencies: dict[int, tuple[int, float, float]] = field(default_factory=dict)
    gaps: Counter[int] = field(default_factory=Counter)
    first: float | None = None
    last: float = 0.0
    frame: int = -1
    counted: int = -1
    begun: int = 0


class Recording:
    """All that was read.

    Args:
        sampled: Whether people are sampled once a second, rather than in every frame.

    Attributes:
        sampled: As given.
        width: Seconds of one cell.
        transitions: How often one label followed another on one person.
        labels: The classes, as the scores name them.
        priors: Names of the class priors; None where labels were read and none is named.
        skipped: Lines that are no results.
    """

    def __init__(self, *, sampled: bool = False) -> None:
        self.sampled = sampled
        self.width = _SAMPLED_WIDTH if sampled else _FIRST_WIDTH
        self._max_step = _MAX_SAMPLED_STEP if sampled else _MAX_STEP
        self.cameras: dict[str, Camera] = {}
        self.people: defaultdict[Key, Person] = defaultdict(Person)
        self.transitions: Counter[tuple[str, str]] = Counter()
        self.labels: dict[str, None] = {}
        self.priors: set[str | None] = set()
        self.skipped = 0
        self._cells = 0

    def add_line(self, line: str) -> None:
        """Count one line of ``--events``; one that is no result is counted as skipped."""
        try:
            self.add_record(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.skipped += 1

    def add_record(self, record: dict[str, Any]) -> None:
        """Count what such a line holds. Raises ValueError, TypeError, KeyError or AttributeError for one that is no result."""
        if "event" in record:
            self._add_event(record)
        else:
            self._add_result(record)

    def add_sample(self, name: str, frame: int, stamp: float, face: dict[str, Any]) -> None:
        """Count what a person showed in a frame, which ``add_second`` counts. Transitions are counted apart."""
        camera = self.cameras.setdefault(name, Camera())
        if frame < camera.frame or frame // EPOCH_NUMBERS > max(0, camera.frame) // EPOCH_NUMBERS:
            camera.begun += 1
        camera.frame = frame
        self._add_face(camera, (name, camera.begun, int(face["track"])), stamp, face, sampled=True)
        self._keep_small()

    def add_second(
        self, name: str, stamp: float, first: int, last: int, frames: int, faces: int, cuts: int, latency: float, largest: float
    ) -> None:
        """Count the frames from ``first`` to ``last``, of which ``frames`` came; ``latency`` is the sum of their latencies."""
        camera = self.cameras.setdefault(name, Camera())
        goes_on = camera.counted >= 0 and first // EPOCH_NUMBERS == camera.counted // EPOCH_NUMBERS
        missing = last - first + 1 - frames + (max(0, first - camera.counted - 1) if goes_on else 0)
        camera.counted = last
        camera.frames += frames
        camera.faces += faces
        camera.scene_cuts += cuts
        if missing:
            camera.dropped += missing
            camera.gaps[self._cell(stamp)] += missing
        self._note(camera, stamp, frames, latency, largest)
        self._keep_small()

    def add_transition(self, before: str, after: str) -> None:
        """Count that a label followed another on one person."""
        self.transitions[before, after] += 1

    def _add_event(self, record: dict[str, Any]) -> None:
        event = float(record["timestamp"]), str(record["event"]), str(record.get("reason", ""))
        self.cameras.setdefault(str(record["camera"]), Camera()).events.append(event)

    def _add_result(self, record: dict[str, Any]) -> None:
        name, frame, stamp = str(record["camera"]), int(record["frame"]), float(record["timestamp"])
        faces = list(record["faces"])
        camera = self.cameras.setdefault(name, Camera())
        in_new_epoch = camera.frame >= 0 and frame // EPOCH_NUMBERS > camera.frame // EPOCH_NUMBERS  # another node reads it
        if frame <= camera.frame or in_new_epoch:  # the camera, or the run, began anew
            camera.begun += 1
        elif camera.frame >= 0:
            camera.dropped += frame - camera.frame - 1
            if frame - camera.frame > 1:
                camera.gaps[self._cell(stamp)] += frame - camera.frame - 1
        camera.frame = frame
        camera.frames += 1
        camera.scene_cuts += bool(record.get("scene_cut"))
        latency = float(record.get("latency_ms", 0.0))
        self._note(camera, stamp, 1, latency, latency)
        if "prior" in record:
            self.priors.add(str(record["prior"]))
        for face in faces:
            camera.faces += 1
            if face.get("expression") and "prior" not in record:
                self.priors.add(None)
            self._add_face(camera, (name, camera.begun, int(face["track"] or 0)), stamp, face)
        self._keep_small()

    def _note(self, camera: Camera, stamp: float, frames: int, latency: float, largest: float) -> None:
        camera.first = stamp if camera.first is None else min(camera.first, stamp)
        camera.last = max(camera.last, stamp)
        cell = self._cell(stamp)
        n, total, maximum = camera.latencies.get(cell, (0, 0.0, 0.0))
        camera.latencies[cell] = n + frames, total + latency, max(maximum, largest)

    def _add_face(self, camera: Camera, key: Key, stamp: float, face: dict[str, Any], *, sampled: bool = False) -> None:
        person = self.people[key]
        if not person.cells:
            person.first = person.last = stamp
        step = min(max(0.0, stamp - person.last), self._max_step)
        number = self._cell(stamp)
        if number not in person.cells:
            person.cells[number] = Cell()
            self._cells += 1
        cell = person.cells[number]
        cell.n += 1
        cell.width += float(face["box"][2])
        for name in ("score", "track_confidence"):
            if face[name] is not None:
                cell.measure(name, face[name])
        quality = face.get("quality") or {}
        for name in ("sharpness", "brightness"):
            if name in quality:
                cell.measure(name, quality[name])
        if face.get("pose"):
            cell.measure("turned", abs(float(face["pose"]["yaw"])))
        if person.label is not None:
            person.seconds[person.label] += step  # type: ignore[assignment]
        person.last = stamp
        expression = face["expression"]
        if expression is None:
            if "reason" in face or not face.get("heads"):  # else its model reads no expression
                camera.unclassified[str(face.get("reason", "unknown"))] += 1
            person.label = None
            return
        smoothed = expression["smoothed"]
        label = str(smoothed["label"])
        self.labels.update((name, None) for name in smoothed["scores"] if name != UNCERTAIN)
        if person.label is not None and label != person.label and not sampled:
            self.transitions[person.label, label] += 1
        person.label = label
        cell.scored += 1
        cell.labels[label] += 1
        scores = smoothed["scores"]
        cell.confidence += float(scores[label] if label in scores else max(scores.values()))
        if "reason" in expression:
            camera.uncertain[str(expression["reason"])] += 1

    def _cell(self, stamp: float) -> int:
        return int(stamp // self.width)

    def _keep_small(self) -> None:
        """Make one cell of each two where there are too many."""
        limit = max(_MAX_CELLS, 4 * (len(self.people) + len(self.cameras)))  # each person keeps a cell at least
        if self._cells + sum(len(each.latencies) for each in self.cameras.values()) <= limit:
            return
        self.width *= 2
        for person in self.people.values():
            merged: dict[int, Cell] = {}
            for number, cell in person.cells.items():
                merged.setdefault(number // 2, Cell()).add(cell)
            person.cells = merged
        self._cells = sum(len(person.cells) for person in self.people.values())
        for camera in self.cameras.values():
            camera.gaps = _halved(camera.gaps)
            latencies: dict[int, tuple[int, float, float]] = {}
            for number, (n, total, largest) in camera.latencies.items():
                m, sum_, maximum = latencies.get(number // 2, (0, 0.0, 0.0))
                latencies[number // 2] = n + m, total + sum_, max(largest, maximum)
            camera.latencies = latencies


def _halved(counts: Counter[int]) -> Counter[int]:
    merged: Counter[int] = Counter()
    for number, count in counts.items():
        merged[number // 2] += count
    return merged
