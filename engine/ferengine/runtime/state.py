"""What the parts of a running engine share, and the ways to have work done in another thread."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from ferengine.config import EngineConfig
from ferengine.errors import EngineStoppedError, FerengineError, WorkerError
from ferengine.ipc.process import refused
from ferengine.runtime.cameras import Cameras
from ferengine.runtime.metrics import RunMetrics
from ferengine.runtime.subscriptions import Subscriptions
from ferengine.runtime.topology import Topology

T = TypeVar("T")

log = logging.getLogger("ferengine")


class WakePipe:
    """Wakes a thread that sleeps in a selector; from any thread, signal handlers and finalisers included.

    One that is never closed is closed when it is collected.
    """

    def __init__(self) -> None:
        self._ends = list(os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        self._lock = threading.RLock()
        weakref.finalize(self, _close_ends, self._ends).atexit = False

    def fileno(self) -> int:
        return self._ends[0]

    def notify(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):  # full: awake anyway
            if self._ends:
                os.write(self._ends[1], b"x")

    def clear(self) -> None:
        """The thread is awake."""
        os.read(self._ends[0], 4096)

    def close(self) -> None:
        """Close both ends; later notifications do nothing."""
        with self._lock:
            _close_ends(self._ends)


def _close_ends(ends: list[int]) -> None:
    """Forget the ends before they are closed: a signal handler that notifies in between must not write to a number that
    stands for another file by then."""
    closing = ends[:]
    ends.clear()
    for descriptor in closing:
        os.close(descriptor)


class Executor:
    """Functions to be run by the supervisor's thread.

    Before that runs, the caller's thread runs them itself; after its end they are refused.

    Args:
        wake: Wakes the supervisor's thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Callable[[], Any], Future[Any] | None]] = deque()
        self._thread: int | None = None
        self._opened = self._closed = False

    def open(self) -> None:
        """From now on the supervisor's thread runs them."""
        with self._lock:
            self._opened = True

    def call(self, work: Callable[[], T]) -> T:
        """Run ``work``, wait for it, and return or raise what it does. Raises EngineStoppedError after the end."""
        with self._lock:
            if self._closed:
                raise EngineStoppedError("the engine has stopped: start a new one")
            if not self._opened or threading.get_ident() == self._thread:
                return work()
            future: Future[T] = Future()
            self._waiting.append((work, future))
        self._wake()
        return future.result()

    def post(self, work: Callable[[], object]) -> None:
        """Run ``work`` some time; after the end at once, in the caller's thread. Takes no lock: also for finalisers."""
        self._waiting.append((work, None))
        if self._closed:  # asked after the append: had it been before, the end might come between and leave ``work`` behind
            self._run_waiting()
        else:
            self._wake()

    def run(self) -> None:
        """Supervisor: run what waits. Raises what posted work raises."""
        self._thread = threading.get_ident()
        self._run_waiting()

    def close(self) -> None:
        """Supervisor: refuse what comes from now on; run what waits."""
        with self._lock:
            self._closed = True
        self.run()

    def _run_waiting(self) -> None:
        while True:
            try:
                work, future = self._waiting.popleft()
            except IndexError:  # also where another thread was faster, after the end
                return
            if future is None:
                work()
                continue
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)


class BackgroundThread:
    """Runs functions that may block, one after the other, in a daemon thread that begins with the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._submitted = self._done = 0

    def submit(self, work: Callable[[], object]) -> None:
        """Never blocks. ``work`` handles its own errors."""
        self._submitted += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._work.put(work)

    def close(self, timeout: float) -> None:
        """Wait until it has run everything, at most ``timeout`` seconds."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join(timeout)

    @property
    def pending(self) -> int:
        """Functions that have not returned."""
        return self._submitted - self._done

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in it."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._done += 1


class RunState:
    """One run of an engine, as its parts see it.

    The supervisor's thread alone changes what is here, except for the flags through which other threads speak to it
    and what they have the executor run.

    Attributes:
        config: Settings of the run.
        cameras, topology, subscriptions, metrics: Its parts.
        executor: Runs what other threads want done in the supervisor's.
        keep_open: Whether the run goes on without cameras.
        failures: What went wrong without ending the run.
        error: What ended it.
        ready: Set when all workers are, and at the end.
        finished: Set after the end, when nothing is left to be done.
        started: Whether the supervisor's thread has been started.
        consuming: Whether there is a consumer, so that capture may begin.
        stop_requested, kill_requested: Whether the run is to end, and at once.
        stopping: Whether it is ending.
    """

    def __init__(self, config: EngineConfig, cameras: Cameras, topology: Topology, *, keep_open: bool) -> None:
        self.config = config
        self.cameras = cameras
        self.topology = topology
        self.keep_open = keep_open
        self.subscriptions = Subscriptions()
        self.metrics = RunMetrics()
        self.failures: list[str] = []
        self.error: FerengineError | None = None
        self.ready = threading.Event()
        self.finished = threading.Event()
        self.started = self.consuming = False
        self.stop_requested = self.kill_requested = self.stopping = False
        self._process = os.getpid()
        self.wake_pipe = WakePipe()
        self.executor = Executor(self.wake)

    @property
    def ending(self) -> bool:
        """Whether the run is ending or has ended: nothing new is taken in."""
        return self.stopping or self.stop_requested

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that has made the engine: its threads are not here."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Raise EngineStoppedError in a forked process."""
        if self.is_inherited:
            raise EngineStoppedError(
                f"this engine belongs to process {self._process} and does not work in a fork of it: make one after the fork"
            )

    def wake(self) -> None:
        """Wake the supervisor's thread."""
        self.wake_pipe.notify()

    def consume(self) -> None:
        """There is a consumer: capture may begin."""
        if not self.consuming:  # asked before every result
            self.consuming = True
            self.wake()

    def stop(self, *, force: bool = False) -> None:
        """End the run, with ``force`` at once."""
        self.stop_requested = True
        self.kill_requested |= force
        self.wake()

    def note_failure(self, failure: str) -> None:
        """Something failed, and the run goes on."""
        self.failures.append(failure)
        log.error("%s", failure)

    def abort(self, error: Exception) -> None:
        """End the run with ``error``. One that was not foreseen is logged with its traceback, and becomes a WorkerError."""
        known = error if isinstance(error, FerengineError) else refused(error)
        if known is None:
            log.error("the supervisor failed", exc_info=error)
            known = WorkerError(f"the engine's supervisor failed: {error!r}; please report this")
        self.error = self.error or known
        self.wake()
