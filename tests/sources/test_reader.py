"""Between a source that may hang and its stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.runtime.camera_life import CameraLife
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.reconnect import Disconnected, Item
from ferengine.stages.reader import END, Fed, InlineFeed, ThreadFeed

INFO = SourceInfo(8, 8, 25.0, live=True, ends=False)


def frame(number: int) -> CapturedFrame:
    return CapturedFrame(np.zeros((8, 8, 3), np.uint8), float(number))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def take(feed: ThreadFeed) -> Fed:
    """What comes next, waited for."""
    taken: list[Fed] = []

    def came() -> bool:
        taken[:] = [feed.take()]
        return taken[0][0] is not None

    wait_for(came)
    return taken[0]


class Gate:
    """Items that come one by one, as ``let`` lets them."""

    def __init__(self, *items: Item) -> None:
        self._items = items
        self._open = threading.Semaphore(0)
        self.given = 0
        self.woken = 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self._open.acquire()
            yield item
        self._open.acquire()

    def let(self, count: int = 1) -> None:
        """Let ``count`` more through and wait until they have been put."""
        for _ in range(count):
            woken = self.woken
            self._open.release()
            wait_for(lambda woken=woken: self.woken > woken)

    def wake(self) -> None:
        self.woken += 1


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    gate = Gate(INFO, frame(0), frame(1), frame(2), Disconnected("gone"), INFO, frame(3))
    feed = ThreadFeed(gate, lambda info: True, threading.Event(), gate.wake)
    assert feed.take() == (None, 0)
    gate.let()
    assert feed.take() == (INFO, 0)
    gate.let()
    feed.begin()  # what came before is old, and was not asked for
    assert feed.take() == (None, 0)
    gate.let(2)
    item, missed = feed.take()
    assert isinstance(item, CapturedFrame)
    assert (item.timestamp, missed) == (2.0, 1)
    gate.let(3)
    assert feed.take()[0] == Disconnected("gone")
    assert feed.take()[0] == INFO
    item, missed = feed.take()
    assert isinstance(item, CapturedFrame)
    assert (item.timestamp, missed) == (3.0, 0)
    gate.let()
    assert feed.take() == (END, 0)
    feed.close()


def test_where_nothing_is_dropped_the_thread_waits() -> None:
    items = [INFO, *(frame(i) for i in range(50))]
    feed = ThreadFeed(iter(items), lambda info: False, threading.Event(), lambda: None)
    feed.begin()
    taken = [take(feed) for _ in range(52)]
    assert [item.timestamp for item, _ in taken if isinstance(item, CapturedFrame)] == list(range(50))
    assert taken[-1] == (END, 0)
    assert not any(missed for _, missed in taken)


def test_an_error_comes_after_what_was_before_it() -> None:
    def items() -> Iterator[Item]:
        yield INFO
        yield frame(0)
        raise SourceError("broke")

    feed = ThreadFeed(items(), lambda info: False, threading.Event(), lambda: None)
    assert isinstance(take(feed)[0], SourceInfo)
    assert isinstance(take(feed)[0], CapturedFrame)
    with pytest.raises(SourceError, match="broke"):
        take(feed)


@pytest.mark.parametrize("drops", [True, False])
def test_closing_ends_a_waiting_thread(drops: bool) -> None:
    closed = threading.Event()

    def items() -> Iterator[Item]:
        try:
            yield INFO
            while True:
                yield frame(0)
        finally:
            closed.set()

    feed = ThreadFeed(items(), lambda info: drops, threading.Event(), lambda: None)
    take(feed)
    feed.close()
    assert closed.wait(5)


def test_closing_does_not_wait_for_what_hangs() -> None:
    hanging = threading.Event()

    def items() -> Iterator[Item]:
        yield INFO
        hanging.wait(30)

    feed = ThreadFeed(items(), lambda info: True, threading.Event(), lambda: None)
    take(feed)
    begun = time.monotonic()
    feed.close()
    assert time.monotonic() - begun < 10
    assert not hanging.is_set()
    hanging.set()


def test_inline() -> None:
    feed = InlineFeed([INFO, frame(1)])
    feed.begin()
    assert feed.take() == (INFO, 0)
    assert isinstance(feed.take()[0], CapturedFrame)
    assert feed.take() == (END, 0)
    feed.close()
    feed.close()


def test_a_cameras_life_is_told_once() -> None:
    life = CameraLife("door")
    told = [
        life.note_lost("no answer", 1.0), life.note_lost("no answer", 2.0), life.note_open(3.0), life.note_open(3.5),
        life.note_lost("cable", 4.0), life.note_open(6.5), life.note_end(None, 7.0), life.note_end(None, 8.0),
        life.note_lost("late", 9.0), life.note_open(9.0),
    ]  # fmt: skip
    events = [event.to_dict() for event in told if event is not None]
    assert events == [
        {"camera": "door", "event": "lost", "timestamp": 1.0, "reason": "no answer"},
        {"camera": "door", "event": "started", "timestamp": 3.0},
        {"camera": "door", "event": "lost", "timestamp": 4.0, "reason": "cable"},
        {"camera": "door", "event": "back", "timestamp": 6.5, "seconds": 2.5},
        {"camera": "door", "event": "ended", "timestamp": 7.0},
    ]
