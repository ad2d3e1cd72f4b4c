"""Threads whose errors reach the test that started them."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CheckedThread(threading.Thread):
    """Runs ``work`` from now on; ``join`` raises what it raised, and where it has not ended within the timeout."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def join(self, timeout: float | None = 120.0) -> None:
        super().join(timeout)
        if self._error is not None:
            raise self._error
        assert not self.is_alive(), "the thread has not ended"
