"""Keeps events, a sample a second of each person, and counts a second of each camera, in an SQLite database."""

from __future__ import annotations

import contextlib
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from ferengine.errors import SinkError
from ferengine.results import EPOCH_NUMBERS, CameraEvent, Face, FrameResult
from ferengine.sinks.person_events import Event, EventDetector

log = logging.getLogger("ferengine")

APPLICATION = 0x46455245
"""What marks the file as ours ("FERE")."""
VERSION = 4
_SCHEMA = """
CREATE TABLE event (
    time REAL NOT NULL, camera TEXT NOT NULL, kind TEXT NOT NULL, timestamp REAL NOT NULL, track INTEGER, label TEXT,
    confidence REAL, before TEXT, seconds REAL, reason TEXT, snapshot TEXT, clip TEXT
);
CREATE INDEX event_time ON event (time);
CREATE TABLE sample (
    time REAL NOT NULL, camera TEXT NOT NULL, timestamp REAL NOT NULL, frame INTEGER NOT NULL, track INTEGER NOT NULL,
    label TEXT, confidence REAL, x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL,
    reason TEXT, detection REAL, tracking REAL, sharpness REAL, brightness REAL, yaw REAL
);
CREATE INDEX sample_time ON sample (time);
"""
_NEW_IN_VERSION_2 = """
CREATE TABLE second (
    time REAL NOT NULL, camera TEXT NOT NULL, timestamp REAL NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    frames INTEGER NOT NULL, faces INTEGER NOT NULL, scene_cuts INTEGER NOT NULL, latency_ms REAL NOT NULL,
    max_latency_ms REAL NOT NULL
);
CREATE INDEX second_time ON second (time);
CREATE TABLE label (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""
_TO_VERSION_2 = "".join(
    f"ALTER TABLE {column.replace(' ', ' ADD COLUMN ', 1)};"
    for column in (
        "event snapshot TEXT", "event clip TEXT", "sample reason TEXT", "sample detection REAL", "sample tracking REAL",
        "sample sharpness REAL", "sample brightness REAL", "sample yaw REAL",
    )
)  # fmt: skip
_TO_VERSION_3 = "ALTER TABLE event ADD COLUMN zone TEXT; ALTER TABLE event ADD COLUMN zones TEXT;"
_TO_VERSION_4 = "CREATE TABLE run (time REAL NOT NULL, prior TEXT); CREATE INDEX run_time ON run (time);"
_BUSY_SECONDS = 5.0
_COMMIT_SECONDS = 1.0
_CLEAN_SECONDS = 60.0
_SAMPLE_SECONDS = 1.0
_MAX_SAMPLED = 1_000
"""People of whom it is known when they were sampled; then the first are forgotten."""


@dataclass(slots=True)
class _Second:
    """What one camera has shown since the row before."""

    timestamp: float
    first: int
    last: int
    frames: int = 0
    faces: int = 0
    scene_cuts: int = 0
    latency_ms: float = 0.0
    max_latency_ms: float = 0.0

    def goes_on_with(self, result: FrameResult) -> bool:
        same_node = result.frame // EPOCH_NUMBERS == self.last // EPOCH_NUMBERS
        return same_node and result.frame > self.last and 0 <= result.timestamp - self.timestamp < _SAMPLE_SECONDS

    def add(self, result: FrameResult) -> None:
        self.last = result.frame
        self.frames += 1
        self.faces += len(result.faces)
        self.scene_cuts += result.scene_cut
        self.latency_ms += result.latency_ms
        self.max_latency_ms = max(self.max_latency_ms, result.latency_ms)


class StoreSink:
    """Appends to an SQLite file, which others may read meanwhile (write-ahead log); rows older than ``days`` are deleted.

    ``time`` of a row is seconds since the epoch when it was written; ``timestamp`` is that of the result.

    Args:
        path: The file; it is made if it is missing, and continued if it is one of ours.
        days: How long rows are kept.
        clock: Seconds since the epoch.
        detector: Finds the events; None for one that attaches nothing to them.
        labels: The classes of the expression model, in their order; kept for reports.
        prior: The name of the class prior in force: what was kept from now on was read under it.

    Raises:
        SinkError: The file is another program's, of a newer version, or cannot be written.
    """

    dropped = 0

    def __init__(
        self,
        path: Path,
        days: float,
        clock: Callable[[], float] = time.time,
        detector: EventDetector | None = None,
        labels: Sequence[str] = (),
        prior: str | None = None,
    ) -> None:
        self._path = path
        self._keep = days * 86400
        self._clock = clock
        self._detector = detector or EventDetector()
        self._labels = tuple(labels)
        self._prior = prior
        self._uncommitted = 0
        self._sampled: dict[tuple[str, int], float] = {}
        self._seconds: dict[str, _Second] = {}
        self._committed = self._cleaned = clock()
        self._is_in_log = 0
        self._connection: sqlite3.Connection | None = None
        with self._reporting() as connection:
            self._prepare(connection)
            self._begin_run(connection)
            self._clean(connection)

    def write(self, result: FrameResult) -> None:
        """Keep what happened with this result, and a sample of each person. Raises SinkError, as all that follow, with the
        number of results that were not committed."""
        self._uncommitted += 1
        with self._reporting() as connection:
            self._keep_events(connection, self._detector.add(result))
            second = self._seconds.get(result.camera)
            if second is not None and not second.goes_on_with(result):
                self._keep_second(connection, result.camera)
                second = None
            if second is None:
                second = self._seconds[result.camera] = _Second(result.timestamp, result.frame, result.frame)
            second.add(result)
            for face in result.faces:
                key = result.camera, face.track or 0
                if 0 <= result.timestamp - self._sampled.get(key, -math.inf) < _SAMPLE_SECONDS:
                    continue
                self._sampled[key] = result.timestamp
                row = (self._clock(), result.camera, result.timestamp, result.frame, key[1], *_reading(face))
                self._insert(connection, "sample", row)

    def write_camera_event(self, event: CameraEvent) -> None:
        """Keep what happened to a camera. Raises SinkError."""
        with self._reporting() as connection:
            self._keep_events(connection, self._detector.add_camera_event(event))

    def flush_if_due(self) -> None:
        """Commit after a second, and delete what is too old after a minute. Raises SinkError."""
        now = self._clock()
        if now - self._committed < _COMMIT_SECONDS:
            return
        with self._reporting() as connection:
            self._commit(connection)
            self._committed = now
            if now - self._cleaned >= _CLEAN_SECONDS:
                self._clean(connection)

    def close(self) -> None:
        """Commit and close; may be called twice. Raises SinkError."""
        if self._connection is None:
            return
        try:
            with self._reporting() as connection:
                for camera in list(self._seconds):
                    self._keep_second(connection, camera)
                self._commit(connection)
        finally:
            connection_, self._connection = self._connection, None
            connection_.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise SinkError(f"--store: {self._path} is a database of another program: name another file")
        if version > VERSION:
            raise SinkError(f"--store: {self._path} was written by a newer ferengine (version {version} of the schema)")
        if not tables:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what is too old is overwritten
        if not tables:
            marks = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            connection.executescript(f"BEGIN; {_SCHEMA} {_NEW_IN_VERSION_2} {_TO_VERSION_3} {_TO_VERSION_4} {marks} COMMIT;")
        elif version < VERSION:
            steps = f"{_TO_VERSION_2} {_NEW_IN_VERSION_2}" if version < 2 else ""
            steps += (_TO_VERSION_3 if version < 3 else "") + _TO_VERSION_4
            connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
        with connection:
            for number, label in enumerate(self._labels):
                connection.execute("INSERT OR REPLACE INTO label VALUES (?, ?)", (label, number))

    def _begin_run(self, connection: sqlite3.Connection) -> None:
        before = connection.execute("SELECT prior FROM run ORDER BY rowid DESC LIMIT 1").fetchone()
        if before is not None and before != (self._prior,):
            was, now = (prior or "none" for prior in (*before, self._prior))
            log.warning(
                "--store: %s was last written under the class prior %s, and goes on under %s: their labels do not compare",
                self._path, was, now,
            )  # fmt: skip
        connection.execute("INSERT INTO run VALUES (?, ?)", (self._clock(), self._prior))

    def _commit(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("COMMIT")
        self._uncommitted = 0

    def _insert(self, connection: sqlite3.Connection, table: str, row: tuple[object, ...]) -> None:
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)

    def _keep_second(self, connection: sqlite3.Connection, camera: str) -> None:
        second = self._seconds.pop(camera)
        self._insert(connection, "second", (self._clock(), camera, *astuple(second)))

    def _keep_events(self, connection: sqlite3.Connection, events: list[Event]) -> None:
        for event in events:
            row = (
                self._clock(), event.camera, event.kind, event.timestamp, event.track, event.label, event.confidence,
                event.before, event.seconds, event.reason, event.snapshot, event.clip, event.zone,
                ";".join(event.zones) or None,
            )  # fmt: skip
            self._insert(connection, "event", row)

    def _clean(self, connection: sqlite3.Connection) -> None:
        now = self._cleaned = self._clock()
        deleted = 0
        for table in ("event", "sample", "second"):
            deleted += connection.execute(f"DELETE FROM {table} WHERE time < ?", (now - self._keep,)).rowcount
        last = "SELECT max(rowid) FROM run WHERE time < ?"  # of which there may be rows
        deleted += connection.execute(f"DELETE FROM run WHERE rowid < ({last})", (now - self._keep,)).rowcount
        connection.executescript("PRAGMA incremental_vacuum;")  # ``execute`` would take one step, which frees one page
        if deleted or self._is_in_log:  # the log of writes holds what was deleted until it is emptied, which readers may delay
            connection.execute("PRAGMA busy_timeout = 0").fetchall()  # it is tried again in a minute
            [self._is_in_log, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}").fetchall()
        while len(self._sampled) > _MAX_SAMPLED:
            del self._sampled[next(iter(self._sampled))]

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[sqlite3.Connection]:
        """The connection; an error of the database becomes a SinkError."""
        try:
            if self._connection is None:  # opened here, and used in the thread of the sink alone
                self._connection = sqlite3.connect(
                    self._path.absolute(), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
                )
            yield self._connection
        except sqlite3.Error as error:
            failed = SinkError(f"--store: {self._path} cannot be written: {error}")
            failed.lost = self._uncommitted
            raise failed from None


def _reading(face: Face) -> tuple[object, ...]:
    """Of a sample the columns from ``label`` on."""
    expression, quality = face.expression, face.quality
    smoothed = None if expression is None else expression.smoothed
    return (
        None if smoothed is None else smoothed.label,
        None if smoothed is None else smoothed.confidence,
        *face.box,
        face.reason if expression is None else expression.reason,
        face.score,
        face.track_confidence,
        None if quality is None else quality.sharpness,
        None if quality is None else quality.brightness,
        None if face.pose is None else face.pose.yaw,
    )
