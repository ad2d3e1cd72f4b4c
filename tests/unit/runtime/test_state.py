"""Work for another thread."""

from __future__ import annotations

import threading

import pytest

from ferengine.errors import EngineStoppedError
from ferengine.runtime.state import BackgroundThread, Executor, WakePipe
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
    for _ in range(100_000):
        pipe.notify()
    pipe.clear()
    pipe.close()
    pipe.notify()  # after the end, as finalisers do
