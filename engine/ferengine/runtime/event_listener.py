"""The callback for camera events, in a thread of its own: it may block, and call any method of the engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from ferengine.results import CameraEvent

log = logging.getLogger("ferengine")


class EventListener:
    """Calls ``callback`` with each event, in order. Events are few (a camera starts, is lost, is back, ends), so the
    queue has no bound. What the callback raises is logged and stays its own."""

    def __init__(self, callback: Callable[[CameraEvent], object]) -> None:
        self._callback = callback
        self._events: SimpleQueue[CameraEvent | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(self, event: CameraEvent) -> None:
        """Never blocks."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ferengine-events", daemon=True)
            self._thread.start()
        self._events.put(event)

    def close(self, timeout: float) -> None:
        """Wait until it has had every event, at most ``timeout`` seconds."""
        if self._thread is not None:
            self._events.put(None)
            self._thread.join(timeout)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self._callback(event)
            except Exception:
                log.exception("the callback for camera events failed")
