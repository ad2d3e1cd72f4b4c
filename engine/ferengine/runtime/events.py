"""What happens to the cameras, told to the log and to a callback."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from ferengine.results import CameraEvent

log = logging.getLogger("ferengine")


class EventListener:
    """Logs losses, and calls ``callback``, where there is one, with each event, in order.

    The callback has a thread of its own: it may block, and call any method of the engine. Events are few (a camera
    starts, is lost, is back, ends), so the queue has no bound. What it raises is logged and stays its own.
    """

    def __init__(self, callback: Callable[[CameraEvent], object] | None = None) -> None:
        self._callback = callback
        self._events: SimpleQueue[CameraEvent | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(self, event: CameraEvent | None) -> None:
        """Never blocks. ``None`` is nothing new."""
        if event is None:
            return
        if event.kind == "lost":
            log.warning("%s: lost: %s", event.camera, event.reason)
        elif event.kind == "back":
            log.warning("%s: back after %.1f s", event.camera, event.seconds)
        if self._callback is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(self._callback,), name="ferengine-events", daemon=True)
            self._thread.start()
        self._events.put(event)

    def close(self, timeout: float) -> None:
        """Wait until it has had every event, at most ``timeout`` seconds."""
        if self._thread is not None:
            self._events.put(None)
            self._thread.join(timeout)

    def _run(self, callback: Callable[[CameraEvent], object]) -> None:
        while (event := self._events.get()) is not None:
            try:
                callback(event)
            except Exception:
                log.exception("the callback for camera events failed")
