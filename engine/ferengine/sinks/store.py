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
from ferengine.sinks.files import check_output
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
"""Seconds that opening and closing wait for another program that writes."""
_LOCK_SECONDS = 0.25
"""Seconds that a commit does; the next one tries again."""
_MAX_LOCKED = 60.0
"""Seconds for which rows wait where another program holds the database."""
_COMMIT_SECONDS = 1.0
_MAX_ROWS = 10_000
"""Rows that wait for the next commit; then it comes sooner."""
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
        monotonic: Monotonic seconds, by which a lock is timed.

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
        monotonic: Callable[[], float] = time.monotonic,
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
        self._rows: list[tuple[str, tuple[object, ...]]] = []
        self._tried = self._cleaned = clock()
        self._monotonic = monotonic
        self._locked_since: float | None = None  # the first commit for which another program did not leave the database
        self._failure: SinkError | None = None
        self._is_in_log = 0
        self._connection: sqlite3.Connection | None = None
        check_output(path, overwrite=True)  # it is continued
        with self._reporting() as connection:
            self._open(connection)
            with _transaction(connection):  # another run may begin with the file at this moment
                self._prepare(connection)
                self._begin_run(connection)
            self._clean(connection)
            _set_patience(connection, _LOCK_SECONDS)

    def write(self, result: FrameResult) -> None:
        """Keep what happened with this result, and a sample of each person. Raises SinkError, as all that follow, with the
        number of results that were not committed."""
        self._uncommitted += 1
        self._keep_events(self._detector.add(result))
        second = self._seconds.get(result.camera)
        if second is not None and not second.goes_on_with(result):
            self._keep_second(result.camera)
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
            self._insert("sample", row)
        if len(self._rows) >= _MAX_ROWS and self._locked_since is None:  # else once a second, as each try waits
            self._flush()

    def write_camera_event(self, event: CameraEvent) -> None:
        """Keep what happened to a camera. Raises SinkError."""
        self._keep_events(self._detector.add_camera_event(event))

    def flush_if_due(self) -> None:
        """Commit after a second, and delete what is too old after a minute. Raises SinkError."""
        if not 0 <= self._clock() - self._tried < _COMMIT_SECONDS:  # a clock may be set back
            self._flush()

    def _flush(self) -> None:
        now = self._tried = self._clock()
        with self._reporting() as connection:
            try:
                self._commit(connection)
                if not 0 <= now - self._cleaned < _CLEAN_SECONDS:
                    self._clean(connection)
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                if self._locked_since is None:
                    self._locked_since = self._monotonic()
                if self._monotonic() - self._locked_since > _MAX_LOCKED:
                    raise
                log.warning("--store: another program is writing to %s: what comes waits", self._path)

    def close(self) -> None:
        """Commit and close; may be called twice. Behind an error it tries once more, and takes back ``lost`` where that
        succeeds. Raises SinkError."""
        if self._connection is None:
            return
        try:
            with self._reporting() as connection:
                _set_patience(connection, _BUSY_SECONDS)
                for camera in list(self._seconds):
                    self._keep_second(camera)
                self._commit(connection)
            if self._failure is not None:
                self._failure.lost = 0  # what it could not write is written now
        finally:
            connection_, self._connection = self._connection, None
            connection_.close()

    def _open(self, connection: sqlite3.Connection) -> None:
        """Set what is set outside of a transaction."""
        if not self._check(connection):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _log_writes(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what is too old is overwritten

    def _check(self, connection: sqlite3.Connection) -> int:
        """The version of the schema, 0 for a new file. Raises SinkError for a file that is not to be written."""
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # first: another run may make them now
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if tables and application != APPLICATION:
            raise SinkError(f"--store: {self._path} is a database of another program: name another file")
        if version > VERSION:
            raise SinkError(f"--store: {self._path} was written by a newer ferengine (version {version} of the schema)")
        return int(version) if tables else 0

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables, or bring them up to date."""
        version = self._check(connection)
        steps = _SCHEMA if version == 0 else _TO_VERSION_2 if version == 1 else ""
        steps += (_NEW_IN_VERSION_2 if version < 2 else "") + (_TO_VERSION_3 if version < 3 else "")
        steps += _TO_VERSION_4 if version < 4 else ""
        for step in filter(str.strip, steps.split(";")):
            connection.execute(step)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
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
        """Write all rows that wait. They do so outside of a transaction, which would keep other runs from writing."""
        if self._rows:
            with _transaction(connection):
                for table, row in self._rows:
                    connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
            self._rows.clear()
        self._uncommitted = 0
        self._locked_since = None

    def _insert(self, table: str, row: tuple[object, ...]) -> None:
        self._rows.append((table, row))

    def _keep_second(self, camera: str) -> None:
        second = self._seconds.pop(camera)
        self._insert("second", (self._clock(), camera, *astuple(second)))

    def _keep_events(self, events: list[Event]) -> None:
        for event in events:
            row = (
                self._clock(), event.camera, event.kind, event.timestamp, event.track, event.label, event.confidence,
                event.before, event.seconds, event.reason, event.snapshot, event.clip, event.zone,
                ";".join(event.zones) or None,
            )  # fmt: skip
            self._insert("event", row)

    def _clean(self, connection: sqlite3.Connection) -> None:
        now = self._cleaned = self._clock()
        deleted = 0
        for table in ("event", "sample", "second"):
            deleted += connection.execute(f"DELETE FROM {table} WHERE time < ?", (now - self._keep,)).rowcount
        last = "SELECT max(rowid) FROM run WHERE time < ?"  # of which there may be rows
        deleted += connection.execute(f"DELETE FROM run WHERE rowid < ({last})", (now - self._keep,)).rowcount
        connection.executescript("PRAGMA incremental_vacuum;")  # ``execute`` would take one step, which frees one page
        if deleted or self._is_in_log:  # the log of writes holds what was deleted until it is emptied, which readers may delay
            _set_patience(connection, 0)  # it is tried again in a minute
            [self._is_in_log, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            _set_patience(connection, _LOCK_SECONDS)
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
            self._failure = SinkError(f"--store: {self._path} cannot be written: {error}")
            self._failure.lost = self._uncommitted
            raise self._failure from None


def _log_writes(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log; where another run does the same just now, SQLite itself does not wait for it."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # above that it says why


def _set_patience(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}").fetchall()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing; waits for other writers first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have ended it
            connection.execute("ROLLBACK")
        raise


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
