"""From the supervisor to those who consume: bounded queues, each with its own policy."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ferengine.results import FrameResult


class Subscription:
    """A bounded queue of results for one consumer in another thread.

    ``offer`` never blocks. From files nothing is lost: the supervisor looks at ``has_room`` first and holds the
    camera back. From live sources the oldest waiting result makes room, and ``dropped`` counts it.
    """

    def __init__(self, capacity: int, on_room: Callable[[], None]) -> None:
        self._items: deque[FrameResult] = deque()
        self._capacity = capacity
        self._on_room = on_room
        self._changed = threading.Condition()
        self._ended = False
        self._discarding = False
        self.dropped = 0

    @property
    def has_room(self) -> bool:
        return self._discarding or len(self._items) < self._capacity

    def offer(self, result: FrameResult) -> None:
        with self._changed:
            if self._discarding:
                return
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(result)
            self._changed.notify()

    def end(self) -> None:
        """No more results come; those that wait may still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def discard(self) -> None:
        """The consumer has left: nothing is kept for it any more."""
        with self._changed:
            self._discarding = True
            self._items.clear()
        self._on_room()

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result; ``None`` after ``timeout`` seconds. Raises EOFError after the last one."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._items:
                if self._ended or self._discarding:
                    raise EOFError("no more results")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            was_full = len(self._items) >= self._capacity
            result = self._items.popleft()
        if was_full:
            self._on_room()
        return result
