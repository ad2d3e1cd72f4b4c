"""Sinks in their own threads: a slow, broken or stuck one does not affect the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ferengine.errors import SinkError, WorkerError
from ferengine.results import FrameResult, Timings
from ferengine.runtime.subscriptions import Item, Subscription
from ferengine.sinks.sink_thread import SinkThread


def result(frame: int) -> FrameResult:
    return FrameResult("camera0", frame, 0.0, 1.0, (), Timings(0, 0, 0, 0, 0))


class Recorder:
    """A sink that records its calls; ``on_write`` may raise or wait."""

    def __init__(self, on_write: Callable[[FrameResult], Any] = lambda _: None) -> None:
        self.frames: list[int] = []
        self.flushes = self.closes = 0
        self._on_write = on_write

    def write(self, result: FrameResult) -> None:
        self._on_write(result)
        self.frames.append(result.frame)

    def flush_if_due(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closes += 1


class Queue:
    """A queue of the engine for results of a live source, as ``Engine.results`` hands it out."""

    def __init__(self, capacity: int) -> None:
        self.subscription = Subscription("test", capacity, lambda: None)

    @property
    def dropped(self) -> int:
        return self.subscription.dropped

    @property
    def waiting(self) -> int:
        return self.subscription.waiting

    def offer(self, result: FrameResult) -> None:
        self.subscription.offer(Item(result, live=True))

    def take(self, timeout: float | None = None) -> FrameResult | None:
        item = self.subscription.take(timeout)
        return None if item is None else item.result

    def end(self) -> None:
        self.subscription.end()

    def close(self) -> None:
        self.subscription.discard()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def queue(capacity: int = 4) -> Queue:
    return Queue(capacity)


def test_everything_is_written_and_the_sink_closed() -> None:
    sink, results = Recorder(), queue(10)
    feeder = SinkThread("test", sink, results)
    assert not feeder.started
    for number in range(5):
        results.offer(result(number))
    results.end()
    feeder.start()
    feeder.join(10)
    assert not feeder.busy
    assert (sink.frames, sink.closes) == ([0, 1, 2, 3, 4], 1)
    assert feeder.summary() == {"written": 5, "dropped": 0, "cut": 0, "error": None}


def test_a_sink_may_flush_when_nothing_comes() -> None:
    sink, results = Recorder(), queue()
    flushed = threading.Event()
    sink.flush_if_due = flushed.set  # type: ignore[method-assign]
    feeder = SinkThread("test", sink, results)
    feeder.start()
    assert flushed.wait(10)
    results.end()
    feeder.join(10)


def test_results_that_were_lost_in_a_buffer_do_not_count_as_written() -> None:
    def full(item: FrameResult) -> None:
        if item.frame == 3:
            error = SinkError("disk full")
            error.lost = 3
            raise error

    results = queue(10)
    feeder = SinkThread("test", Recorder(full), results)
    for number in range(5):
        results.offer(result(number))
    feeder.start()
    wait_for(lambda: results.waiting == 0)
    for number in range(5, 9):  # after the failure
        results.offer(result(number))
    results.end()
    feeder.join(10)
    assert feeder.summary() == {"written": 1, "dropped": 0, "cut": 8, "error": "disk full"}


def test_between_runs_before_each_result_and_at_the_end() -> None:
    calls: list[str] = []
    sink, results = Recorder(lambda item: calls.append(f"frame {item.frame}")), queue()
    results.offer(result(0))
    results.end()
    feeder = SinkThread("test", sink, results, lambda: calls.append("between"))
    feeder.start()
    feeder.join(10)
    assert calls == ["between", "frame 0", "between"]


def test_failing_sink_is_reported_once_and_holds_back_no_source(caplog: pytest.LogCaptureFixture) -> None:
    def full(_: FrameResult) -> None:
        raise SinkError("out.csv cannot be written: No space left on device")

    sink, results = Recorder(full), queue(1)
    feeder = SinkThread("csv", sink, results)
    with caplog.at_level(logging.ERROR):
        feeder.start()
        for number in range(3):
            results.offer(result(number))
            wait_for(lambda: not results.subscription.holds_back("camera0"))
        results.end()
        feeder.join(10)
    assert not feeder.busy
    assert (feeder.written, feeder.cut) == (0, 3)
    assert sink.closes == 1
    assert feeder.error == "out.csv cannot be written: No space left on device"
    assert [record.getMessage() for record in caplog.records] == [feeder.error]


def test_a_defect_of_a_sink_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    sink, results = Recorder(lambda _: 1 / 0), queue()
    feeder = SinkThread("csv", sink, results)
    results.offer(result(0))
    results.end()
    feeder.start()
    feeder.join(10)
    assert feeder.cut == 1
    assert feeder.error is not None
    assert "ZeroDivisionError" in feeder.error
    assert sink.closes == 1


def test_what_ends_the_run_is_no_fault_of_the_sink(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Queue):
        def take(self, timeout: float | None = None) -> FrameResult | None:
            try:
                return super().take(timeout)
            except EOFError:
                raise WorkerError("a worker has died too often") from None

    queue, sink = Broken(8), Recorder()
    queue.offer(result(0))
    queue.subscription.end()
    thread = SinkThread("jsonl", sink, queue)
    thread.start()
    thread.join(5)
    assert (thread.error, thread.written, thread.cut, sink.closes) == (None, 1, 0, 1)
    assert not caplog.records


def test_a_slow_sink_drops_its_own_oldest_and_counts_them() -> None:
    """Results of live sources: the queue beside it loses nothing."""
    release, entered = threading.Event(), threading.Event()

    def slow(_: FrameResult) -> None:
        entered.set()
        assert release.wait(10)

    slow_sink, quick_sink = Recorder(slow), Recorder()
    slow_queue, quick_queue = queue(2), queue(20)
    feeders = [SinkThread("slow", slow_sink, slow_queue), SinkThread("quick", quick_sink, quick_queue)]
    for feeder in feeders:
        feeder.start()
    slow_queue.offer(result(0))
    assert entered.wait(10)
    for number in range(1, 10):
        slow_queue.offer(result(number))
        quick_queue.offer(result(number))
    quick_queue.end()
    feeders[1].join(10)
    assert quick_sink.frames == list(range(1, 10))
    release.set()
    slow_queue.end()
    feeders[0].join(10)
    assert slow_sink.frames == [0, 8, 9]
    assert feeders[0].summary() == {"written": 3, "dropped": 7, "cut": 0, "error": None}


def test_a_stuck_sink_can_be_left_behind() -> None:
    release = threading.Event()
    results = queue()
    feeder = SinkThread("events", Recorder(lambda _: release.wait(10)), results)
    results.offer(result(0))
    feeder.start()
    feeder.join(0.05)
    assert feeder.busy
    feeder.abandon()
    assert feeder.error is not None
    assert feeder.error.startswith("events: ")
    release.set()
    feeder.join(10)
    assert not feeder.busy
