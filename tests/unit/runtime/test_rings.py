"""Frame rings are allocated beside the supervisor's thread, and only while their camera is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ferengine import Engine, PushSource
from ferengine._native import FrameRing
from ferengine.config import make_config
from ferengine.errors import EngineStoppedError, UsageError
from ferengine.ipc.frame_loans import FrameReader
from ferengine.runtime import rings as rings_module
from ferengine.runtime.cameras import Cameras, CameraState
from ferengine.runtime.push import PushInput
from ferengine.runtime.rings import FrameRings
from ferengine.runtime.state import Executor
from ferengine.runtime.subscriptions import Subscription, Subscriptions
from ferengine.runtime.topology import RingSize
from ferengine.sources import SourceSpec
from threads_help import CheckedThread


class Links:
    """Stands for the topology."""

    def __init__(self) -> None:
        self.announced: list[int] = []
        self.forgotten: list[int] = []

    output_readers: tuple[int, ...] = ()

    def ring_size(self, slot_bytes: int, live: bool, readers: list[FrameReader]) -> RingSize:
        slots = 4 + sum(reader.slots for reader in readers)
        return RingSize(slots, slots, 1)

    def ring_mask(self, readers: list[FrameReader]) -> int:
        return 1 | sum(1 << reader.reader for reader in readers)

    def announce_ring(self, camera: CameraState, generation: int) -> None:
        self.announced.append(generation)

    def forget_ring(self, camera: CameraState, generation: int) -> None:
        self.forgotten.append(generation)


class Bench:
    """Rings of one camera; the test's thread stands for the supervisor's."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.executor = Executor(self.woken.set)
        self.executor.open()
        self.executor.run()
        self.links = Links()
        self.cameras = Cameras(("happy",), (), make_config(), trackers=1)
        self.subscriptions = Subscriptions()
        state: Any = SimpleNamespace(
            cameras=self.cameras, topology=self.links, executor=self.executor, subscriptions=self.subscriptions
        )
        self.failed: list[str] = []
        self.rings = FrameRings(state, lambda camera, error: self.failed.append(str(error)))
        self.camera = self.cameras.add(SourceSpec("push", "", "door"))

    def run(self) -> None:
        """Wait for the allocator, and do what it has left to do."""
        assert self.woken.wait(60)
        self.woken.clear()
        self.executor.run()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.rings.close()
    made.cameras.remove(made.camera)


