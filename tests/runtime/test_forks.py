"""An engine that a process has inherited from its parent says so, and leaves the parent's alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import pytest

from ferengine import Engine
from ferengine.errors import EngineStoppedError


def in_child(work: Callable[[], object]) -> str:
    """What ``work`` raises in a forked child, and within a few seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}".encode()
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    deadline = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_every_call_in_a_forked_child_is_refused() -> None:
    with Engine("demo", max_frames=20) as engine:
        results = engine.results()
        callback = engine.subscribe(lambda result: None)
        first = next(results)
        calls: list[Callable[[], object]] = [
            engine.start,
            engine.wait_ready,
            engine.wait,
            engine.stop,
            engine.close,
            engine.__enter__,
            engine.results,
            engine.stream,
            lambda: engine.take(3),
            lambda: engine.subscribe(print),
            lambda: engine.cameras,
            lambda: engine.add_source("demo"),
            lambda: engine.end_source("demo"),
            lambda: engine.remove_source("demo"),
            lambda: engine.push("demo", np.zeros((8, 8, 3), np.uint8)),
            lambda: engine.failures,
            engine.health,
            engine.worker_pids,
            engine.summary,
            lambda: next(results),
            lambda: results.take(3),
            results.close,
            callback.cancel,
            callback.join,
        ]
        for call in calls:
            assert in_child(call).startswith(f"{EngineStoppedError.__name__}: this engine belongs to process {os.getpid()}")
        rest = [result.frame for result in results]
    assert (first.frame, rest) == (0, list(range(1, 20)))
    assert callback.delivered == 20


def test_an_engine_that_was_made_before_a_fork_is_not_started_after_it() -> None:
    engine = Engine("demo", max_frames=3)
    assert "make one after the fork" in in_child(engine.start)
    with engine:
        assert sum(1 for _ in engine.results()) == 3
