"""Results and events of all cameras for any number of clients: one consumer of the engine, a bounded queue for each client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

from ferengine.engine import Engine
from ferengine.errors import FerengineError, ServiceError
from ferengine.json_text import json_text
from ferengine.results import CameraEvent, FrameResult
from ferengine.service.timeline import Timeline
from ferengine.sinks.person_events import Event, EventDetector

Subject: TypeAlias = Literal["result", "event"]
"""What a client takes: the result of each frame, or what happens."""

QUEUE = 256
"""Results that may wait for one client; the oldest are dropped, and how many is reported to the client."""


class Listener:
    """One client of the results or events. Belongs to the service's loop."""

    def __init__(self, cameras: frozenset[str] | None, subject: Subject = "result") -> None:
        self.dropped = 0
        self._cameras = cameras
        self._subject = subject
        self._texts: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._ended = False

    def wants(self, camera: str, subject: Subject) -> bool:
        return subject == self._subject and (self._cameras is None or camera in self._cameras)

    def offer(self, text: str) -> int:
        """Queue a text; returns how many were dropped for it."""
        full = len(self._texts) >= QUEUE
        if full:
            self._texts.popleft()
            self.dropped += 1
        self._texts.append(text)
        self._arrived.set()
        return int(full)

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    def take_dropped(self) -> int:
        """How many results were dropped since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    async def take(self, timeout: float) -> str | None:
        """The JSON text of the next result or event; ``None`` after ``timeout`` seconds.

        Raises:
            EOFError: No more come.
        """
        if not self._texts:
            if self._ended:
                raise EOFError("the run is over")
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):  # wait_for would make a task of each wait
                    await self._arrived.wait()
        return self._texts.popleft() if self._texts else None


class Hub:
    """Takes the results of the engine and gives them to the clients.

    Args:
        engine: Where results come from.
        max_listeners: How many clients there may be.
        detector: Finds the events.

    Attributes:
        timeline: The last minutes of each person.
        dropped: Results that slow clients missed.
    """

    def __init__(self, engine: Engine, max_listeners: int, detector: EventDetector) -> None:
        self.timeline = Timeline()
        self.dropped = 0
        self._engine = engine
        self._under = {} if engine.prior is None else {"prior": engine.prior.name}
        self._max = max_listeners
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._detector = detector
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def start(self) -> None:
        """Begin to take results, on the running loop; later calls do nothing."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Take no more, and report the end to the clients."""
        self._end()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @contextlib.contextmanager
    def listen(self, cameras: frozenset[str] | None = None, subject: Subject = "result") -> Iterator[Listener]:
        """A queue for one client, until the block is left.

        Args:
            cameras: The names of the cameras that it wants, ``None`` for all.
            subject: Whether it wants results or events.

        Raises:
            ServiceError: There are too many, or the service is closing.
        """
        if self._over:
            raise ServiceError("the run is over")
        if len(self._listeners) >= self._max:
            raise ServiceError(f"{self._max} clients are listening, which is the maximum: try again later")
        listener = Listener(cameras, subject)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _run(self) -> None:
        try:
            async for result in self._engine.stream(policy="drop_oldest"):
                self._publish(result)
        except FerengineError:
            pass  # what ended the run is in the health of the engine
        finally:
            self._end()

    def _publish(self, result: FrameResult) -> None:
        self.timeline.add(result, time.time())
        wanting = [listener for listener in self._listeners if listener.wants(result.camera, "result")]
        if wanting:
            text = json_text(result.to_dict() | self._under, separators=(",", ":"))
            for listener in wanting:
                self.dropped += listener.offer(text)
        self._publish_events(self._detector.add(result))

    def _publish_events(self, events: Iterable[Event]) -> None:
        for event in events:
            wanting = [listener for listener in self._listeners if listener.wants(event.camera, "event")]
            if wanting:
                text = json_text(event.to_dict(), separators=(",", ":"))
                for listener in wanting:
                    self.dropped += listener.offer(text)

    def note_camera_event(self, event: CameraEvent) -> None:
        """Publish what happened to a camera: for ``on_event`` of the engine. From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(lambda: self._publish_events(self._detector.add_camera_event(event)))

    def forget(self, camera: str) -> None:
        """The camera is removed or paused: its timeline is empty, and everybody has left."""
        self.timeline.forget(camera)
        events = self._detector.add_camera_event(CameraEvent(camera, "ended", time.time()))
        self._publish_events(events[:-1])  # that it has ended is for the engine to say

    def _end(self) -> None:
        self._over = True
        for listener in self._listeners:
            listener.end()
