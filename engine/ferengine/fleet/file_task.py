"""Reads one video file of an archive: what a task does, on whichever node it runs."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from ferengine import __version__
from ferengine.config import EngineConfig
from ferengine.engine import Engine
from ferengine.errors import FerengineError
from ferengine.json_text import json_text
from ferengine.results import CameraEvent
from ferengine.sinks.files import write_atomically, write_failed
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.sources import parse_source

PART_PREFIX, PART_SUFFIX = ".ferengine-", ".part"
"""Of results that are being written. They get their name when they are complete."""


@dataclass(frozen=True)
class FileJob:
    """One file to read.

    Attributes:
        source: Its absolute path, the same on every node.
        output: Where the results go, JSON lines.
        record: Where it is recorded that they are complete, with the metrics of the run. It is written last.
        size: Of the file, bytes.
        modified: When it was changed, nanoseconds since 1970.
        settings: JSON of the settings of ``ferengine.config.EngineConfig`` that were given.
    """

    source: str
    output: str
    record: str
    size: int
    modified: int
    settings: str


@dataclass(frozen=True)
class FileOutcome:
    """What came of one file.

    Attributes:
        source: Its path.
        error: Why there are no results; None if there are.
        truncated: Whether the file was cut off; there are results up to that place.
        frames: Results.
        faces: Faces in them.
        seconds: What it took.
        node: The host that read it.
    """

    source: str
    error: str | None = None
    truncated: bool = False
    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    node: str = ""


def read_file(job: FileJob) -> FileOutcome:
    """Read a file, and put its results in place.

    The results and the record each appear whole or not at all, whatever dies meanwhile, and the results first. Where two tasks
    read the same file, because a node was given up too early, the later replaces the earlier's by equal ones.

    Returns:
        The outcome; a file that cannot be read, or results that cannot be written, are an outcome, too.
    """
    started = time.monotonic()
    error, frames, faces, truncated = None, 0, 0, False
    part = Path(job.output).with_name(f"{PART_PREFIX}{uuid4().hex}{PART_SUFFIX}")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            frames, faces, truncated = _read(job, part)
        finally:
            part.unlink(missing_ok=True)
    except FerengineError as failed:
        error = str(failed)
    except OSError as failed:
        error = str(write_failed(job.output, failed))
    return FileOutcome(job.source, error, truncated, frames, faces, time.monotonic() - started, socket.gethostname())


def _read(job: FileJob, part: Path) -> tuple[int, int, bool]:
    """Return the frames, the faces, and whether the file was cut off. Raises FerengineError, OSError."""
    settings = EngineConfig.model_validate_json(job.settings).model_dump(exclude_unset=True)
    events: deque[CameraEvent] = deque()
    source = parse_source(Path(job.source))
    engine = Engine(source, on_event=events.append, **settings)
    writer = JsonlWriter(part, prior=None if engine.prior is None else engine.prior.name)
    try:
        with engine:
            for result in engine.results():
                while events:
                    writer.write(events.popleft())
                writer.write(result)
        while events:
            writer.write(events.popleft())
    finally:
        writer.close()
    if engine.failures:
        raise FerengineError("; ".join(engine.failures))
    summary = engine.summary()
    _make_durable(part)
    Path(job.record).unlink(missing_ok=True)  # it is of the results before
    part.replace(job.output)
    record = {
        "source": job.source, "size": job.size, "modified": job.modified, "settings": json.loads(job.settings),
        "version": __version__, "summary": summary,
    }  # fmt: skip
    write_atomically(Path(job.record), json_text(record, indent=2).encode() + b"\n", durable=True)
    [camera] = summary["cameras"].values()
    return camera["frames"], camera["faces"], camera["truncated"]


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
