"""The worker processes of a run: started, watched, replaced when they die or hang, collected at the end."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ferengine.config import EngineConfig
from ferengine.ipc.process import WorkerProcess
from ferengine.runtime.topology import Topology

_MEMORY_EVERY = 1.0
LEAVE = 0.7
"""Seconds that workers get to close their files before they are killed."""

log = logging.getLogger("ferengine")


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the supervisor wants to be told: a control message of a worker, a worker given up for good (the class of
    the error and its text), a worker about to be replaced, and one that has been started."""

    message: Callable[[WorkerProcess, dict[str, Any]], None]
    failed: Callable[[WorkerProcess, str, str], None]
    before_replacing: Callable[[WorkerProcess], None]
    started: Callable[[WorkerProcess], None]


class Workforce:
    """Belongs to the supervisor's thread: the kernel ties the children's lives to the thread that starts them."""

    def __init__(self, topology: Topology, config: EngineConfig, selector: selectors.BaseSelector, tell: Handlers) -> None:
        self.stopping = False
        self._topology = topology
        self._config = config
        self._selector = selector
        self._tell = tell
        self._respawn_at: dict[WorkerProcess, float] = {}
        self._kill_at: dict[WorkerProcess, float] = {}
        self._next_memory = 0.0

    def start(self, worker: WorkerProcess) -> None:
        self._topology.start(worker)
        assert worker.control is not None
        self._selector.register(worker.control, selectors.EVENT_READ, worker)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        self._tell.started(worker)

    def handle(self, worker: WorkerProcess, descriptor: int) -> None:
        """One of the worker's two descriptors is readable."""
        if descriptor == worker.pidfd:
            self._bury(worker)
        else:
            self._read_control(worker)

    def watch(self) -> None:
        """Replace, kill and measure what is due."""
        now = time.monotonic()
        for worker in [worker for worker, due in self._respawn_at.items() if due <= now]:
            del self._respawn_at[worker]
            self._tell.before_replacing(worker)
            self.start(worker)
        for worker in [worker for worker, due in self._kill_at.items() if due <= now]:
            del self._kill_at[worker]
            worker.kill()
        if now >= self._next_memory:
            self._next_memory = now + _MEMORY_EVERY
            for worker in self._topology.workers:
                worker.sample_memory()
                if worker.stuck(now, self._config.stuck_after):
                    log.warning("worker %s has been stuck for %.0f s: killing it", worker.name, worker.silent_for(now))
                    worker.kill()

    def dismiss(self, worker: WorkerProcess) -> None:
        """It is not needed any more: let it finish, and kill it if it takes too long."""
        worker.finished = True
        self._respawn_at.pop(worker, None)
        if worker.alive:
            worker.sample_memory()
            worker.send({"op": "finish"})
            self._kill_at[worker] = time.monotonic() + LEAVE

    def _read_control(self, worker: WorkerProcess) -> None:
        assert worker.control is not None
        try:
            messages = worker.control.receive()
        except EOFError:
            self._selector.unregister(worker.control)  # its death is told by the process descriptor
            return
        for message, _ in messages:
            self._tell.message(worker, message)

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker process has ended: read its last words, collect it and, unless it was done, replace it."""
        assert worker.control is not None
        if worker.control.fileno() in self._selector.get_map():
            self._read_control(worker)  # may raise: the process is then collected at the end
        if worker.control.fileno() in self._selector.get_map():
            self._selector.unregister(worker.control)
        self._selector.unregister(worker.pidfd)
        code = worker.reap()
        worker.close()
        self._kill_at.pop(worker, None)
        if worker.finished or self.stopping:
            return
        deaths = worker.deaths_in_a_minute()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        limit = self._config.restart_limit if worker.was_ready else min(1, self._config.restart_limit)
        if deaths > limit:
            self._tell.failed(worker, "WorkerError", f"worker {worker.name} died {deaths} times in a minute (last: {how}); "
                              "see its messages above")  # fmt: skip
            return
        log.warning("worker %s died (%s): replacing it", worker.name, how)
        self._respawn_at[worker] = time.monotonic() + 0.05 * 2 ** (deaths - 1)
