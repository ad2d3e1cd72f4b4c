"""Reads recordings: lines of ``--events``, databases of ``--store``, files and folders of ``--parquet``."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ferengine.errors import FerengineError, SourceError
from ferengine.event_lines import is_parquet_path, read_parquet
from ferengine.report.events import Recording

_SQLITE = b"SQLite format 3\0"
_STORE = 0x46455245
"""The number that marks a database of ``--store``."""
_OF_CAMERAS = ("started", "disconnected", "reconnected", "ended")
_COLUMNS = (
    "camera", "event", "timestamp", "frame", "latency_ms", "scene_cut", "prior", "track", "x", "y", "width", "height", "score",
    "track_confidence", "reason", "smoothed_label", "sharpness", "brightness", "yaw",
)  # fmt: skip
_SMOOTHED = "smoothed_"
_MAX_LINE = 1 << 24
"""Characters of a line of events: a device or another file may have no end of a line."""


def read_recording(paths: Iterable[Path]) -> Recording:
    """Read files and folders, in the order given.

    Raises:
        SourceError: One cannot be read.
        UsageError: A Parquet file is not one that ``--parquet`` writes.
        MissingDependencyError: pyarrow is needed for it.
        FerengineError: There is no result in them.
    """
    kinds = [(path, _kind(path)) for path in paths]
    recording = Recording(sampled=any(kind == "store" for _, kind in kinds))
    for path, kind in kinds:
        {"store": _read_store, "parquet": _read_parquet, "lines": _read_lines}[kind](recording, path)
    if not any(camera.frames for camera in recording.cameras.values()):
        names = ", ".join(str(path) for path, _ in kinds)
        raise FerengineError(
            f"{names}: there is no result of a run in it, so there is nothing to report: name what --events, --store or "
            "--parquet wrote"
        )
    return recording


def _kind(path: Path) -> str:
    if is_parquet_path(path):
        return "parquet"
    try:
        with path.open("rb") as file:
            return "store" if file.read(len(_SQLITE)) == _SQLITE else "lines"
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None


def _read_lines(recording: Recording, path: Path) -> None:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for line in iter(lambda: file.readline(_MAX_LINE), ""):
                if len(line) == _MAX_LINE:
                    raise SourceError(f"{path} has a line of more than {_MAX_LINE:,} characters: it holds no events")
                if line.strip():
                    recording.add_line(line)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None


# --- a store


def _read_store(recording: Recording, path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA application_id").fetchone() != (_STORE,):
                raise SourceError(f"{path} is a database of another program, not one of --store")
            if connection.execute("PRAGMA user_version").fetchone() == (1,):
                raise SourceError(f"{path} has version 1 of the schema: ferengine run --store brings it up to date")
            _read_tables(recording, connection)
            if connection.execute("PRAGMA user_version").fetchone() >= (4,):
                recording.priors.update(prior for (prior,) in connection.execute("SELECT prior FROM run"))
    except sqlite3.Error as error:
        raise SourceError(f"{path} cannot be read: {error}") from None


def _read_tables(recording: Recording, connection: sqlite3.Connection) -> None:
    recording.labels.update((label, None) for (label,) in connection.execute("SELECT name FROM label ORDER BY number"))
    for row in connection.execute(
        "SELECT camera, timestamp, first, last, frames, faces, scene_cuts, latency_ms, max_latency_ms FROM second "
        "ORDER BY rowid"
    ):
        recording.add_second(*row)
    for camera, stamp, frame, *columns in connection.execute(
        "SELECT camera, timestamp, frame, track, label, confidence, width, reason, detection, tracking, sharpness, brightness, "
        "yaw FROM sample ORDER BY rowid"
    ):
        recording.add_sample(camera, frame, stamp, _sample(*columns))
    for camera, kind, stamp, before, label, reason in connection.execute(
        "SELECT camera, kind, timestamp, before, label, reason FROM event ORDER BY rowid"
    ):
        if kind == "expression":
            recording.add_transition(before, label)
        elif kind in _OF_CAMERAS:
            recording.add_record({"event": kind, "camera": camera, "timestamp": stamp, "reason": reason or ""})


def _sample(
    track: int, label: str | None, confidence: float | None, width: float, reason: str | None, detection: float | None,
    tracking: float | None, sharpness: float | None, brightness: float | None, yaw: float | None,
) -> dict[str, Any]:  # fmt: skip
    """As a face of a line of ``--events``."""
    face: dict[str, Any] = {"track": track, "box": (0, 0, width, 0), "score": detection, "track_confidence": tracking}
    face["quality"] = {"sharpness": sharpness, "brightness": brightness} if sharpness is not None else None
    face["pose"] = None if yaw is None else {"yaw": yaw}
    if label is None:
        return face | {"expression": None, "reason": reason or "unknown"}
    face["expression"] = {"smoothed": {"label": label, "scores": {label: confidence}}} | ({"reason": reason} if reason else {})
    return face


# --- Parquet


def _read_parquet(recording: Recording, path: Path) -> None:
    for table in read_parquet(path):
        scores = [name for name in table.column_names if name.startswith(_SMOOTHED) and name != "smoothed_label"]
        scores = [name for name in scores if not name.startswith("smoothed_gender")]
        columns = [*(name for name in _COLUMNS if name in table.column_names), *scores]
        for record in _records(table.select(columns).to_batches(10_000), scores):
            recording.add_record(record)


def _records(batches: Iterable[Any], scores: list[str]) -> Iterator[dict[str, Any]]:
    """The rows as lines of ``--events``."""
    rows = (row for batch in batches for row in batch.to_pylist())
    for (event, _, _), group in groupby(rows, lambda row: (row["event"], row["camera"], row["frame"])):
        faces = list(group)
        if event is not None:
            yield from ({**row, "reason": row["reason"] or ""} for row in faces)
            continue
        record = {name: faces[0][name] for name in ("camera", "timestamp", "frame", "latency_ms", "scene_cut")}
        if faces[0]["prior"] is not None:
            record["prior"] = faces[0]["prior"]
        yield {**record, "faces": [_face(row, scores) for row in faces if row["track"] is not None]}


def _face(row: Mapping[str, Any], scores: list[str]) -> dict[str, Any]:
    face = _sample(
        row["track"], None, None, row["width"], row["reason"], row["score"], row["track_confidence"], row["sharpness"],
        row["brightness"], row["yaw"],
    )  # fmt: skip
    if row["smoothed_label"] is None:
        return face
    named = {name.removeprefix(_SMOOTHED): row[name] for name in scores}
    face["expression"] = {"smoothed": {"label": row["smoothed_label"], "scores": named}}
    if row["reason"] is not None:
        face["expression"]["reason"] = row["reason"]
    return face
