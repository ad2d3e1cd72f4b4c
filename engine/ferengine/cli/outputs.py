"""The outputs of ``ferengine run`` that take results in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console

from ferengine.cli.settings import RunSettings
from ferengine.engine import Engine
from ferengine.results import CameraEvent
from ferengine.sinks.csv import CsvWriter
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.sinks.sink_thread import Sink, SinkThread
from ferengine.sinks.table import LiveTable

_GRACE = 1.8
"""Seconds from the wish to stop in which outputs may write what waits; a little more where that took longer."""
_MIN_GRACE = 0.2

_OF_FACES = ("deadline", "face_ring_full")
"""Reasons of ``Engine.health`` that count faces, not frames."""


class Outputs:
    """Events, rows and the live table (where ``table`` is a console), each with a queue and a thread of its own.

    ``happened``: camera events, which go between the results of ``--events``. Raises SinkError when a file cannot be
    created; those created before are closed.
    """

    def __init__(self, engine: Engine, settings: RunSettings, happened: deque[CameraEvent], table: Console | None) -> None:
        self._sinks: list[Sink] = []
        self._feeders: list[SinkThread] = []
        try:
            if settings.events is not None:
                writer = JsonlWriter(settings.events, settings.overwrite)
                self._add(engine, "events", writer, lambda: _write_all(happened, writer))
            if settings.csv is not None:
                self._add(
                    engine,
                    "csv",
                    CsvWriter(settings.csv, engine.labels, settings.overwrite, gender_labels=engine.gender_labels),
                )
            if table is not None:
                self._add(engine, "table", LiveTable(table, lambda: _states(engine)))
        except BaseException:
            self._close_unstarted()
            engine.close()
            raise

    def _add(self, engine: Engine, name: str, sink: Sink, between: Callable[[], None] = lambda: None) -> None:
        self._sinks.append(sink)
        self._feeders.append(SinkThread(name, sink, engine.results(), between))

    def start(self) -> None:
        for feeder in self._feeders:
            feeder.start()

    def finish(self, stopped_at: Callable[[], float | None]) -> None:
        """Wait until all is written and close it.

        ``stopped_at``, asked again and again: when the run was stopped, seconds of time.monotonic(). From then on
        it is waited for a moment only, because a reader may take nothing any more.
        """
        self._close_unstarted()
        least = time.monotonic() + _MIN_GRACE
        while busy := [feeder for feeder in self._feeders if feeder.busy]:
            busy[0].join(0.1)
            stopped = stopped_at()
            if stopped is not None and time.monotonic() > max(stopped + _GRACE, least):
                for feeder in busy:
                    feeder.abandon()
                return

    def _close_unstarted(self) -> None:
        """Close what no thread has: outputs of a run that did not begin."""
        for sink, feeder in zip(self._sinks, self._feeders, strict=False):
            if not feeder.started:
                sink.close()

    @property
    def errors(self) -> list[str]:
        """What went wrong; it was logged already."""
        return [feeder.error for feeder in self._feeders if feeder.error is not None]

    @property
    def all_failed(self) -> bool:
        """Whether there were outputs, and none is left."""
        return bool(self._feeders) and len(self.errors) == len(self._feeders)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of each output: results written and dropped, and its error."""
        return {feeder.name: feeder.figures() for feeder in self._feeders}


def _write_all(happened: deque[CameraEvent], writer: JsonlWriter) -> None:
    while happened:
        writer.write(happened.popleft())


def _states(engine: Engine) -> dict[str, tuple[str, int]]:
    """State of each camera, and how many of its frames were dropped."""
    cameras = engine.health().cameras
    return {
        name: (camera.state, sum(count for reason, count in camera.dropped.items() if reason not in _OF_FACES))
        for name, camera in cameras.items()
    }
