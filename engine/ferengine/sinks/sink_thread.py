"""Feeds a sink from a queue of its own, in a thread of its own: slow or broken, it disturbs nobody."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ferengine.errors import SinkError
from ferengine.results import FrameResult

_TICK = 0.25
"""Seconds after which a sink may flush even when no result comes."""

log = logging.getLogger("ferengine")


class Sink(Protocol):
    """Where results go. All calls come from one thread; any may raise SinkError, and is then the last but ``close``."""

    def write(self, result: FrameResult) -> None:
        """Take one result."""
        ...

    def flush_if_due(self) -> None:
        """Called a few times a second, also when no result comes."""
        ...

    def close(self) -> None:
        """Write the rest; may be called twice."""
        ...


class ResultQueue(Protocol):
    """A bounded queue of results with its policy: files wait for room, live sources drop the oldest (``dropped``)."""

    @property
    def dropped(self) -> int: ...

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result; ``None`` after ``timeout`` seconds. Raises EOFError after the last one."""
        ...

    def close(self) -> None:
        """Nothing more is taken: nobody need wait for this queue. May be called twice."""
        ...


class SinkFeeder:
    """Takes results from ``queue`` into ``sink`` until the queue ends or the sink fails.

    ``between`` is called in the sink's thread before each result and at the end: it may write something else to it. A
    failure is logged once, kept in ``error``, and frees the queue, so that files do not wait for it.
    """

    def __init__(self, name: str, sink: Sink, queue: ResultQueue, between: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.error: str | None = None
        self.written = 0
        self._sink = sink
        self._queue = queue
        self._between = between
        self._thread = threading.Thread(target=self._run, name=f"ferengine-sink-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    @property
    def busy(self) -> bool:
        """Whether the sink still has something to write."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the sink to be done."""
        self._thread.join(timeout)

    def abandon(self) -> None:
        """Leave a sink that takes nothing any more to itself; that is its error."""
        self._fail(f"{self.name}: what came last was not written, because its reader does not take it")

    def figures(self) -> dict[str, Any]:
        """Results written and dropped, and what went wrong."""
        return {"written": self.written, "dropped": self._queue.dropped, "error": self.error}

    def _run(self) -> None:
        try:
            self._feed()
        except SinkError as error:
            self._fail(str(error))
        except Exception as error:
            log.debug("the sink %s failed", self.name, exc_info=True)
            self._fail(f"{self.name} failed: {error!r}; please report this")

    def _feed(self) -> None:
        try:
            due = time.monotonic() + _TICK
            while True:
                try:
                    result = self._queue.take(_TICK)
                except EOFError:
                    break
                self._between()
                if result is not None:
                    self._sink.write(result)
                    self.written += 1
                if result is None or time.monotonic() >= due:
                    self._sink.flush_if_due()
                    due = time.monotonic() + _TICK
            self._between()
        finally:
            self._sink.close()

    def _fail(self, text: str) -> None:
        if self.error is None:
            self.error = text
            log.error("%s", text)
        self._queue.close()
