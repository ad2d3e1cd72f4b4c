"""Between a source and its capture stage: reads in the stage's own step, or in a thread where reading may hang."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Final, Protocol, TypeAlias

from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.reconnect import Item

_LEAVE = 0.2
"""Seconds that a thread gets to end; one that hangs longer ends with the process."""
_BEAT = 1.0
"""Seconds between heartbeats during a read that takes long."""
_WORKING = 0.005
"""Fraction of a processor from which a read counts as working."""
_MAX_READING = 120.0
"""Seconds after which a read counts as stuck, even if it is working."""


class End:
    """Nothing more comes."""


END: Final = End()
Taken: TypeAlias = tuple[Item | End | None, int]
"""What comes next (``None``: nothing yet), and how many frames were dropped before it."""


class Reader(Protocol):
    """Gives the items of a source to its stage, in order."""

    def take(self) -> Taken:
        """What comes next. Raises the error that ended the source."""
        ...

    def begin(self) -> None:
        """Frames count from now on."""
        ...

    def close(self) -> None:
        """Release the source."""
        ...


class NoReader:
    """Reads nothing: the source is held."""

    def take(self) -> Taken:
        """Nothing yet."""
        return None, 0

    def begin(self) -> None:
        """There is nothing to begin."""

    def close(self) -> None:
        """There is nothing to release."""


class InlineReader:
    """Reads when it is asked, for sources whose ``read`` is short.

    It takes long where nearly all frames are left out or cannot be decoded. The heartbeat then goes on for as long as
    processor time is used.

    Args:
        items: The source.
        beat: Renews the heartbeat; it is called in a thread.
    """

    def __init__(self, items: Iterable[Item], beat: Callable[[], None]) -> None:
        self._items = _generator(items)
        self._began: float | None = None  # when the read began that is going on
        self._closed = threading.Event()
        threading.Thread(target=self._keep_beating, args=(beat,), name="ferengine-heartbeat", daemon=True).start()

    def take(self) -> Taken:
        self._began = time.monotonic()
        try:
            return next(self._items, END), 0
        finally:
            self._began = None

    def _keep_beating(self, beat: Callable[[], None]) -> None:
        used = time.process_time()
        while not self._closed.wait(_BEAT):
            before, used = used, time.process_time()
            began = self._began
            if began is not None and time.monotonic() - began < _MAX_READING and used - before > _WORKING * _BEAT:
                beat()

    def begin(self) -> None:
        """Nothing was read ahead."""

    def close(self) -> None:
        self._closed.set()
        self._items.close()


class ThreadedReader:
    """Reads in a thread, so that what hangs in it (a name server, a driver) holds up neither control nor shutdown.

    One frame waits for ``take``. A newer one takes its place, which is counted, or the thread waits. What a camera shows before
    ``begin`` is not asked for, and not counted. What has an end comes only once: it is counted from its first frame, and a
    replay at its own rate is not read before ``begin``.

    Args:
        items: The source; it is iterated in the thread.
        drops: Whether an opened source drops frames that are not taken in time.
        stopped: Ends the thread.
        wake: Called after each item.
    """

    def __init__(
        self,
        items: Iterable[Item],
        drops: Callable[[SourceInfo], bool],
        stopped: threading.Event,
        wake: Callable[[], None],
    ) -> None:
        self._items = _generator(items)
        self._drops = drops
        self._stopped = stopped
        self._wake = wake
        self._newest_wins = True
        self._waiting: deque[Item | End] = deque()
        self._frame_waits = self._began = self._counting = False
        self._missed = 0
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="ferengine-capture", daemon=True)
        self._thread.start()

    def take(self) -> Taken:
        with self._changed:
            if not self._waiting:
                return None, 0
            item = self._waiting.popleft()
            if item is END and self._error is not None:
                raise self._error
            missed = 0
            if isinstance(item, CapturedFrame):
                missed, self._missed = self._missed, 0
                self._frame_waits = False
                self._changed.notify()
            return item, missed

    def begin(self) -> None:
        with self._changed:
            if self._newest_wins and not self._counting:
                self._forget_frame()
            self._began = self._counting = True
            self._changed.notify()

    def close(self) -> None:
        self._stopped.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(_LEAVE)

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                if isinstance(item, SourceInfo) and item.live and item.ends:
                    self._await_begin()
                if self._stopped.is_set():
                    break
        except Exception as error:  # raised again in ``take``, in the stage's thread
            self._error = error
        finally:
            self._items.close()
            self._put(END)

    def _put(self, item: Item | End) -> None:
        with self._changed:
            if isinstance(item, SourceInfo):
                self._newest_wins = self._drops(item)
                self._counting = self._counting or item.ends
            if isinstance(item, CapturedFrame):
                if self._newest_wins:
                    self._missed += self._forget_frame() and self._counting
                while self._frame_waits and not self._stopped.is_set():
                    self._changed.wait()
                self._frame_waits = True
            self._waiting.append(item)
        self._wake()

    def _await_begin(self) -> None:
        with self._changed:
            while not self._began and not self._stopped.is_set():
                self._changed.wait()

    def _forget_frame(self) -> bool:
        """Drop the frame that waits; False where there is none."""
        forgotten = self._frame_waits
        if forgotten:
            self._waiting = deque(item for item in self._waiting if not isinstance(item, CapturedFrame))
            self._frame_waits = False
        return forgotten


def _generator(items: Iterable[Item]) -> Generator[Item, None, None]:
    """``items`` as something that can be closed."""
    yield from items
