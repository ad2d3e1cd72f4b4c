"""Camera events on their way from the engine to the outputs, each of which takes all."""

from __future__ import annotations

import threading
from collections import deque

from ferengine.results import CameraEvent

_WAITING = 10_000
"""Camera events that may wait to be written; where nothing takes them the oldest go."""


class CameraEvents:
    """Gives each event to every output that takes them, those from before it came included."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: list[deque[CameraEvent]] = []
        self._begun: deque[CameraEvent] = deque(maxlen=_WAITING)

    def append(self, event: CameraEvent) -> None:
        """Called by the engine."""
        with self._lock:
            for queue in [self._begun, *self._queues]:
                queue.append(event)

    def queue(self) -> deque[CameraEvent]:
        """A queue for one output."""
        with self._lock:
            made = deque(self._begun, maxlen=_WAITING)
            self._queues.append(made)
        return made
