"""What Parquet files hold, when a new one begins, and what is left when one cannot be written."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disk_help import largest_file
from ferengine import read_events
from ferengine.errors import SinkError, UsageError
from ferengine.event_lines import face_rows
from ferengine.results import CameraEvent, Face, Pose, Quality, make_expression, make_gender
from ferengine.sinks.jsonl import JsonlWriter
from results_help import result

pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
from pyarrow import parquet

from ferengine.sinks.parquet import ParquetSink, parquet_schema

LABELS, GENDERS = ("happy", "sad"), ("female", "male")
POINTS = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 10.0))
FACE = Face(
    1, (10, 20, 30, 40), 0.75, 1.0, "detected", POINTS, make_expression(LABELS, (0.75, 0.25), (0.5, 0.5)), None,
    make_gender(GENDERS, (0.75, 0.25), (0.5, 0.5)), Pose(10.0, -5.0, 2.0, 0.5), Quality(50.0, 0.5, 120.0, 30.0), "sad",
    ("door", "till"),
)  # fmt: skip
SCHEMA = parquet_schema(LABELS, GENDERS, "uniform")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sink_of(folder: Path, rows: int = 1000, seconds: float = 60.0, clock: Clock | None = None) -> ParquetSink:
    return ParquetSink(folder, SCHEMA, rows, seconds, "uniform", clock or Clock())


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_folder_reads_as_the_lines_of_events_do(library: Any, tmp_path: Path) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    sink, lines = sink_of(tmp_path / "faces", rows=3), JsonlWriter(tmp_path / "faces.jsonl", prior="uniform")
    unclassified = replace(FACE, track=2, expression=None, reason="deadline", landmarks=None, gender=None, pose=None)
    for sinks in (sink, lines):
        for number in range(4):
            sinks.write(result(number, *([FACE, unclassified] if number else []), cut=True))
        sinks.close()
        sinks.close()
    assert files(tmp_path / "faces") == [".parquet"] * 2  # of 3 and 4 rows: a frame stays whole
    table, expected = read_events(tmp_path / "faces", library), read_events(tmp_path / "faces.jsonl", library)
    assert set(table.columns) >= set(expected.columns)
    rows, wanted = [each.to_dict("records") if library == "pandas" else each.to_dicts() for each in (table, expected)]
    assert len(rows) == len(wanted) == 6
    for row, want in zip(rows, wanted, strict=True):
        for name, value in want.items():
            if value is not None and value == value:
                assert row[name] == value, name
            else:
                assert row[name] is None or row[name] != row[name], name


def test_the_schema_has_a_column_for_all_that_a_face_has() -> None:
    whole = result(0, FACE, replace(FACE, expression=None, reason="deadline"), cut=True).to_dict() | {"prior": "uniform"}
    assert {name for row in face_rows(whole) for name in row} <= set(SCHEMA.names)
    event = CameraEvent("door", "reconnected", 1.0, "away", 2.0).to_dict()
    assert set(event) <= set(SCHEMA.names)
    assert len(parquet_schema(LABELS).names) == len(SCHEMA.names) - 7


def test_frames_without_faces_and_camera_events_are_rows(tmp_path: Path) -> None:
    sink = sink_of(tmp_path)
    sink.write_camera_event(CameraEvent("door", "started", 5.0))
    sink.write(result(7))
    sink.write(result(8, FACE))
    sink.close()
    [path] = tmp_path.iterdir()
    table = parquet.read_table(path)
    assert table.schema.metadata[b"ferengine.prior"] == b"uniform"
    assert table["event"].to_pylist() == ["started", None, None]
    assert table["frame"].to_pylist() == [None, 7, 8]
    assert table["track"].to_pylist() == [None, None, 1]
    assert table["timestamp"].to_pylist() == [5.0, 0.7, 0.8]


def test_a_new_file_begins_after_a_time(tmp_path: Path) -> None:
    clock = Clock()
    sink = sink_of(tmp_path, seconds=60.0, clock=clock)
    sink.flush_if_due()
    sink.write(result(0, FACE))
    clock.now = 59.0
    sink.flush_if_due()
    assert files(tmp_path) == [".partial"]
    clock.now = 60.0
    sink.flush_if_due()
    assert files(tmp_path) == [".parquet"]
    assert len(read_events(tmp_path)) == 1
    sink.close()
    assert files(tmp_path) == [".parquet"]


def test_what_a_killed_run_leaves_is_removed_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left, written = tmp_path / "faces-1.parquet.partial", tmp_path / "faces-2.parquet.partial"
    left.write_bytes(b"PAR1")
    written.write_bytes(b"PAR1")
    with written.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        sink_of(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == [written.name]
    assert f"{left}: the run that wrote it was killed, and its rows are lost" in caplog.text


def test_a_full_disk_leaves_the_complete_files(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, rows=2)
    for number in range(3):
        sink.write(result(number, FACE))
    with largest_file(512), pytest.raises(SinkError, match=r"faces-\S+\.parquet cannot be written: File too large") as caught:
        sink.write(result(3, FACE))
    assert caught.value.lost == 2
    assert files(tmp_path) == [".parquet"]
    assert read_events(tmp_path)["frame"].tolist() == [0, 1]
    sink.close()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="file is not a folder: name one"):
        sink_of(tmp_path / "file")
    with pytest.raises(SinkError, match=r"none/faces cannot be created: there is no folder .*none"):
        sink_of(tmp_path / "none" / "faces")
    sink = sink_of(tmp_path / "faces")
    sink.write(result(0, FACE))
    for path in (tmp_path / "faces").iterdir():
        path.unlink()
    with pytest.raises(SinkError, match="cannot be written: No such file"):
        sink.close()


def test_what_is_no_parquet_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no file that ends in \.parquet"):
        read_events(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"hello")
    with pytest.raises(UsageError, match=r"a\.parquet cannot be read"):
        read_events(tmp_path / "a.parquet")
    import pyarrow as pa

    parquet.write_table(pa.table({"camera": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="is not one that --parquet writes"):
        read_events(tmp_path)
