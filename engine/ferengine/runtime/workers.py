"""The worker processes of a run: started, watched, replaced when they die or hang, collected at the end."""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ferengine.config import EngineConfig
from ferengine.ipc.machine import GPU_LOST
from ferengine.ipc.process import WorkerProcess
from ferengine.stages.codec import decode_control, encode_control
from ferengine.stages.messages import ControlMessage, Finish, ToWorker

_MEMORY_EVERY = 1.0
_MAX_PAUSE = 2.0
LEAVE = 0.7
"""Seconds that workers with nothing left to do get to end before they are killed."""

log = logging.getLogger("ferengine")

Worker: TypeAlias = WorkerProcess[ToWorker]


def new_worker(name: str, title: str | None = None) -> Worker:
    """A worker that is not started yet; which stage it runs its first message says."""
    return WorkerProcess(name, "ferengine.stages.worker", encode_control, title)


def pause_before_replacing(deaths: int) -> float:
    """Seconds between the death of a worker and the start of its successor, after so many deaths in a row: 0.05, doubled with
    each further one, up to 2."""
    return float(min(_MAX_PAUSE, 0.05 * 2 ** min(deaths - 1, 10)))


@dataclass(frozen=True, slots=True)
class WorkerCallbacks:
    """What the manager reports.

    Attributes:
        launch: Starts the process of a worker, and sends what it has to know.
        on_message: A control message came.
        on_failed: A worker was given up for good: the class of the error and its text.
        before_replacing: A dead worker is about to be started again.
        on_started: A worker has been started.
        progress: How far a worker has come, a number that grows with its work; None where it is not known.
    """

    launch: Callable[[Worker], None]
    on_message: Callable[[Worker, ControlMessage], None]
    on_failed: Callable[[Worker, str, str], None]
    before_replacing: Callable[[Worker], None]
    on_started: Callable[[Worker], None]
    progress: Callable[[Worker], int | None]


