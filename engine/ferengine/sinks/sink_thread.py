"""Runs each sink in its own thread, with its own queue: a slow or failing sink does not block other consumers."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ferengine.errors import FerengineError, SinkError
from ferengine.ipc.machine import refusal
from ferengine.results import FrameResult

_TICK = 0.25
"""Seconds after which a sink may flush although no result comes."""
_LAST_SECONDS = 2.0
"""Seconds that a sink gets to give up what it has."""

log = logging.getLogger("ferengine")


class Sink(Protocol):
    """Where results go.

    All calls come from one thread. Any may raise SinkError; then only ``close`` follows.
    """

    def write(self, result: FrameResult) -> None:
        """Write one result.

        Args:
            result: The result of a frame.

        Raises:
            SinkError: It cannot be written. The sink is then closed, and gets no more.
        """
        ...

    def flush_if_due(self) -> None:
        """Called a few times a second, also when no result comes."""
        ...

    def close(self) -> None:
        """Write what is buffered and close; may be called twice."""
        ...


class ResultQueue(Protocol):
    """A bounded queue of results: files wait for room, live sources drop the oldest (counted in ``dropped``)."""

    @property
    def dropped(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """Return the next result, or None after ``timeout`` seconds.

        Raises:
            EOFError: After the last one.
            FerengineError: What ended the run, in the place of EOFError.
        """
        ...

    def close(self) -> None:
        """Take no more results, so that nothing waits for this queue. May be called twice."""
        ...


class SinkThread:
    """Takes results from a queue into a sink until the queue ends or the sink fails.

    A failure is logged once and kept in ``error``. What comes after it is taken all the same, so that files do not wait for it,
    and counted in ``cut``, as is what the sink lost.

    Args:
        name: The name of the sink in messages.
        sink: Where the results go.
        queue: Where they come from.
        between: Called in the sink's thread before each result and at the end; it may write something else to the sink.
        give_up: Has the sink, from another thread, keep what it can and end at once; ``None`` where it cannot.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        queue: ResultQueue,
        between: Callable[[], None] = lambda: None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.error: str | None = None
        self.written = 0
        self.cut = 0
        self._taken = 0
        self._sink = sink
        self._queue = queue
        self._between = between
        self._give_up = give_up
        self._thread = threading.Thread(target=self._run, name=f"ferengine-sink-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    @property
    def busy(self) -> bool:
        """Whether the sink is still writing."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the sink to finish."""
        self._thread.join(timeout)

    def abandon(self) -> None:
        """Stop waiting for a sink that is blocked by its reader or has too much to do, and record that as its error."""
        if self._give_up is not None:
            self._give_up()
            self._thread.join(_LAST_SECONDS)
        self.cut = self._queue.waiting + self._taken - self.written  # not before: it may still have written some
        if self._give_up is not None and not self.busy:
            return  # it has said what it has given up
        self._fail(f"{self.name}: the last results were not written, because the reader does not take them ({self.cut} cut)")
        self._queue.close()

    def summary(self) -> dict[str, Any]:
        """Return the results written, dropped and cut off, and the error."""
        return {"written": self.written, "dropped": self._queue.dropped, "cut": self.cut, "error": self.error}

    def _run(self) -> None:
        try:
            self._drain()
        except SinkError as error:
            if error.lost is not None:
                self.written = self._taken - error.lost
            self._fail(str(error))
            self._count_the_rest()
        except Exception as error:
            log.debug("the sink %s failed", self.name, exc_info=True)
            self._fail(f"{self.name} failed: {refusal(error) or f'{error!r}; please report this'}")
            self._count_the_rest()

    def _count_the_rest(self) -> None:
        self.cut = self._taken - self.written
        with contextlib.suppress(EOFError, FerengineError):
            while True:
                if self._queue.take(_TICK) is not None:
                    self._taken += 1
                    self.cut = max(self.cut, self._taken - self.written)

    def _drain(self) -> None:
        try:
            due = time.monotonic() + _TICK
            while True:
                try:
                    result = self._queue.take(_TICK)
                except (EOFError, FerengineError):  # the latter ended the run, which says so itself
                    break
                self._between()
                if result is not None:
                    self._taken += 1
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
