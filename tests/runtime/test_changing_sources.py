"""Sources that come and go while the others run."""

from __future__ import annotations

import gc
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import CameraEvent, Engine, PushSource, SourceSpec
from ferengine.errors import UsageError, WorkerError
from threads_help import CheckedThread

Images = list[NDArray[np.uint8]]
SETTINGS: dict[str, Any] = {"detector": "haar"}


def _mappings(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("memfd:ferengine")


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_source_that_the_system_refuses_leaves_nothing_behind() -> None:
    with Engine("demo", max_frames=20, **SETTINGS) as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        refusals = []
        for spare in range(4):  # so that it fails at another step each time; other threads open and close some too
            taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
            free = [number for number in range(max(taken) + 10) if number not in taken]
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], limits[1]))
            try:
                engine.remove_source(engine.add_source("demo:crossing"), drain=False)
            except WorkerError as error:
                refusals.append(str(error))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert engine.cameras == ("demo",)
        assert refusals
        assert all(re.search("Too many open files.*ulimit -n", said) for said in refusals)
        assert sum(result.camera == "demo" for result in results) == 20


def test_cameras_come_and_go_and_leave_nothing_behind(images: Images) -> None:
    gc.collect()  # engines of earlier tests: a collection in the middle would take their mappings off the count
    with Engine(keep_open=True, **SETTINGS) as engine:
        assert engine.cameras == ()
        results = engine.results()
        assert engine.wait_ready(120)
        pids = [os.getpid(), *engine.worker_pids().values()]
        sizes = [_mappings(pid) for pid in pids]
        for _ in range(4):
            name = engine.add_source(PushSource("door", wait=True))
            assert name == "door"
            assert engine.cameras == ("door",)
            for number in range(3):
                assert engine.push(name, images[number], number / 30, timeout=60)
                result = next(results)
                assert (result.camera, result.frame) == ("door", number)
            engine.remove_source(name)
            assert engine.cameras == ()
        assert [os.getpid(), *engine.worker_pids().values()] == pids
        assert len(pids) == 4  # this process, detect, track and classify
        assert _wait_until(lambda: [_mappings(pid) for pid in pids] == sizes)
        assert set(engine.health().cameras) == set()
        assert engine.summary()["frames"] == 12
        assert engine.summary()["faces"] == engine.summary()["batch"]["faces"] > 0
        assert all(worker["cpu_s"] > 0 for worker in engine.summary()["workers"].values())  # while they live
        engine.stop()
        assert list(results) == []


def test_a_file_joins_and_leaves_while_another_runs(images: Images) -> None:
    demo = SourceSpec("demo", "stroll", "demo", loop=0)
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        assert engine.add_source(demo) == "demo"
        assert engine.add_source(demo) == "demo-2"
        assert {"capture-demo", "capture-demo-2"} <= set(engine.worker_pids())
        seen: dict[str, list[int]] = {"demo": [], "demo-2": []}
        while not all(len(frames) >= 10 for frames in seen.values()):
            result = next(results)
            seen[result.camera].append(result.frame)
        pid = engine.worker_pids()["capture-demo"]
        engine.remove_source("demo", drain=False)
        assert _wait_until(lambda: not Path(f"/proc/{pid}").exists())
        assert engine.cameras == ("door", "demo-2")
        before = len(seen["demo-2"])
        while len(seen["demo-2"]) < before + 80:  # more than could have waited in the queues
            result = next(results)
            seen[result.camera].append(result.frame)
        assert seen["demo-2"] == list(range(len(seen["demo-2"])))
        assert engine.push("door", images[0], timeout=60)
        assert engine.health().workers["track-0"].restarts == 0


def test_source_that_does_not_open_does_not_affect_others(images: Images, tmp_path: Path) -> None:
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        name = engine.add_source(tmp_path / "gone.mp4")
        assert _wait_until(lambda: engine.health().cameras[name].state == "failed")
        health = engine.health()
        assert "gone.mp4" in (health.cameras[name].error or "")
        assert not health.ok
        assert len(health.failures) == 1
        assert engine.push("door", images[0], timeout=60)
        assert next(results).camera == "door"
        engine.remove_source(name)
        assert engine.health().ok
        with pytest.raises(UsageError, match="there is no camera 'gone'"):
            engine.remove_source(name)


