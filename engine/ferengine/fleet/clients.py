"""What waits on a node for the programs that collect results."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ferengine.fleet.outputs import BoundedQueue
from ferengine.fleet.records import Taken
from ferengine.results import FrameResult

_FORGOTTEN_SECONDS = 30.0
"""Seconds after which the queue of a client that takes nothing is given up."""


@dataclass(slots=True)
class _Client:
    """What waits for one client, how many results there had been before, and until when it is waited for."""

    queue: BoundedQueue
    cameras: frozenset[str] | None
    since: int
    asked: float = 0.0


class ClientQueues:
    """A bounded queue for each client, from its first question on.

    Results are numbered for each client by those of the cameras that it wants, from the first that there was: so it can count
    what it misses, also where its queue was given up meanwhile.

    Args:
        incarnation: Of the process that holds the engine.
        clock: Monotonic seconds.
    """

    def __init__(self, incarnation: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._incarnation = incarnation
        self._clock = clock
        self._began = clock()
        self._given: Counter[str] = Counter()
        self._clients: dict[str, _Client] = {}
        self._lock = threading.Lock()

    def put(self, result: FrameResult) -> None:
        """Give a result to all that want its camera; never blocks."""
        with self._lock:
            self._given[result.camera] += 1
            for name, client in list(self._clients.items()):
                if client.cameras is None or result.camera in client.cameras:
                    client.queue.put(result)
                if self._clock() > client.asked + _FORGOTTEN_SECONDS:
                    del self._clients[name]  # it counts what it misses by the numbers, should it ask again

    def take(self, client: str, cameras: frozenset[str] | None, queue: int, maximum: int, timeout: float) -> Taken:
        """Take results for one client.

        Args:
            client: Who asks.
            cameras: The names of the cameras that are wanted, ``None`` for all; they count from the first call on.
            queue: How many may wait; the oldest are dropped.
            maximum: How many to return.
            timeout: Seconds to wait for the first.
        """
        with self._lock:
            known = self._clients.get(client)
            if known is None:
                since = sum(count for camera, count in self._given.items() if cameras is None or camera in cameras)
                known = self._clients[client] = _Client(BoundedQueue(queue), cameras, since)
            known.asked = self._clock() + timeout
        results, passed = known.queue.take_many(maximum, timeout)
        return Taken(results, known.since, known.since + passed, self._incarnation, self._clock() - self._began)