class Gate:
    """Stands for FrameRing: allocates when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        self.made: list[int] = []
        monkeypatch.setattr(rings_module, "FrameRing", self)

    def create(self, slots: int, slot_bytes: int) -> FrameRing:
        self.began.set()
        assert self.go_on.wait(60)
        self.made.append(slots)
        return FrameRing.create(slots, slot_bytes)


def test_a_ring_is_announced_when_it_has_been_allocated(bench: Bench) -> None:
    done = bench.rings.request(bench.camera, 12)
    assert bench.rings.pending == 1
    bench.run()
    assert done.result(0) is None
    assert (bench.rings.pending, bench.links.announced) == (0, [0])
    assert (bench.camera.newest_ring.slots, bench.camera.newest_ring.slot_bytes) == (4, 12)


def test_nothing_waits_for_an_allocation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    bench.rings.begin(bench.camera, 12)
    assert gate.began.wait(60)
    bench.executor.run()
    assert not bench.camera.rings
    gate.go_on.set()
    bench.run()
    assert list(bench.camera.rings) == [0]


def test_a_camera_that_has_left_gets_no_ring(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    other = bench.cameras.add(SourceSpec("push", "", "yard"))
    first, second = bench.rings.request(other, 12), bench.rings.request(other, 24)
    assert gate.began.wait(60)
    bench.cameras.remove(other)
    gate.go_on.set()
    while bench.rings.pending:
        bench.run()
    assert first.result(0) is second.result(0) is None
    assert gate.made == [4]  # the second was not even allocated
    assert (other.rings, bench.links.announced) == ({}, [])


def test_a_request_of_the_size_that_is_on_its_way_makes_no_second_ring(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    first = bench.rings.request(bench.camera, 12)
    bench.rings.begin(bench.camera, 12)  # the stream was disconnected, and has been opened again
    larger = bench.rings.request(bench.camera, 24)
    assert bench.rings.request(bench.camera, 12) is first is not larger
    gate.go_on.set()
    while bench.rings.pending:
        bench.run()
    assert gate.made == [4, 4]
    assert [ring.slot_bytes for ring in bench.camera.rings.values()] == [12, 24]


def test_the_end_of_the_run_waits_for_no_allocation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings_module, "_LEAVE", 0.05)
    gate = Gate(monkeypatch)
    done = bench.rings.request(bench.camera, 12)
    assert gate.began.wait(60)
    bench.rings.close()
    with pytest.raises(EngineStoppedError):
        done.result(0)
    gate.go_on.set()
    bench.run()
    assert bench.camera.rings == {}


def test_a_ring_without_memory_fails_its_camera(bench: Bench) -> None:
    bench.rings.begin(bench.camera, 1 << 33)
    bench.run()
    assert ["door: 4 frames of 8192.0 MiB do not fit into" in text for text in bench.failed] == [True]
    refused = bench.rings.request(bench.camera, 1 << 33)
    bench.run()
    with pytest.raises(UsageError, match="do not fit into"):
        refused.result(0)
    assert len(bench.failed) == 1  # the caller of request handles it


def test_an_unforeseen_error_fails_the_camera_and_the_allocator_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(slots: int, slot_bytes: int) -> FrameRing:
        raise KeyError("odd")

    monkeypatch.setattr(rings_module, "FrameRing", SimpleNamespace(create=fails))
    bench.rings.begin(bench.camera, 12)
    bench.run()
    assert bench.rings.pending == 0
    assert bench.failed == ["door: its frame ring could not be allocated: KeyError('odd'); please report this"]
    monkeypatch.undo()
    done = bench.rings.request(bench.camera, 12)
    bench.run()
    assert done.result(0) is None
    assert bench.links.announced == [0]


def test_a_consumer_of_images_gets_larger_rings(bench: Bench) -> None:
    bench.rings.begin(bench.camera, 12)
    bench.run()
    subscription = Subscription("test", 2, lambda: None, reader=bench.rings.new_reader(2, None))
    [grown] = bench.rings.subscribe(subscription)
    bench.run()
    assert grown.result(0) is None
    bench.rings.renew_masks()
    assert [ring.slots for ring in bench.camera.rings.values()] == [4, 7]
    assert [ring.readers for ring in bench.camera.rings.values()] == [9, 9]
    bench.rings.unsubscribe(subscription)
    assert [ring.readers for ring in bench.camera.rings.values()] == [1, 1]
    bench.camera.rings[0].close_writer()
    bench.rings.tidy()
    assert (list(bench.camera.rings), bench.links.forgotten) == ([1], [0])


def test_a_ring_that_was_begun_before_a_consumer_came_is_made_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    bench.rings.begin(bench.camera, 12)
    assert gate.began.wait(60)
    subscription = Subscription("test", 2, lambda: None, reader=bench.rings.new_reader(2, None))
    assert bench.rings.subscribe(subscription) == []
    gate.go_on.set()
    while bench.rings.pending:
        bench.run()
    assert gate.made == [4, 7]
    assert [ring.slots for ring in bench.camera.rings.values()] == [7]


def test_a_pushed_frame_waits_for_a_ring_that_is_large_enough(bench: Bench) -> None:
    sizes = [12, 24]

    def request(camera: CameraState, nbytes: int) -> Future[None]:
        done: Future[None] = Future()
        camera.add_ring(FrameRing.create(4, sizes.pop(0)), 1)  # the first is for a consumer of images, of the old size
        done.set_result(None)
        return done

    state: Any = SimpleNamespace(config=make_config(), executor=SimpleNamespace(call=lambda work: work()))
    rings: Any = SimpleNamespace(request=request)
    ring = PushInput(bench.camera, state, rings)._ring_for(24)
    assert ring is not None
    assert ring.slot_bytes == 24


def test_other_threads_run_while_a_ring_is_allocated() -> None:
    """The native allocation holds no lock of the interpreter; else there would be no tick at all."""
    available = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024
    if available < 1 << 30:
        pytest.skip("less than 1 GiB of memory is available")
    ticks, over = [0], threading.Event()
    during: list[int] = []

    def allocate() -> None:
        before = ticks[0]
        try:
            FrameRing.create(4, 1 << 26)
            during.append(ticks[0] - before)
        finally:
            over.set()

    thread = CheckedThread(allocate)
    while not over.wait(0.001):
        ticks[0] += 1
    thread.join()
    assert during[0] > 3


def test_an_engine_answers_while_a_large_ring_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine([PushSource("door", wait=True), PushSource("yard", wait=True)], detector="haar") as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        small = np.zeros((48, 64, 3), np.uint8)
        assert engine.push("yard", small, 0.0, timeout=60)
        assert next(results).camera == "yard"
        gate = Gate(monkeypatch)
        pushing = CheckedThread(lambda: engine.push("door", small, 0.0, timeout=60))
        assert gate.began.wait(60)
        for number in range(1, 20):
            assert engine.push("yard", small, number / 30, timeout=60)
            assert next(results).camera == "yard"
        engine.remove_source(engine.add_source(PushSource("gate")))
        assert engine.health().ok
        gate.go_on.set()
        pushing.join()
        assert next(results).camera == "door"
