"""The outputs of ``ferengine run`` that take results in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.console import Console

from ferengine.cli.camera_events import CameraEvents
from ferengine.cli.message_outputs import MessageSink, message_outputs
from ferengine.cli.settings import RunSettings
from ferengine.engine import Engine
from ferengine.results import CameraEvent
from ferengine.runtime.metrics import SinkSummary
from ferengine.sinks.csv import CsvWriter
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.sinks.sink_thread import ResultQueue, Sink, SinkThread
from ferengine.sinks.table import CameraState, LiveTable

if TYPE_CHECKING:
    from ferengine.media.requests import EventMedia

_GRACE = 5.0
"""Seconds from a request to stop in which outputs may write what waits; a little more where the run took longer to end."""
_MIN_GRACE = 1.0

_OF_FACES = ("deadline", "face_ring_full", "not_finite", "too_many")
"""Reasons of ``Engine.health`` that count faces, not frames."""


class Outputs:
    """Events, rows, messages and the live table, each with a dedicated queue and thread.

    Args:
        engine: Where results come from.
        settings: Which outputs there are.
        camera_events: These go between the results of ``--events``, and to what sends messages.
        table: Where to show the live table, ``None`` for none.
        media: As ``event_media`` makes it.

    Raises:
        SinkError: A file cannot be created; those created before are closed.
    """

    def __init__(
        self,
        engine: Engine,
        settings: RunSettings,
        camera_events: CameraEvents,
        table: Console | None,
        media: EventMedia | None,
    ) -> None:
        self._sinks: list[Sink] = []
        self._threads: list[SinkThread] = []
        self._saves = settings.save is not None
        self._messages: dict[str, MessageSink] = {}
        prior = None if engine.prior is None else engine.prior.name
        try:
            if settings.events is not None:
                writer = JsonlWriter(settings.events, settings.overwrite, prior=prior)
                events = camera_events.queue()
                self._add("events", writer, engine.results(), lambda: _pass_on(events, writer.write))
            if settings.csv is not None:
                rows = CsvWriter(
                    settings.csv,
                    engine.labels,
                    settings.overwrite,
                    gender_labels=engine.gender_labels,
                    prior=prior,
                    heads=engine.heads,
                )
                self._add("csv", rows, engine.results())
            for output in message_outputs(settings, engine, media):
                self._messages[output.name] = output.sink
                between = partial(_pass_on, camera_events.queue(), output.sink.write_camera_event)
                self._add(output.name, output.sink, output.queue, between, output.give_up)
            if table is not None:
                self._add("table", LiveTable(table, lambda: _states(engine)), engine.results())
        except BaseException:
            self._close_unstarted()
            engine.close()
            raise

    def _add(
        self,
        name: str,
        sink: Sink,
        queue: ResultQueue,
        between: Callable[[], None] = lambda: None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self._sinks.append(sink)
        self._threads.append(SinkThread(name, sink, queue, between, give_up))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, stopped_at: Callable[[], float | None]) -> None:
        """Wait until everything is written, and close the outputs.

        Args:
            stopped_at: Returns when the run was stopped, seconds of time.monotonic(), or ``None``. From then on outputs get
                five seconds only, because their readers may take nothing any more.
        """
        self._close_unstarted()
        earliest = time.monotonic() + _MIN_GRACE
        while busy := [thread for thread in self._threads if thread.busy]:
            busy[0].join(0.1)
            stopped = stopped_at()
            if stopped is not None and time.monotonic() > max(stopped + _GRACE, earliest):
                for thread in busy:
                    thread.abandon()
                return

    def _close_unstarted(self) -> None:
        """Close what no thread has: outputs of a run that did not begin."""
        for sink, thread in zip(self._sinks, self._threads, strict=False):
            if not thread.started:
                sink.close()

    @property
    def errors(self) -> list[str]:
        """What went wrong; it was logged already."""
        return [thread.error for thread in self._threads if thread.error is not None]

    @property
    def all_failed(self) -> bool:
        """Whether there were outputs, and none of those written here is left; a video is written elsewhere."""
        return (self._saves or bool(self._threads)) and len(self.errors) == len(self._threads)

    def summaries(self) -> dict[str, SinkSummary]:
        """Of each output: results written, dropped and cut off, and its error. Messages that were not delivered count as
        dropped, too."""
        found = {thread.name: cast(SinkSummary, thread.summary()) for thread in self._threads}
        for name, sink in self._messages.items():
            found[name]["dropped"] += sink.dropped
        return found


def _pass_on(events: deque[CameraEvent], write: Callable[[CameraEvent], None]) -> None:
    while events:
        write(events.popleft())


def _states(engine: Engine) -> dict[str, CameraState]:
    cameras = engine.health().cameras
    return {
        name: CameraState(
            camera.state, sum(count for reason, count in camera.dropped.items() if reason not in _OF_FACES), camera.progress
        )
        for name, camera in cameras.items()
    }
