"""The state of a run, and work for another thread."""

from __future__ import annotations

import errno
import gc
import os
import re
import select
import threading
from pathlib import Path

import pytest

from ferengine.config import make_config
from ferengine.engine import Engine
from ferengine.errors import EngineStoppedError, FerengineError, SourceError, WorkerError
from ferengine.models.manifest import CropFormat
from ferengine.runtime.cameras import Cameras
from ferengine.runtime.state import BackgroundThread, Executor, RunState, WakePipe
from ferengine.runtime.topology import Topology, make_plan
from threads_help import CheckedThread


def test_before_the_start_callers_work_themselves() -> None:
    executor = Executor(lambda: None)
    assert executor.call(threading.get_ident) == threading.get_ident()


def test_afterwards_another_thread_works() -> None:
    woken = threading.Event()
    executor = Executor(woken.set)
    executor.open()
    answers: list[int] = []

    def call() -> None:
        answers.append(executor.call(threading.get_ident))
        with pytest.raises(ZeroDivisionError):
            executor.call(lambda: 1 // 0)

    caller = CheckedThread(call)
    while caller.is_alive():
        if woken.wait(0.05):
            woken.clear()
            executor.run()
    caller.join()
    assert answers == [threading.get_ident()]
    assert executor.call(threading.get_ident) == threading.get_ident()  # the worker itself does not wait for itself


def test_posted_work_is_done_later_and_its_errors_are_not_swallowed() -> None:
    executor, done = Executor(lambda: None), list[int]()
    executor.open()
    executor.post(lambda: done.append(1))
    assert done == []
    executor.run()
    executor.post(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        executor.run()
    executor.post(lambda: done.append(2))
    executor.close()
    assert done == [1, 2]
    executor.post(lambda: done.append(3))
    assert done == [1, 2, 3]
    with pytest.raises(EngineStoppedError):
        executor.call(lambda: None)


def test_a_background_thread_works_in_order_and_ends() -> None:
    thread, done, go_on = BackgroundThread("test"), list[int](), threading.Event()
    thread.close(1)  # it has not started
    thread.submit(lambda: go_on.wait(60))
    for number in range(5):
        thread.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == []
    go_on.set()
    thread.close(60)
    assert done == [0, 1, 2, 3, 4]


def test_a_wake_pipe_takes_any_number_of_notifications() -> None:
    pipe = WakePipe()
    for _ in range(100_000):  # more than a pipe holds
        pipe.notify()
    assert select.select([pipe], [], [], 0)[0] == [pipe]
    while select.select([pipe], [], [], 0)[0]:
        pipe.clear()
    pipe.notify()
    assert select.select([pipe], [], [], 0)[0] == [pipe]
    pipe.clear()
    assert select.select([pipe], [], [], 0)[0] == []
    pipe.close()
    pipe.notify()  # after the end, as finalisers do


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (SourceError("no source opens"), SourceError, "no source opens"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), WorkerError, "Too many open files"),
        (KeyError("odd"), WorkerError, "supervisor failed: KeyError\\('odd'\\); please report this"),
    ],
)
def test_abort_keeps_the_first_error_in_words(error: Exception, expected: type[FerengineError], text: str) -> None:
    config = make_config()
    cameras = Cameras(("happy",), (), config, trackers=1)
    topology = Topology(
        cameras, config, make_plan(1, config, cores=2), (CropFormat(48, "grey"),), None, {}, False, False, False
    )
    state = RunState(config, cameras, topology, keep_open=False)
    try:
        state.abort(error)
        state.abort(SourceError("later"))
        assert type(state.error) is expected
        assert re.search(text, str(state.error))
    finally:
        state.wake_pipe.close()
        topology.close()


def test_a_wake_pipe_that_nobody_closes_is_closed_with_its_owner() -> None:
    pipe = WakePipe()
    descriptor = pipe.fileno()
    os.fstat(descriptor)
    del pipe
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_an_engine_that_is_neither_started_nor_closed_leaves_no_descriptor() -> None:
    Engine("demo")
    gc.collect()
    before = descriptors()
    for _ in range(3):
        Engine("demo")
    gc.collect()
    assert descriptors() <= before


def test_a_notification_while_the_pipe_is_closed_writes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler may run between the closing of two descriptors, in the thread that holds the lock."""
    pipe = WakePipe()
    close, written = os.close, list[int]()

    def closing(descriptor: int) -> None:
        close(descriptor)
        pipe.notify()

    monkeypatch.setattr(os, "close", closing)
    monkeypatch.setattr(os, "write", lambda descriptor, _: written.append(descriptor))
    pipe.close()
    pipe.close()
    assert written == []


def test_work_posted_while_the_executor_closes_is_done() -> None:
    for _ in range(200):
        executor, done = Executor(lambda: None), list[int]()
        executor.open()
        barrier = threading.Barrier(2)

        def post(executor: Executor = executor, done: list[int] = done, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            for number in range(20):
                executor.post(lambda number=number: done.append(number))

        poster = CheckedThread(post)
        barrier.wait()
        executor.close()
        poster.join()
        assert sorted(done) == list(range(20))
