"""What the database holds, for how long, and which files are refused."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ferengine.errors import SinkError
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.person_events import EventDetector
from ferengine.sinks.sink_thread import SinkThread
from ferengine.sinks.store import APPLICATION, StoreSink
from results_help import face, result

VERSION_1 = f"""
CREATE TABLE event (
    time REAL NOT NULL, camera TEXT NOT NULL, kind TEXT NOT NULL, timestamp REAL NOT NULL, track INTEGER, label TEXT,
    confidence REAL, before TEXT, seconds REAL, reason TEXT
);
CREATE TABLE sample (
    time REAL NOT NULL, camera TEXT NOT NULL, timestamp REAL NOT NULL, frame INTEGER NOT NULL, track INTEGER NOT NULL,
    label TEXT, confidence REAL, x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL
);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = 1;
"""


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def rows(path: Path, question: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return list(connection.execute(question))


def fill(sink: StoreSink, clock: Clock, frames: int = 30) -> None:
    for number in range(frames):
        clock.now += 0.1
        sink.write(result(number, face(1, "happy"), face(2, None)))
        sink.flush_if_due()


def test_events_and_samples(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock)
    fill(sink, clock)
    sink.write_camera_event(CameraEvent("door", "ended", 5.0, "over"))
    sink.close()
    sink.close()
    assert rows(path, "SELECT kind, camera, track, label, reason FROM event") == [
        ("appeared", "door", 1, "happy", None), ("left", "door", 1, "happy", None), ("ended", "door", None, None, "over"),
    ]  # fmt: skip
    assert rows(path, "SELECT track, label, width, count(*) FROM sample GROUP BY track") == [
        (1, "happy", 30.0, 3), (2, None, 30.0, 3),
    ]  # fmt: skip
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "PRAGMA application_id") == [(APPLICATION,)]
    assert rows(path, "PRAGMA user_version") == [(4,)]


def test_others_read_while_it_is_written(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock)
    fill(sink, clock)
    assert rows(path, "SELECT count(*) FROM sample")[0][0]
    sink.close()


def test_runs_may_begin_with_one_file_at_once(tmp_path: Path) -> None:
    for attempt in range(10):
        path, together = tmp_path / f"{attempt}.db", threading.Barrier(4)

        def begin(path: Path = path, together: threading.Barrier = together) -> None:
            together.wait()
            sink = StoreSink(path, 30, Clock(), prior="uniform")
            fill(sink, Clock())
            sink.close()

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(begin) for _ in range(4)]:
                done.result()
        assert rows(path, "SELECT count(*) FROM run") == [(4,)]
        assert rows(path, "SELECT sum(frames) FROM second") == [(120,)]


def test_what_another_program_locks_is_written_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock, monotonic=clock)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        fill(sink, clock)
        assert caplog.text.count("another program is writing to") == 2  # one a second
        other.execute("COMMIT")
        clock.now += 1
        sink.flush_if_due()
        assert rows(path, "SELECT count(*) FROM event") == [(1,)]
        other.execute("BEGIN IMMEDIATE")
        sink.write_camera_event(CameraEvent("door", "ended", 5.0, "over"))
        for seconds in (1, 59, 1):  # the last commit was longer ago than the lock
            clock.now += seconds
            sink.flush_if_due()
        clock.now += 1
        with pytest.raises(SinkError, match=r"faces\.db cannot be written: database is locked"):
            sink.flush_if_due()
        other.execute("COMMIT")
    sink.close()
    assert rows(path, "SELECT kind FROM event") == [("appeared",), ("left",), ("ended",)]


@pytest.mark.parametrize("hours", [1, -1])
def test_how_long_a_database_is_locked_does_not_depend_on_the_system_clock(hours: int, tmp_path: Path) -> None:
    path, clock, monotonic = tmp_path / "faces.db", Clock(), Clock()
    sink = StoreSink(path, 30, clock, monotonic=monotonic)
    clock.now += 3600  # as behind a suspension of the machine
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sink.write(result(0, face(1, "happy")))
        sink.flush_if_due()
        clock.now += 3600 * hours
        monotonic.now += 59
        sink.flush_if_due()
        clock.now += 1
        monotonic.now += 2
        with pytest.raises(SinkError, match="database is locked"):
            sink.flush_if_due()
        other.execute("ROLLBACK")
    sink.close()


def test_a_locked_database_is_tried_once_a_second_however_much_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ferengine.sinks.store._MAX_ROWS", 5)
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(30):
            sink.write(result(number, *(face(10 * number + other_face, "happy") for other_face in range(1, 4))))
            clock.now += 0.1
            sink.flush_if_due()
        assert caplog.text.count("another program is writing to") == 3
        other.execute("ROLLBACK")
    sink.close()
    assert rows(path, "SELECT count(*) FROM sample") == [(90,)]


@pytest.mark.parametrize("released", [True, False])
def test_what_is_written_at_the_end_is_not_lost(released: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.sinks.store._BUSY_SECONDS", 0.1)
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock, monotonic=clock)
    queue: deque[int] = deque(range(22))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")

        class Results:
            dropped = waiting = 0

            def take(self, timeout: float | None = None) -> FrameResult | None:
                if not queue:
                    raise EOFError
                number = queue.popleft()
                if number < 20:
                    return result(number, face(1, "happy"))
                clock.now += 61 if number == 21 else 1
                return None

            def close(self) -> None:
                """Nothing waits."""

        close = sink.close

        def close_when_released() -> None:
            if released:
                other.execute("ROLLBACK")
            close()

        monkeypatch.setattr(sink, "close", close_when_released)
        thread = SinkThread("--store", sink, Results())
        thread.start()
        thread.join(30)
    assert not thread.busy
    assert "database is locked" in (thread.error or "")
    assert (thread.written, thread.cut) == ((20, 0) if released else (0, 20))
    assert rows(path, "SELECT sum(frames) FROM second") == [(20 if released else None,)]


def test_no_transaction_is_open_between_two_commits(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock)
    sink.write(result(0, face(1, "happy")))
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    sink.close()


def test_a_clock_that_is_set_back_does_not_put_off_commits(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 30, clock)
    clock.now -= 3600
    fill(sink, clock)
    assert rows(path, "SELECT count(*) FROM event") == [(1,)]
    sink.close()


def test_a_store_is_continued_and_what_is_old_goes(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 1, clock)
    fill(sink, clock)
    sink.close()
    clock.now += 80_000
    sink = StoreSink(path, 1, clock)
    fill(sink, clock)
    assert rows(path, "SELECT count(*) FROM event") == [(2,)]
    clock.now += 10_000
    sink.flush_if_due()
    assert rows(path, "SELECT count(*) FROM event") == [(1,)]
    assert rows(path, "SELECT count(*) FROM sample WHERE time < 1020000") == [(0,)]
    sink.close()


def test_nothing_is_left_of_what_is_too_old(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 1, clock)
    for number in range(300):
        clock.now += 1
        sink.write(result(number, *(face(track, "happy") for track in range(1, 8)), camera="hallway", fps=1))
        sink.flush_if_due()
    held = [each.read_bytes().count(b"hallway") for each in (path, tmp_path / "faces.db-wal")]
    assert sum(held) > 1000
    clock.now += 90_000
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchall()  # keeps the log from being emptied
        sink.flush_if_due()
        assert rows(path, "PRAGMA freelist_count") == [(0,)]
    clock.now += 90
    sink.flush_if_due()
    left = [each.name for each in tmp_path.iterdir() if b"hallway" in each.read_bytes()]
    assert left == []
    sink.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_store_of_an_earlier_version_gets_its_columns(tmp_path: Path, version: int) -> None:
    path = tmp_path / "faces.db"
    if version > 1:
        StoreSink(path, 1).close()
    with sqlite3.connect(path) as older:
        if version == 1:
            older.executescript(VERSION_1)
        else:
            zones = "ALTER TABLE event DROP COLUMN zone; ALTER TABLE event DROP COLUMN zones;" if version == 2 else ""
            older.executescript(f"{zones} DROP TABLE run; PRAGMA user_version = {version}")
        older.execute("INSERT INTO event (time, camera, kind, timestamp) VALUES (1e12, 'door', 'started', 5.0)")
    older.close()
    for _ in range(2):
        sink = StoreSink(
            path, 1, detector=EventDetector(lambda event: replace(event, clip="a.mp4", zone="hall", zones=("a", "b")))
        )
        sink.write_camera_event(CameraEvent("door", "ended", 6.0))
        sink.close()
    with sqlite3.connect(path) as now, sqlite3.connect(tmp_path / "new.db") as new:
        StoreSink(tmp_path / "new.db", 1).close()
        for table in ("event", "sample", "second", "label", "run"):
            columns = [list(each.execute(f"PRAGMA table_info({table})")) for each in (now, new)]
            assert columns[0] == columns[1]
    now.close()
    new.close()
    assert rows(path, "SELECT kind, snapshot, clip, zone, zones FROM event") == [
        ("started", None, None, None, None), *2 * [("ended", None, "a.mp4", "hall", "a;b")],
    ]  # fmt: skip


def test_the_prior_of_each_run_is_kept_as_long_as_its_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    for day, prior in enumerate(("everyday", "everyday", "uniform", None)):
        clock.now = 86_400.0 * day
        said = len(caplog.records)
        sink = StoreSink(path, 1.5, clock, prior=prior)
        sink.close()
        assert len(caplog.records) - said == (day > 1)
    assert "was last written under the class prior everyday, and goes on under uniform: " in caplog.messages[0]
    assert "under the class prior uniform, and goes on under none: " in caplog.messages[1]
    assert rows(path, "SELECT time, prior FROM run") == [(86_400.0, "everyday"), (172_800.0, "uniform"), (259_200.0, None)]
    clock.now = 864_000.0
    StoreSink(path, 1.5, clock).close()
    assert rows(path, "SELECT time, prior FROM run") == [(259_200.0, None), (864_000.0, None)]


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x" * 5000)
    with pytest.raises(SinkError, match=r"--store: .* cannot be written: file is not a database"):
        StoreSink(tmp_path / "text", 1)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(SinkError, match="database of another program"):
        StoreSink(tmp_path / "other.db", 1)
    StoreSink(tmp_path / "new.db", 1).close()
    with sqlite3.connect(tmp_path / "new.db") as newer:
        newer.execute("PRAGMA user_version = 5")
    with pytest.raises(SinkError, match="newer ferengine"):
        StoreSink(tmp_path / "new.db", 1)
    with pytest.raises(SinkError, match=r"new\.db cannot be created: there is no folder \S+nowhere"):
        StoreSink(tmp_path / "nowhere" / "new.db", 1)
    with pytest.raises(SinkError, match="is a folder: name a file"):
        StoreSink(tmp_path, 1)
    assert (tmp_path / "text").read_text() == "x" * 5000


def test_a_full_disk_is_an_error_of_the_sink(tmp_path: Path) -> None:
    path, clock = tmp_path / "faces.db", Clock()
    sink = StoreSink(path, 1, clock)
    with sink._reporting() as connection:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 8}")  # as on a full disk

    taken = 0

    def write_for_long() -> None:
        nonlocal taken
        for number in range(5000):
            clock.now += 0.5
            taken += 1
            sink.write(result(number, *(face(track, "happy") for track in range(1, 50)), fps=1.0))
            sink.flush_if_due()

    with pytest.raises(SinkError, match="full") as caught:
        write_for_long()
    assert caught.value.lost is not None
    assert 1 <= caught.value.lost <= 2  # a second's, which were not committed
    last = rows(path, "SELECT max(frame) FROM sample")
    assert last == [(taken - caught.value.lost - 1,)]


@pytest.mark.parametrize("name", ["file:faces.db", ":memory:", "file::memory:?cache=shared"])
def test_a_name_is_a_file_and_no_address_of_sqlite(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clock = Clock()
    sink = StoreSink(Path(name), 30, clock)
    fill(sink, clock)
    sink.close()
    assert ("appeared",) in rows(tmp_path / name, "SELECT kind FROM event")
