"""Work that other threads want done by the supervisor's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ferengine.errors import EngineStoppedError

T = TypeVar("T")


class Calls:
    """A queue of functions. Before the supervisor runs, the caller's thread does them itself; after its end they are
    refused."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._thread: int | None = None
        self._opened = self._closed = False

    def open(self) -> None:
        """From now on the supervisor's thread does them."""
        with self._lock:
            self._opened = True

    def call(self, work: Callable[[], T]) -> T:
        """Have ``work`` done, wait for it, and return or raise what it does. Raises EngineStoppedError after the end."""
        with self._lock:
            if self._closed:
                raise EngineStoppedError("the engine has stopped: start a new one")
            if not self._opened or threading.get_ident() == self._thread:
                return work()
            future: Future[T] = Future()
            self._waiting.append((work, future))
        self._wake()
        return future.result()

    def post(self, work: Callable[[], object]) -> None:
        """Have ``work`` done some time; after the end, when nobody else is at it, at once. Takes no lock: also for
        finalisers."""
        if self._closed:
            work()
        else:
            self._waiting.append((work, Future()))
            self._wake()

    def run(self) -> None:
        """Supervisor: do what waits."""
        self._thread = threading.get_ident()
        while self._waiting:
            work, future = self._waiting.popleft()
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

    def close(self) -> None:
        """Supervisor: nothing more is taken; do what waits."""
        with self._lock:
            self._closed = True
        self.run()
