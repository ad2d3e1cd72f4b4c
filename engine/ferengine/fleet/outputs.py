"""Where results go on a node: files, a database, a broker. They pass through no other machine."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ferengine.errors import FerengineError, UsageError, describe_all
from ferengine.fleet.records import OutputReport
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.jsonl import JsonlWriter
from ferengine.sinks.outbox import read_secret
from ferengine.sinks.person_events import EventDetector
from ferengine.sinks.sink_thread import Sink, SinkThread
from ferengine.sources.url import hide_credentials

QUEUE = 1024
"""Results that may wait for one output or client of a node; the oldest are dropped, and counted."""
_END_SECONDS = 5.0

log = logging.getLogger("ferengine")


class FleetOutputs(BaseModel):
    """Outputs of each node. Paths are paths of the nodes; ``{node}`` in them stands for the node's name.

    Raises:
        UsageError: Naming every wrong value, without credentials.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    if not TYPE_CHECKING:  # where the fields are the parameters

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise UsageError(describe_all(error, type(self), lambda value: hide_credentials(repr(value)))) from None

        __init__.__pydantic_base_init__ = True  # settings files and commands validate it themselves, and name the place

    events: str | None = Field(
        None,
        min_length=1,
        description="Write one JSON object per frame to a file in this folder of each node, a new file for each life of its "
        "engine. {node} stands for the node's name, here and in the other outputs.",
        examples=["/var/lib/ferengine/events"],
    )
    store: str | None = Field(
        None,
        min_length=1,
        description="Keep events, and a sample a second of each person, in this SQLite database of each node.",
        examples=["/var/lib/ferengine/{node}.db"],
    )
    store_days: float = Field(
        30.0, gt=0, le=36500, strict=True, description="Delete what is older than this many days from store."
    )
    mqtt: str | None = Field(
        None,
        min_length=1,
        description="Publish events and the state of each camera over MQTT, straight from the node that reads it: "
        "mqtt://USER@HOST:PORT/PREFIX, or mqtts:// for TLS.",
        examples=["mqtt://broker.local/ferengine"],
    )
    mqtt_password: str | None = Field(
        None, description="Read the password of the MQTT user from this file of each node.", examples=["/etc/ferengine/mqtt"]
    )
    webhook: str | None = Field(
        None, min_length=1, description="Post each event to this URL.", examples=["https://example.com/hook"]
    )
    webhook_secret: str | None = Field(
        None,
        description="Sign what is sent to webhook with the secret in this file of each node.",
        examples=["/etc/ferengine/webhook"],
    )


class BoundedQueue:
    """Results for one consumer; when it is full the oldest is dropped, and counted."""

    def __init__(self, capacity: int = QUEUE) -> None:
        self.dropped = 0
        self._taken = 0
        self._items: deque[FrameResult] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many there are."""
        return len(self._items)

    @property
    def added(self) -> int:
        """How many have come so far."""
        with self._changed:
            return self._taken + self.dropped + len(self._items)

    def put(self, result: FrameResult) -> None:
        """Add one; never blocks. After ``close`` it is dropped, and counted."""
        with self._changed:
            if self._closed:
                self.dropped += 1
                return
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(result)
            self._changed.notify()

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next one, ``None`` where none came within ``timeout`` seconds. Raises EOFError after the last one."""
        results, _ = self.take_many(1, timeout)
        return results[0] if results else None

    def take_many(self, maximum: int, timeout: float | None) -> tuple[list[FrameResult], int]:
        """Take those that are there, at least one unless ``timeout`` passes. Raises EOFError after the last one.

        Returns:
            The results, and how many were taken or dropped so far.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout)
            if self._closed and not self._items:
                raise EOFError
            results = [self._items.popleft() for _ in range(min(maximum, len(self._items)))]
            self._taken += len(results)
            return results, self._taken + self.dropped

    def close(self) -> None:
        """Take no more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _EventQueue:
    """Events for one output; when it is full the oldest is dropped, and counted.

    Args:
        take: Writes one to the output.
    """

    def __init__(self, take: Callable[[CameraEvent], None]) -> None:
        self.dropped = 0
        self._take = take
        self._added = self._written = 0
        self._items: deque[CameraEvent] = deque()
        self._lock = threading.Lock()

    def put(self, event: CameraEvent) -> None:
        """Add one; never blocks."""
        with self._lock:
            self._added += 1
            if len(self._items) == QUEUE:
                self._items.popleft()
                self.dropped += 1
            self._items.append(event)

    def pass_on(self) -> None:
        """Write all that wait."""
        while True:
            with self._lock:
                if not self._items:
                    return
                event = self._items.popleft()
            self._take(event)
            self._written += 1

    @property
    def unwritten(self) -> int:
        """All that were not written, those that wait included."""
        return self._added - self._written