def test_a_tracker_that_dies_after_cameras_came_and_went_is_replaced(images: Images) -> None:
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        engine.add_source(PushSource("gone"))
        engine.add_source(PushSource("yard", wait=True))
        engine.remove_source("gone")
        for number in range(5):
            for camera in ("door", "yard"):
                assert engine.push(camera, images[number], number / 30, timeout=60)
        for name in [name for name in engine.worker_pids() if name.startswith("track")]:
            os.kill(engine.worker_pids()[name], signal.SIGKILL)
        for number in range(5, 10):
            for camera in ("door", "yard"):
                assert engine.push(camera, images[number], number / 30, timeout=60)
        engine.end_source("door")
        engine.end_source("yard")
        frames: dict[str, list[int]] = {"door": [], "yard": []}
        for result in results:
            frames[result.camera].append(result.frame)
        assert frames == {"door": list(range(10)), "yard": list(range(10))}
        assert engine.health().workers["track-0"].restarts == 1


def test_health_distinguishes_dead_stuck_and_idle_workers(images: Images, caplog: pytest.LogCaptureFixture) -> None:
    with Engine(PushSource("door"), stuck_after=6.0, **SETTINGS) as engine:
        assert engine.health().state in ("starting", "running")
        assert engine.wait_ready(120)
        engine.results()
        idle = engine.health()
        assert idle.ok, idle
        assert idle.cameras["door"].last_frame_age_s is None
        stopped = engine.worker_pids()["detect-0"]
        os.kill(stopped, signal.SIGSTOP)
        assert _wait_until(lambda: engine.health().workers["detect-0"].restarts == 1)
        assert "worker detect-0 died (it was stuck for" in caplog.text
        assert engine.push("door", images[0])
        assert _wait_until(lambda: engine.health().cameras["door"].last_frame_age_s is not None)
        age = engine.health().cameras["door"].last_frame_age_s
        assert age is not None
        assert 0 <= age < 60
        assert _wait_until(lambda: engine.health().workers["detect-0"].state == "running")
        assert engine.health().workers["detect-0"].pid != stopped
    assert engine.health().state == "ended"
    assert {worker.state for worker in engine.health().workers.values()} == {"ended"}


def test_the_event_callback_may_block_fail_and_change_the_sources(images: Images) -> None:
    reported: list[tuple[str, str]] = []
    blocked, go_on = threading.Event(), threading.Event()

    def note(event: CameraEvent) -> None:
        reported.append((event.camera, event.kind))
        if (event.camera, event.kind) == ("door", "started"):
            blocked.set()
            go_on.wait(60)
            engine.remove_source("door")
            raise ValueError("its own")
        if (event.camera, event.kind) == ("door", "ended"):
            engine.add_source(PushSource("yard", wait=True))

    with Engine(PushSource("door", wait=True), keep_open=True, on_event=note, **SETTINGS) as engine:
        results = engine.results()
        assert engine.push("door", images[0], timeout=60)
        assert next(results).camera == "door"
        assert blocked.wait(60)
        assert engine.push("door", images[1], timeout=60)
        assert next(results).frame == 1
        go_on.set()
        assert _wait_until(lambda: engine.cameras == ("yard",))
        assert engine.push("yard", images[0], timeout=60)
        assert next(results).camera == "yard"
        engine.stop()
        assert list(results) == []
    assert reported == [("door", "started"), ("door", "ended"), ("yard", "started"), ("yard", "ended")]


def test_adding_from_several_threads_gives_distinct_names() -> None:
    with Engine(keep_open=True, **SETTINGS) as engine:
        threads = [CheckedThread(lambda: engine.add_source(PushSource("door"))) for _ in range(8)]
        for thread in threads:
            thread.join()
        assert sorted(engine.cameras) == ["door", *(f"door-{number}" for number in range(2, 9))]


def test_remove_source_of_an_engine_that_was_not_started() -> None:
    with Engine(["demo", "demo"], max_frames=3) as engine:
        engine.remove_source("demo-2")
        assert {result.camera for result in engine.results()} == {"demo"}


def test_end_source_reaches_the_successor_of_a_dead_capture_worker() -> None:
    with Engine(["demo"], keep_open=True, **SETTINGS) as engine:
        [camera] = engine.cameras
        engine.subscribe(lambda result: None)
        assert engine.wait_ready(120)
        os.kill(engine.worker_pids()[f"capture-{camera}"], signal.SIGSTOP)
        engine.end_source(camera)  # what reaches the dead one is lost with it
        os.kill(engine.worker_pids()[f"capture-{camera}"], signal.SIGKILL)
        assert _wait_until(lambda: engine.health().cameras[camera].state == "ended")
