"""Between a source that may hang and its stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.reconnect import Disconnected, Item
from ferengine.stages import reader as reader_module
from ferengine.stages.reader import END, InlineReader, Taken, ThreadedReader

INFO = SourceInfo(8, 8, 25.0, live=True, ends=False)


def frame(number: int) -> CapturedFrame:
    return CapturedFrame(np.zeros((8, 8, 3), np.uint8), float(number))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def take(reader: ThreadedReader) -> Taken:
    """What comes next, waited for."""
    taken: list[Taken] = []

    def came() -> bool:
        taken[:] = [reader.take()]
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
    reader = ThreadedReader(gate, lambda info: True, threading.Event(), gate.wake)
    assert reader.take() == (None, 0)
    gate.let()
    assert reader.take() == (INFO, 0)
    gate.let()
    reader.begin()  # what came before is old, and was not asked for
    assert reader.take() == (None, 0)
    gate.let(2)
    item, missed = reader.take()
    assert isinstance(item, CapturedFrame)
    assert (item.timestamp, missed) == (2.0, 1)
    gate.let(3)
    assert reader.take()[0] == Disconnected("gone")
    assert reader.take()[0] == INFO
    item, missed = reader.take()
    assert isinstance(item, CapturedFrame)
    assert (item.timestamp, missed) == (3.0, 0)
    gate.let()
    assert reader.take() == (END, 0)
    reader.close()


def test_a_replay_at_its_own_rate_is_not_read_before_it_begins() -> None:
    replay = SourceInfo(8, 8, 25.0, live=True)
    read: list[int] = []

    def items() -> Iterator[Item]:
        yield replay
        for number in range(40):
            read.append(number)
            yield frame(number)

    reader = ThreadedReader(items(), lambda info: True, threading.Event(), lambda: None)
    assert take(reader) == (replay, 0)
    time.sleep(0.05)
    assert read == []
    assert reader.take() == (None, 0)
    reader.begin()
    frames = missing = 0
    while (taken := take(reader))[0] is not END:
        frames, missing = frames + 1, missing + taken[1]
    assert frames + missing == 40
    reader.close()


def test_frames_of_a_recording_that_are_passed_over_before_it_begins_are_counted() -> None:
    recording = SourceInfo(8, 8, 25.0, live=False)
    gate = Gate(recording, frame(0), frame(1), frame(2), frame(3))
    reader = ThreadedReader(gate, lambda info: True, threading.Event(), gate.wake)
    gate.let(4)  # its writer need not wait
    assert reader.take() == (recording, 0)
    reader.begin()
    gate.let()
    item, missed = reader.take()
    assert isinstance(item, CapturedFrame)
    assert (item.timestamp, missed) == (3.0, 3)
    reader.close()


def test_where_nothing_is_dropped_the_thread_waits() -> None:
    items = [INFO, *(frame(i) for i in range(50))]
    reader = ThreadedReader(iter(items), lambda info: False, threading.Event(), lambda: None)
    reader.begin()
    taken = [take(reader) for _ in range(52)]
    assert [item.timestamp for item, _ in taken if isinstance(item, CapturedFrame)] == list(range(50))
    assert taken[-1] == (END, 0)
    assert not any(missed for _, missed in taken)


def test_an_error_comes_after_what_was_before_it() -> None:
    def items() -> Iterator[Item]:
        yield INFO
        yield frame(0)
        raise SourceError("broke")

    reader = ThreadedReader(items(), lambda info: False, threading.Event(), lambda: None)
    assert isinstance(take(reader)[0], SourceInfo)
    assert isinstance(take(reader)[0], CapturedFrame)
    with pytest.raises(SourceError, match="broke"):
        take(reader)


@pytest.mark.parametrize(("drops", "live"), [(True, False), (False, False), (True, True)])
def test_closing_ends_a_waiting_thread(drops: bool, live: bool) -> None:
    closed = threading.Event()

    def items() -> Iterator[Item]:
        try:
            yield SourceInfo(8, 8, 25.0, live)
            while True:
                yield frame(0)
        finally:
            closed.set()

    reader = ThreadedReader(items(), lambda info: drops, threading.Event(), lambda: None)
    take(reader)
    reader.close()
    assert closed.wait(60)


def test_closing_does_not_wait_for_what_hangs() -> None:
    hanging = threading.Event()

    def items() -> Iterator[Item]:
        yield INFO
        hanging.wait(60)

    reader = ThreadedReader(items(), lambda info: True, threading.Event(), lambda: None)
    take(reader)
    began = time.monotonic()
    reader.close()
    assert time.monotonic() - began < 30
    assert not hanging.is_set()
    hanging.set()


def test_inline() -> None:
    reader = InlineReader([INFO, frame(1)], lambda: None)
    reader.begin()
    assert reader.take() == (INFO, 0)
    assert isinstance(reader.take()[0], CapturedFrame)
    assert reader.take() == (END, 0)
    reader.close()
    reader.close()


@pytest.mark.parametrize("limit", [60.0, 0.0])
def test_long_read_keeps_the_heartbeat_going_while_it_works(monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
    monkeypatch.setattr(reader_module, "_BEAT", 0.01)
    monkeypatch.setattr(reader_module, "_MAX_READING", limit)
    beats: list[bool] = []
    working = False

    def leave_out_frames() -> Iterator[Item]:
        nonlocal working
        working = True
        deadline = time.monotonic() + (60 if limit else 0.2)
        while not beats and time.monotonic() < deadline:
            np.sort(np.arange(10_000)[::-1])
        working = False
        yield frame(1)

    reader = InlineReader(leave_out_frames(), lambda: beats.append(working))
    assert isinstance(reader.take()[0], CapturedFrame)
    assert beats[:1] == ([True] if limit else [])
    before = len(beats)
    time.sleep(0.1)  # nothing is read now
    assert len(beats) == before
    reader.close()


def test_hanging_read_has_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_BEAT", 0.05)
    monkeypatch.setattr(reader_module, "_WORKING", 0.5)  # of a processor: whatever else runs in this process is less
    beats: list[None] = []
    hang = threading.Event()

    def items() -> Iterator[Item]:
        hang.wait(0.5)
        yield frame(1)

    reader = InlineReader(items(), lambda: beats.append(None))
    reader.take()
    assert beats == []
    reader.close()