class WorkerManager:
    """Keeps the workers alive.

    Belongs to the supervisor's thread: the kernel ties the children's lives to the thread that starts them.

    Args:
        workers: All workers that there are now.
        config: Settings of the run.
        selector: Where control sockets and process descriptors are watched.
        callbacks: What is reported.
    """

    def __init__(
        self,
        workers: Callable[[], Sequence[Worker]],
        config: EngineConfig,
        selector: selectors.BaseSelector,
        callbacks: WorkerCallbacks,
    ) -> None:
        self.stopping = False
        self._workers = workers
        self._config = config
        self._selector = selector
        self._callbacks = callbacks
        self._respawn_at: dict[Worker, float] = {}
        self._kill_at: dict[Worker, float] = {}
        self._deaths_at: dict[Worker, tuple[int, int]] = {}
        self._next_memory = 0.0

    def start(self, worker: Worker) -> None:
        """Start the process of ``worker``. Raises MemoryError or OSError where the system refuses it."""
        self._callbacks.launch(worker)
        control = worker.control
        assert control is not None
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        control.on_blocked = lambda: self._watch(worker, both)
        self._selector.register(control, both if control.unsent else selectors.EVENT_READ, worker)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        self._callbacks.on_started(worker)

    def handle(self, worker: Worker, descriptor: int, events: int) -> None:
        """One of the worker's two descriptors is ready."""
        if descriptor == worker.pidfd:
            self._collect(worker)
            return
        if events & selectors.EVENT_WRITE and worker.flush():
            self._watch(worker, selectors.EVENT_READ)
        if events & selectors.EVENT_READ:
            self._read_control(worker)

    def watch(self) -> None:
        """Replace, kill and measure what is due."""
        now = time.monotonic()
        for worker in [worker for worker, due in self._respawn_at.items() if due <= now]:
            del self._respawn_at[worker]
            self._callbacks.before_replacing(worker)
            self.start(worker)
        for worker in [worker for worker, due in self._kill_at.items() if due <= now]:
            del self._kill_at[worker]
            worker.kill()
        if now >= self._next_memory:
            self._next_memory = now + _MEMORY_EVERY
            for worker in self._workers():
                worker.sample_memory()
                if worker.stuck(now, self._config.stuck_after):
                    silent = worker.silent_for(now)
                    log.warning("worker %s has been stuck for %.0f s: killing it", worker.name, silent)
                    worker.kill(f"it was stuck for {silent:.0f} s and killed")

    def finish(self, worker: Worker) -> None:
        """Nothing further comes for it: let it do what waits for it, and end. It is replaced as before if it dies or hangs."""
        worker.finishing = True
        worker.send(Finish())

    def _deaths_without_progress(self, worker: Worker) -> int:
        """Count a death now; how many there were, however slow, since the worker last got further."""
        progress = self._callbacks.progress(worker)
        if progress is None:
            return 0
        before, deaths = self._deaths_at.get(worker, (progress, 0))
        deaths = deaths + 1 if progress == before else 1
        self._deaths_at[worker] = progress, deaths
        return deaths

    def dismiss(self, worker: Worker) -> None:
        """It is not needed any more: let it finish, and kill it if it takes too long."""
        worker.finished = True
        self._respawn_at.pop(worker, None)
        if worker.alive:
            worker.sample_memory()
            worker.send(Finish())
            self._kill_at[worker] = time.monotonic() + LEAVE

    def end_all(self, patience: float, poll: Callable[[], None]) -> None:
        """Dismiss all workers, kill those that do not leave, and reap them.

        Args:
            patience: Seconds that they get to leave.
            poll: Waits a moment for messages and deaths, and handles them; handles its own errors.
        """
        self.stopping = True
        deadline = time.monotonic() + patience
        try:
            for worker in self._workers():
                self.dismiss(worker)
            while any(worker.alive for worker in self._workers()):
                if time.monotonic() >= deadline:
                    for worker in self._workers():
                        worker.kill()
                poll()
        finally:
            for worker in self._workers():
                if worker.alive:
                    worker.kill()
                    worker.reap()

    def _watch(self, worker: Worker, events: int) -> None:
        if worker.control is not None and worker.control.fileno() in self._selector.get_map():
            self._selector.modify(worker.control, events, worker)

    def _read_control(self, worker: Worker) -> None:
        assert worker.control is not None
        try:
            messages = worker.control.receive()
        except EOFError:
            self._selector.unregister(worker.control)  # its death shows at the process descriptor
            return
        for data, descriptors in messages:
            try:
                message = decode_control(data, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            self._callbacks.on_message(worker, message)

    def _collect(self, worker: Worker) -> None:
        """A worker process has ended: read its last messages, reap it and, unless it was done, replace it."""
        assert worker.control is not None
        if worker.control.fileno() in self._selector.get_map():
            self._read_control(worker)  # may raise: the process is then reaped at the end
        if worker.control.fileno() in self._selector.get_map():
            self._selector.unregister(worker.control)
        self._selector.unregister(worker.pidfd)
        code = worker.reap()
        if code == GPU_LOST:
            worker.gpu_losses += 1
        worker.close()
        self._kill_at.pop(worker, None)
        if worker.finishing and code == 0:
            worker.finished = True
        if worker.finished or self.stopping:
            return
        deaths = max(worker.deaths_in_a_minute(), self._deaths_without_progress(worker))
        how = worker.cause(code)
        limit = self._config.restart_limit if worker.was_ready else min(1, self._config.restart_limit)
        if deaths > limit:
            text = (
                f"worker {worker.name} died {deaths} times in a minute or without getting any further (last: {how}); see its "
                "messages above"
            )
            self._callbacks.on_failed(worker, "WorkerError", text)
            return
        log.warning("worker %s died (%s): replacing it", worker.name, how.partition(",")[0])
        self._respawn_at[worker] = time.monotonic() + pause_before_replacing(deaths)
