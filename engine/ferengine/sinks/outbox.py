"""Messages on their way out: a bounded queue, sent in a thread of its own, tried again until they are taken."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ferengine.errors import UsageError
from ferengine.sinks.files import shortened

T = TypeVar("T")

MAX_WAITING = 1000
"""Messages that may wait; then the oldest goes, and is counted."""
_MAX_SECRET = 1 << 16
"""Bytes of a file that holds a secret."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0

log = logging.getLogger("ferengine")


class Outbox(Generic[T]):
    """Sends messages in order, one at a time.

    Args:
        name: Of the receiver, in messages; without credentials.
        deliver: Sends one message. Raises OSError where it should be tried again, ValueError where the receiver refuses this
            message for good.
        capacity: Messages that may wait.

    Attributes:
        sent: Messages that were taken.
        dropped: Messages that found no room, were refused for good, or were not taken before the end.
    """

    def __init__(self, name: str, deliver: Callable[[T], None], capacity: int = MAX_WAITING) -> None:
        self.sent = self.dropped = 0
        self._name = name
        self._deliver = deliver
        self._capacity = capacity
        self._messages: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = self._over = False
        self._is_away = self._has_refused = False
        self._thread = threading.Thread(target=self._run, name=f"ferengine-outbox-{name}", daemon=True)
        self._thread.start()

    def put(self, message: T) -> None:
        """Never blocks."""
        with self._changed:
            self._messages.append(message)
            if len(self._messages) > self._capacity:
                self._messages.popleft()
                self.dropped += 1
            self._changed.notify()

    def close(self, patience: float) -> None:
        """Wait until all has been sent, at most ``patience`` seconds; what is left then is dropped, counted and reported."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)
        with self._changed:
            self._over = True
            self.dropped += len(self._messages)
            self._messages.clear()
            self._changed.notify()
        if self.dropped:
            log.warning("%s: %d messages were sent, and %d were not", self._name, self.sent, self.dropped)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while (message := self._next()) is not None:
            try:
                self._deliver(message)
            except ValueError as error:
                self._take(message, sent=False)
                if not self._has_refused:
                    log.error("%s refuses a message (%s); further ones that it refuses are only counted", self._name, error)
                self._has_refused = True
            except OSError as error:
                if not self._is_away:
                    log.warning("%s takes no messages (%s): trying again", self._name, error)
                self._is_away = True
                self._wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if self._is_away:
                    log.warning("%s takes messages again", self._name)
                self._is_away, pause = False, _FIRST_PAUSE
                self._take(message, sent=True)

    def _next(self) -> T | None:
        """The oldest message, which stays in the queue until it has been taken; ``None`` at the end."""
        with self._changed:
            while not self._messages:
                if self._closing:
                    return None
                self._changed.wait()
            return None if self._over else self._messages[0]

    def _take(self, message: T, *, sent: bool) -> None:
        with self._changed:
            if self._messages and self._messages[0] is message:
                self._messages.popleft()
                self.dropped += not sent
            elif sent:  # it was given up while it was on its way
                self.dropped -= 1
            self.sent += sent

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._over and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)


def read_secret(option: str, path: Path) -> str:
    """Return the password, secret or token in a file, without the end of the line.

    Raises:
        UsageError: It cannot be read, is empty, or holds far more than a secret (a device has no end).
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET + 1)
        text = data.decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error
        raise UsageError(f"{option}: {shortened(path)} cannot be read: {reason}") from None
    if len(data) > _MAX_SECRET:
        raise UsageError(f"{option}: {path} has more than {_MAX_SECRET:,} bytes, which no secret has")
    if not text:
        raise UsageError(f"{option}: {path} is empty")
    return text
