"""What a node does with its lease: nothing of a camera counts after it, however late the camera is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs the extra fleet")

from ferengine.fleet import reading
from ferengine.fleet.outputs import BoundedQueue
from ferengine.fleet.reading import Readings
from ferengine.fleet.records import Grant
from ferengine.results import EPOCH_NUMBERS, FrameResult, Timings


class MadeUpEngine:
    """An engine whose cameras close when the test says so."""

    def __init__(self) -> None:
        self.queue = BoundedQueue()
        self.may_close = threading.Event()
        self.added: list[str] = []
        self.removed: list[str] = []
        self.workers: dict[str, Any] = {}

    def results(self) -> BoundedQueue:
        return self.queue

    def health(self) -> Any:
        return SimpleNamespace(cameras={}, workers=self.workers)

    def worker_pids(self) -> dict[str, int]:
        return {}

    def add_source(self, source: str, *, held: bool = False) -> None:
        if held:  # its process never gets past its start
            self.workers[f"capture-{source}"] = SimpleNamespace(state="starting")
        else:
            self.added.append(source)

    def remove_source(self, name: str, *, drain: bool) -> None:
        assert self.may_close.wait(60)
        self.removed.append(name)


class Node:
    """The readings of a node, at a time that the test sets."""

    def __init__(self) -> None:
        self.engine = MadeUpEngine()
        self.now = 1000.0
        self.frames: list[int] = []

    def start(self) -> None:
        engine: Any = self.engine
        source: Any = bytes.decode
        self.readings = Readings(engine, source, lambda result: self.frames.append(result.frame), lambda: None)

    def give(self, frame: int) -> None:
        """The engine gives a result of the door, which is passed on or refused."""
        over = len(self.frames) + self.readings.stale
        self.engine.queue.put(FrameResult("door", frame, 0.0, 0.0, (), Timings(0.0, 0.0, 0.0, 0.0, 0.0)))
        until(lambda: len(self.frames) + self.readings.stale > over)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    made = Node()
    monkeypatch.setattr(reading, "clock", lambda: made.now)
    made.start()
    made.readings.obey({"door": Grant(7, b"door")}, {}, made.now + 5)
    until(lambda: made.engine.added == ["door"])
    yield made
    made.engine.may_close.set()
    made.readings.close()


def test_results_count_while_the_lease_lasts(node: Node) -> None:
    node.give(0)
    node.now += 3
    node.readings.extend(node.now + 5)  # the answer to a beat that was overtaken
    node.now += 3
    node.give(1)
    node.readings.obey({}, {}, node.now + 5)  # it is moved: what was captured before still counts
    node.give(2)
    assert node.frames == [7 * EPOCH_NUMBERS + frame for frame in range(3)]
    assert node.readings.stale == 0


def test_a_node_that_was_cut_off_drops_what_is_no_longer_its_own(node: Node) -> None:
    node.give(0)
    node.now += 6
    node.give(1)
    node.readings.extend(node.now + 5)
    node.give(2)
    node.readings.obey({}, {}, node.now + 5)  # it is back, and closes the camera, which takes its time
    node.give(3)
    assert node.frames == [7 * EPOCH_NUMBERS]
    assert node.readings.stale == 3
    node.engine.may_close.set()
    until(lambda: node.engine.removed == ["door"])


def test_cameras_that_it_gets_ready_for_hold_up_no_end_of_a_lease(node: Node) -> None:
    node.engine.may_close.set()
    names = [f"camera {number}" for number in range(20)]
    node.readings.obey({"door": Grant(7, b"door")}, {name: name.encode() for name in names}, node.now + 5)
    until(lambda: len(node.engine.workers) >= 8)
    node.now += 4.5
    until(lambda: node.engine.removed == ["door"])
    assert not any(node.readings.prepared().values())


def test_a_node_that_was_cut_off_goes_on_with_what_nobody_took(node: Node) -> None:
    node.now += 4.5  # it stops reading a second before the end
    until(lambda: "door" in node.readings.reports()[0] and node.readings.reports()[0]["door"].state == "moving")
    node.engine.may_close.set()
    until(lambda: node.engine.removed == ["door"] and not node.readings.reports()[0])

    def granted() -> bool:
        """Each beat is answered with what may be read, until the node names it."""
        node.readings.obey({"door": Grant(8, b"door")}, {}, node.now + 5)
        return node.engine.added == ["door", "door"]

    until(granted)
    node.give(0)
    assert node.frames == [8 * EPOCH_NUMBERS]
