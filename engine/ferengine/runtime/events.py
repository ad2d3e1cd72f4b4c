"""Camera events, reported to the log and to a callback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ferengine.results import CameraEvent
from ferengine.runtime.state import BackgroundThread

log = logging.getLogger("ferengine")


class EventReporter:
    """Logs disconnections, and calls ``callback``, where there is one, with each event, in order.

    The callback has a dedicated thread: it may block, and call any method of the engine. Events are few (a camera
    starts, is disconnected, reconnects, ends), so their queue has no bound. What it raises is logged and goes no further.
    """

    def __init__(self, callback: Callable[[CameraEvent], object] | None = None) -> None:
        self._callback = callback
        self._thread = BackgroundThread("ferengine-events")

    def report(self, event: CameraEvent | None) -> None:
        """Never blocks. ``None`` is nothing new."""
        if event is None:
            return
        if event.kind == "disconnected":
            log.warning("%s: disconnected: %s", event.camera, event.reason)
        elif event.kind == "reconnected":
            log.warning("%s: reconnected after %.1f s", event.camera, event.seconds)
        if self._callback is not None:
            self._thread.submit(partial(_call, self._callback, event))

    def close(self, timeout: float) -> None:
        """Wait until the callback has had every event, at most ``timeout`` seconds."""
        self._thread.close(timeout)


def _call(callback: Callable[[CameraEvent], object], event: CameraEvent) -> None:
    try:
        callback(event)
    except Exception:
        log.exception("the callback for camera events failed")
