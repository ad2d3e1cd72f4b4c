"""Camera events, reported to the log and to a callback."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from ferengine.results import CameraEvent
from ferengine.runtime.state import BackgroundThread

_TICK = 0.005
"""Seconds between two looks at the callback at the end."""

log = logging.getLogger("ferengine")


class EventReporter:
    """Logs disconnections, and calls ``callback``, where there is one, with each event, in order.

    The callback has a dedicated thread: it may block, and call any method of the engine. Events are few (a camera
    starts, is disconnected, reconnects, ends), so their queue has no bound. What it raises is logged and goes no further.
    """

    def __init__(self, callback: Callable[[CameraEvent], object] | None = None) -> None:
        self._callback = callback
        self._thread = BackgroundThread("ferengine-events")
        self._waits_itself = False

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

    def note_waiting(self) -> None:
        """The calling thread waits for the end of the run. If it is the callback's, the end does not wait for that."""
        self._waits_itself |= self._thread.is_current

    def close(self, is_over: Callable[[], bool], patience: float) -> int:
        """Wait until the callback has had every event.

        Args:
            is_over: Returns whether to wait no longer.
            patience: Seconds that one call of it may take.

        Returns:
            How many events it has not had.
        """
        seen, since = self._thread.pending, time.monotonic()
        while self._thread.pending and not self._waits_itself:
            if is_over() or time.monotonic() - since > patience:
                break
            time.sleep(_TICK)
            if self._thread.pending != seen:
                seen, since = self._thread.pending, time.monotonic()
        self._thread.close(0.0)
        return 0 if self._waits_itself else self._thread.pending


def _call(callback: Callable[[CameraEvent], object], event: CameraEvent) -> None:
    try:
        callback(event)
    except Exception:
        log.exception("the callback for camera events failed")