class NodeOutputs:
    """The outputs of one node, each with a queue and a thread.

    Args:
        settings: Which there are.
        node: The name of the node.
        prior: The class prior that expressions are read under.

    Raises:
        FerengineError: One cannot be made; those made before are closed.
    """

    def __init__(self, settings: FleetOutputs, node: str, prior: str | None) -> None:
        self._queues: dict[str, BoundedQueue] = {}
        self._threads: dict[str, SinkThread] = {}
        self._events: dict[str, _EventQueue] = {}
        made: list[Sink] = []
        try:
            for name, sink, take_event in _sinks(settings, node, prior):
                made.append(sink)
                queue, events = BoundedQueue(), _EventQueue(take_event)
                self._queues[name], self._events[name] = queue, events
                self._threads[name] = SinkThread(name, sink, queue, events.pass_on)
        except BaseException:
            for sink in made:
                sink.close()
            raise
        for thread in self._threads.values():
            thread.start()

    def put(self, result: FrameResult) -> None:
        """Give a result to all outputs; never blocks."""
        for queue in self._queues.values():
            queue.put(result)

    def put_event(self, event: CameraEvent) -> None:
        """Give an event to all outputs; never blocks."""
        for events in self._events.values():
            events.put(event)

    def reports(self) -> dict[str, OutputReport]:
        """How each is doing."""
        return {name: self._report(name, thread) for name, thread in self._threads.items()}

    def close(self) -> None:
        """Write what waits, for a few seconds, and close all."""
        for queue in self._queues.values():
            queue.close()
        deadline = time.monotonic() + _END_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.busy:
                thread.abandon()

    def _report(self, name: str, thread: SinkThread) -> OutputReport:
        queue, events, summary = self._queues[name], self._events[name], thread.summary()
        if summary["error"] is None and thread.busy:
            return OutputReport(summary["written"], summary["dropped"] + events.dropped, None)
        return OutputReport(summary["written"], queue.added - summary["written"] + events.unwritten, summary["error"])


_Made = tuple[str, Sink, Callable[[CameraEvent], None]]


def _sinks(settings: FleetOutputs, node: str, prior: str | None) -> Iterator[_Made]:
    def path(text: str) -> Path:
        return Path(text.replace("{node}", node))

    if settings.events is not None:
        folder = path(settings.events)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FerengineError(f"events: the folder {folder} cannot be made: {error.strerror}") from None
        safe = re.sub(r"[^\w.-]", "_", node)
        lines = JsonlWriter(folder / f"{safe}-{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**6:06d}.jsonl", prior=prior)
        yield "events", lines, lines.write
    if settings.store is not None:
        from ferengine.sinks.store import StoreSink

        store = StoreSink(path(settings.store), settings.store_days, prior=prior)
        yield "store", store, store.write_camera_event
    if settings.webhook is not None:
        from ferengine.sinks.webhook import WebhookSink

        secret = (
            None if settings.webhook_secret is None else read_secret("webhook-secret", path(settings.webhook_secret)).encode()
        )
        webhook = WebhookSink(settings.webhook, secret, EventDetector(prior=prior))
        yield "webhook", webhook, webhook.write_camera_event
    if settings.mqtt is not None:
        from ferengine.sinks.mqtt import Broker, MqttSink

        password = None if settings.mqtt_password is None else read_secret("mqtt-password", path(settings.mqtt_password))
        mqtt = MqttSink(Broker.parse(settings.mqtt, password), detector=EventDetector(prior=prior))
        yield "mqtt", mqtt, mqtt.write_camera_event


def outputs_from(values: Mapping[str, Any]) -> FleetOutputs:
    """The settings that a sealed record holds."""
    return FleetOutputs.model_validate(dict(values))
