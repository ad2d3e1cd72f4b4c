"""The run of an engine: its start, its end, and waiting for either."""

from __future__ import annotations

import time
from inspect import isasyncgenfunction, iscoroutinefunction

import numpy as np

from ferengine.errors import EngineStoppedError, UsageError, shown
from ferengine.runtime.consumers import CallbackSubscription
from ferengine.runtime.ending import STOP_OUTPUTS
from ferengine.runtime.state import RunState
from ferengine.runtime.subscriptions import deadline_after, wait_in_slices
from ferengine.runtime.supervisor import Supervisor

_CALLBACKS_END = 2.0
"""Seconds that ``close`` gives a callback to return, after the last worker has ended."""


def check_flags(**flags: object) -> None:
    """Raise UsageError for one that is no boolean: a text such as "no" would count as true."""
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise UsageError(f"{name} is True or False, not {shown(value)}")


def check_callback(callback: object, what: str) -> None:
    """Raise UsageError for what cannot be called, and for an ``async`` function, which nothing would await.

    Args:
        callback: What was given.
        what: What it should be, for the message.
    """
    if not callable(callback):
        raise UsageError(f"{what}, not {type(callback).__name__}")
    if any(
        is_async(each) for is_async in (iscoroutinefunction, isasyncgenfunction) for each in (callback, type(callback).__call__)
    ):
        raise UsageError(f"{what}, not an async one: it is called in a thread, where nothing awaits it")


class EngineRun:
    """The part of ``Engine`` that starts and ends the run."""

    _supervisor: Supervisor
    _run: RunState
    _callbacks: list[CallbackSubscription]
    _closed = False

    def start(self) -> None:
        """Start the workers; capture begins once they are ready and there is a consumer.

        Raises:
            EngineStoppedError: The engine has been closed, or was made by the process that this one was forked from (so
                says every method).
        """
        if self._closed:
            raise EngineStoppedError("the engine has been closed: make a new one")
        self._start()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Start the workers, and wait until all of them are ready.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            False where that took longer, or the run was stopped before.

        Raises:
            FerengineError: What prevents it, such as SourceError when no source opens.
        """
        self._start()
        over = wait_in_slices(self._state.ready.wait, timeout)
        if self._state.error is not None:
            raise self._state.error
        return over and self._state.metrics.startup_s > 0

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all sources have ended and all callbacks have had everything.

        Sources also run where there is no consumer, for ``save`` alone.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            False where that took longer.

        Raises:
            FerengineError: What ended the run: SourceError when no source opens, WorkerError when workers keep dying.
        """
        deadline = deadline_after(timeout)

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        self._state.subscriptions.unattended = True
        self._consume()
        over = self._supervisor.join(left()) and all(callback.join(left()) for callback in self._callbacks)
        if over and self._state.error is not None:
            raise self._state.error
        return over

    def stop(self, *, force: bool = False) -> None:
        """End the run: frames on their way still come out (for up to three seconds), and outputs are finished (up to five).

        What is cut off then is counted in ``summary`` and named in ``failures``. May be called from another thread, a
        callback or a signal handler, and more than once.

        Args:
            force: End it at once.
        """
        check_flags(force=force)
        self._state.stop(force=force)

    def close(self) -> None:
        """Stop, and wait until no worker is left. What still waits for an iterator or stream is dropped.

        Callbacks are still called with what waits for them: for as long as they take results if the run has come to its own
        end, else for five seconds. What is cut off then is counted, logged and in ``failures``.
        """
        self._closed = True
        natural = self._state.finished.is_set() and not self._state.stop_requested
        deadline = time.monotonic() + STOP_OUTPUTS
        called = [callback.subscription for callback in self._callbacks]
        for subscription in self._state.subscriptions.all:
            if subscription not in called:
                subscription.discard()
        self._state.stop()
        if not self._supervisor.close_unstarted():
            self._supervisor.join()
        for callback in self._callbacks:
            left = max(_CALLBACKS_END, deadline - time.monotonic())
            failure = callback.finish(self._state.config.stuck_after if natural else left, extended=natural)
            if failure is not None:
                self._state.note_failure(failure)

    @property
    def _state(self) -> RunState:
        """The run. Raises EngineStoppedError in a forked process, whatever is asked of it."""
        self._run.check_process()
        return self._run

    def _start(self) -> None:
        """Start the run unless it has been started, or is over."""
        self._state.check_process()
        self._supervisor.start()

    def _consume(self) -> None:
        self._start()
        self._state.consume()
