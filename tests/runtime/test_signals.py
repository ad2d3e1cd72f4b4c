"""Waits of the caller's thread that a signal can end."""

from __future__ import annotations

import sys
import threading

import pytest

from ferengine import Engine
from ferengine.runtime.subscriptions import wait_in_slices


@pytest.mark.parametrize("timeout", [None, 0.7, 0.0])
def test_wait_in_slices(timeout: float | None) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return timeout is None and len(waits) == 5

    assert wait_in_slices(wait, timeout) == (timeout is None)
    assert max(waits) <= 0.25
    assert len(waits) == 5 if timeout is None else waits


def test_the_callers_thread_never_waits_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes just before a wait begins is handled only when the wait is over: a run whose camera hangs while it is
    opened could not be stopped."""
    unlimited: list[str] = []

    class Condition(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            callers = (sys._getframe(1).f_code.co_name, sys._getframe(2).f_code.co_name)
            short = "start" in callers or callers == ("result", "call")  # of a thread; an answer of the supervisor's
            if timeout is None and threading.current_thread() is threading.main_thread() and not short:
                unlimited.append(" < ".join(callers))
            return super().wait(timeout)

    join = threading.Thread.join

    def noted_join(self: threading.Thread, timeout: float | None = None) -> None:
        if timeout is None and threading.current_thread() is threading.main_thread():
            unlimited.append(f"join {self.name}")
        join(self, timeout)

    monkeypatch.setattr(threading, "Condition", Condition)
    monkeypatch.setattr(threading.Thread, "join", noted_join)
    callback: list[int] = []
    with Engine("demo", max_frames=12) as engine:
        subscription = engine.subscribe(lambda result: callback.append(result.frame))
        assert engine.wait_ready()
        assert [result.frame for result in engine.results()] == list(range(12))
        assert engine.wait()
        assert subscription.join()
    assert callback == list(range(12))
    assert unlimited == []
