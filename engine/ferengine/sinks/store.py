"""Keeps events, and a sample a second of each person, in an SQLite database."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ferengine.errors import SinkError
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.person_events import Event, EventDetector

APPLICATION = 0x46455245
"""What marks the file as ours ("FERE")."""
VERSION = 2
_SCHEMA = """
CREATE TABLE event (
    time REAL NOT NULL, camera TEXT NOT NULL, kind TEXT NOT NULL, timestamp REAL NOT NULL, track INTEGER, label TEXT,
    confidence REAL, before TEXT, seconds REAL, reason TEXT, snapshot TEXT, clip TEXT
);
CREATE INDEX event_time ON event (time);
CREATE TABLE sample (
    time REAL NOT NULL, camera TEXT NOT NULL, timestamp REAL NOT NULL, frame INTEGER NOT NULL, track INTEGER NOT NULL,
    label TEXT, confidence REAL, x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL
);
CREATE INDEX sample_time ON sample (time);
"""
_TO_VERSION_2 = "ALTER TABLE event ADD COLUMN snapshot TEXT; ALTER TABLE event ADD COLUMN clip TEXT;"
_COMMIT_SECONDS = 1.0
_CLEAN_SECONDS = 60.0
_SAMPLE_SECONDS = 1.0


class StoreSink:
    """Appends to an SQLite file, which others may read meanwhile (write-ahead log); rows older than ``days`` are deleted.

    ``time`` of a row is seconds since the epoch when it was written; ``timestamp`` is that of the result.

    Args:
        path: The file; it is made if it is missing, and continued if it is one of ours.
        days: How long rows are kept.
        clock: Seconds since the epoch.
        detector: Finds the events; None for one that attaches nothing to them.

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
    ) -> None:
        self._path = path
        self._keep = days * 86400
        self._clock = clock
        self._detector = detector or EventDetector()
        self._sampled: dict[tuple[str, int], float] = {}
        self._committed = self._cleaned = clock()
        self._connection: sqlite3.Connection | None = None
        with self._reporting() as connection:
            self._prepare(connection)
            self._clean(connection)

    def write(self, result: FrameResult) -> None:
        """Keep what happened with this result, and a sample of each person. Raises SinkError."""
        with self._reporting() as connection:
            self._keep_events(connection, self._detector.add(result))
            now = self._clock()
            for face in result.faces:
                key = result.camera, face.track or 0
                if now - self._sampled.get(key, 0.0) < _SAMPLE_SECONDS:
                    continue
                self._sampled[key] = now
                smoothed = None if face.expression is None else face.expression.smoothed
                label = None if smoothed is None else smoothed.label
                score = None if smoothed is None else smoothed.confidence
                row = (now, result.camera, result.timestamp, result.frame, key[1], label, score, *face.box)
                self._begin(connection)
                connection.execute(f"INSERT INTO sample VALUES ({','.join('?' * len(row))})", row)

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
            if connection.in_transaction:
                connection.execute("COMMIT")
            self._committed = now
            if now - self._cleaned >= _CLEAN_SECONDS:
                self._clean(connection)

    def close(self) -> None:
        """Commit and close; may be called twice. Raises SinkError."""
        if self._connection is None:
            return
        try:
            with self._reporting() as connection:
                if connection.in_transaction:
                    connection.execute("COMMIT")
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
        if not tables:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
            )
        elif version < VERSION:
            connection.executescript(f"BEGIN IMMEDIATE; {_TO_VERSION_2} PRAGMA user_version = {VERSION}; COMMIT;")

    def _begin(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")

    def _keep_events(self, connection: sqlite3.Connection, events: list[Event]) -> None:
        for event in events:
            self._begin(connection)
            row = (
                self._clock(), event.camera, event.kind, event.timestamp, event.track, event.label, event.confidence,
                event.before, event.seconds, event.reason, event.snapshot, event.clip,
            )  # fmt: skip
            connection.execute(f"INSERT INTO event VALUES ({','.join('?' * len(row))})", row)

    def _clean(self, connection: sqlite3.Connection) -> None:
        now = self._cleaned = self._clock()
        for table in ("event", "sample"):
            connection.execute(f"DELETE FROM {table} WHERE time < ?", (now - self._keep,))
        connection.execute("PRAGMA incremental_vacuum")
        self._sampled = {key: when for key, when in self._sampled.items() if now - when < _CLEAN_SECONDS}

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[sqlite3.Connection]:
        """The connection; an error of the database becomes a SinkError."""
        try:
            if self._connection is None:  # opened here, and used in the thread of the sink alone
                self._connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
            yield self._connection
        except sqlite3.Error as error:
            raise SinkError(f"--store: {self._path} cannot be written: {error}") from None
