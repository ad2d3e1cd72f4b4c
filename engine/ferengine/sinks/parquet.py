"""Writes results as Parquet files, a new one every so often."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from ferengine import __version__
from ferengine.errors import UsageError
from ferengine.event_lines import face_rows
from ferengine.models.manifest import Head
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.csv import head_columns
from ferengine.sinks.files import create_output, make_folder, write_failed

PARTIAL = ".partial"
"""What the name of a file ends in until it is complete."""
_GROUP_ROWS = 5_000
"""Rows that are compressed and written together."""
_POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
_FLOATS = ("x", "y", "width", "height", "score", "track_confidence")

log = logging.getLogger("ferengine")


def parquet_schema(
    labels: Sequence[str], gender_labels: Sequence[str] = (), prior: str | None = None, heads: Sequence[Head] = ()
) -> pa.Schema:
    """The columns of a file; only ``camera`` and ``timestamp`` have a value in every row.

    Args:
        labels: The labels of the expression model.
        gender_labels: Those of the gender model, if it is on.
        prior: The name of the class prior in force.
        heads: The further heads of the model.
    """
    text, number = pa.string(), pa.float32()
    columns: list[tuple[str, pa.DataType]] = [
        ("event", text), ("frame", pa.int64()), ("latency_ms", number), ("scene_cut", pa.bool_()), ("track", pa.int64()),
        *((name, number) for name in _FLOATS), ("origin", text),
        *((f"{point}_{axis}", number) for point in _POINTS for axis in "xy"),
        ("label", text), ("smoothed_label", text), ("reason", text), ("changed_from", text), ("zones", text),
        *((f"{kind}{label}", number) for label in labels for kind in ("score_", "smoothed_")),
        *((name, number) for name in ("yaw", "pitch", "roll", "pose_age", "size", "sharpness", "brightness", "contrast")),
    ]  # fmt: skip
    if gender_labels:
        columns += [("gender", text), ("smoothed_gender", text), ("gender_reason", text)]
        columns += [(f"{kind}gender_{label}", number) for label in gender_labels for kind in ("score_", "smoothed_")]
    for head in heads:
        label, *numbers = head_columns(head)
        columns += [(label, text if head.kind == "classes" else number), *((name, number) for name in numbers)]
    columns += [("seconds", number), ("prior", text)]
    always = [pa.field("camera", text, nullable=False), pa.field("timestamp", pa.float64(), nullable=False)]
    about = {"ferengine": __version__, "ferengine.schema": "1"} | ({} if prior is None else {"ferengine.prior": prior})
    return pa.schema([*always, *(pa.field(name, kind) for name, kind in columns)], about)


class ParquetSink:
    """Writes Parquet files into a folder: a row for each face, for each frame without one, and for each camera event.

    A file is complete, or it is not there: until then its name ends in ``.partial``. What a killed run has left of one is
    removed by the next, which says so.

    Args:
        folder: Where to; it is made if it is missing.
        schema: As ``parquet_schema`` makes it.
        rows: Rows of one file.
        seconds: How long one file is written at most.
        prior: The name of the class prior in force.
        clock: Monotonic seconds.

    Raises:
        SinkError: The folder cannot be written.
    """

    dropped = 0

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        rows: int,
        seconds: float,
        prior: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._max_rows, self._max_seconds = rows, seconds
        self._prior = prior
        self._clock = clock
        self._waiting: list[dict[str, Any]] = []
        self._file: _File | None = None
        self._begun = 0.0
        make_folder(folder)
        _remove_leftovers(folder)

    def write(self, result: FrameResult) -> None:
        """Add the rows of one result. Raises SinkError."""
        record = result.to_dict()
        rows = list(face_rows(record)) or [{name: value for name, value in record.items() if name not in ("faces", "changes")}]
        for row in rows:
            row.setdefault("scene_cut", False)
            if self._prior is not None:
                row["prior"] = self._prior
        self._add(rows, is_result=True)

    def write_camera_event(self, event: CameraEvent) -> None:
        """Add the row of what happened to a camera. Raises SinkError."""
        self._add([event.to_dict()], is_result=False)

    def flush_if_due(self) -> None:
        """Begin a new file where this one has been written for long enough. Raises SinkError."""
        if self._file is not None and self._clock() - self._begun >= self._max_seconds:
            self._finish(self._file)

    def close(self) -> None:
        """Complete the last file; may be called twice. Raises SinkError."""
        if self._file is not None:
            self._finish(self._file)

    def _add(self, rows: list[dict[str, Any]], *, is_result: bool) -> None:
        if self._file is None:
            self._file = _File(self._folder, self._schema)
            self._begun = self._clock()
        self._file.results += is_result
        self._file.rows += len(rows)
        self._waiting += rows
        if self._file.rows >= self._max_rows:
            self._finish(self._file)
        elif len(self._waiting) >= _GROUP_ROWS:
            with self._giving_up(self._file):
                self._file.write(self._take())

    def _finish(self, file: _File) -> None:
        with self._giving_up(file):
            file.write(self._take())
            file.finish()
        self._file = None

    def _take(self) -> pa.Table:
        rows, self._waiting = self._waiting, []
        return pa.Table.from_pylist(rows, self._schema)

    @contextlib.contextmanager
    def _giving_up(self, file: _File) -> Iterator[None]:
        """After an error the file is removed: nothing can read it."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            self._file = None
            self._waiting.clear()
            file.remove()
            failed = write_failed(file.path, error)
            failed.lost = file.results
            raise failed from None


class _File:
    """One file, under a name of its own that ends in ``.partial`` until it is complete.

    Attributes:
        path: Its name when it is complete.
        rows, results: How many it has been given.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.rows = self.results = 0
        begun = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        for number in itertools.count(1):
            self.path = folder / f"faces-{begun}{'' if number == 1 else f'-{number}'}.parquet"
            self._partial = folder / f"{self.path.name}{PARTIAL}"
            try:
                descriptor = create_output(self._partial, overwrite=False)
            except UsageError:
                continue  # another run's
            break
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # other runs see by this that it is being written
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._writer = parquet.ParquetWriter(self._file, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def finish(self) -> None:
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._partial.rename(self.path)
        self._file.close()

    def remove(self) -> None:
        self._writer.is_open = False  # it would try to complete the file
        with contextlib.suppress(OSError):  # what it still had does not fit either
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed runs have left of a file, unless another run is writing it."""
    for path in folder.glob(f"faces-*.parquet{PARTIAL}"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except BlockingIOError:
            continue
        except OSError as error:
            log.warning("%s, left by a run that was killed, cannot be removed: %s", path, error.strerror)
            continue
        log.warning("%s: the run that wrote it was killed, and its rows are lost; removed", path)
