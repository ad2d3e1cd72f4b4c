"""Results of all nodes in one place, through bounded queues."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from ferengine.config import MAX_QUEUE
from ferengine.errors import UsageError, shown
from ferengine.fleet.cluster import FleetEndedError, FleetError, connected, find_actor
from ferengine.fleet.outputs import BoundedQueue
from ferengine.fleet.records import Taken
from ferengine.results import FrameResult
from ferengine.runtime.subscriptions import is_count

_LOOK = 0.5
"""Seconds between two looks for nodes that have joined."""
_AT_ONCE = 256
_POLL = 1.0
_ANSWER = 10.0
"""Seconds after which a node that does not answer is asked anew."""

log = logging.getLogger("ferengine")


class FleetResults:
    """The results of all cameras as they come, in order for each camera.

    Each call of ``Fleet.results`` makes one, with a queue on each node and one here. Where its reader is too slow the oldest
    results are dropped, and counted. A result that comes after a newer one of its camera, from the node before, is dropped
    too (``late``): numbers of a camera only grow.

    Args:
        engines: Returns the name of the engine's actor of each node.
        queue: How many results may wait, on each node and here.
        cameras: The names of the cameras that are wanted, or one name; ``None`` for all.

    Raises:
        UsageError: These are no names, or the queue has no room for a result.
    """

    def __init__(self, engines: Callable[[], dict[str, str]], queue: int, cameras: str | Iterable[str] | None) -> None:
        if not is_count(queue):
            raise UsageError(f"a queue holds 1 to {MAX_QUEUE} results, not {shown(queue)}")
        if not isinstance(cameras, Iterable | None):
            raise UsageError(f"cameras are a name or a sequence of names, not {shown(cameras)}")
        self.late = 0
        self._engines = engines
        self._capacity = queue
        self._cameras = frozenset([cameras] if isinstance(cameras, str) else cameras) if cameras is not None else None
        self._client = uuid.uuid4().hex
        self._queue = BoundedQueue(queue)
        self._newest: dict[str, int] = {}
        self._missed = 0
        self._began = time.monotonic()
        self._taken: dict[str, tuple[str, int]] = {}
        """Of each node: the engine's incarnation, and how many results it had given when it was asked last."""
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._look = threading.Thread(target=self._look_for_nodes, name="ferengine-fleet-collector", daemon=True)
        self._look.start()

    @property
    def dropped(self) -> int:
        """Results that full queues dropped, on the nodes and here, that were lost on the way, and those that came late. What a
        dead engine still had is not among them: nothing can count it."""
        return self._queue.dropped + self._missed + self.late

    @property
    def waiting(self) -> int:
        """Results in the queue here."""
        return self._queue.waiting

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            ``None`` where none came within ``timeout``.

        Raises:
            EOFError: After ``close``, and when the fleet has ended, by whatever program.
        """
        return self._queue.take(timeout)

    def close(self) -> None:
        """Take no more; may be called more than once."""
        self._over.set()
        self._queue.close()

    def __iter__(self) -> Iterator[FrameResult]:
        return self

    def __next__(self) -> FrameResult:
        try:
            result = self.take()
        except EOFError:
            raise StopIteration from None
        assert result is not None  # without a timeout
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_for_nodes(self) -> None:
        while not self._over.is_set():
            try:
                engines = self._engines()
            except FleetEndedError:
                self.close()
                return
            except Exception as error:  # of Ray: the coordinator is being restarted
                log.debug("the nodes are not known: %r", error)
                engines = {}
            for actor in engines.values():
                if actor not in self._threads or not self._threads[actor].is_alive():
                    thread = threading.Thread(target=self._poll, args=(actor,), name=f"ferengine-{actor}", daemon=True)
                    self._threads[actor] = thread
                    thread.start()
            self._over.wait(_LOOK)

    def _poll(self, name: str) -> None:
        """Take results of one node, until it is gone for good."""
        while not self._over.is_set():
            with contextlib.suppress(Exception):  # of Ray: it is being restarted, or its node is away
                actor = find_actor(name)
                if actor is None:
                    return
                while not self._over.is_set():
                    taken: Taken = ask(actor.take.remote(self._client, self._cameras, self._capacity, _AT_ONCE, _POLL), _ANSWER)
                    self._take_in(name, taken)
            self._over.wait(_LOOK)

    def _take_in(self, name: str, taken: Taken) -> None:
        """Take results of a node, and count those that are missing since the time before."""
        with self._lock:
            incarnation, before = self._taken.get(name, ("", 0))
            if incarnation != taken.incarnation:  # all of an engine that began after this reader were for it
                before = 0 if taken.age < time.monotonic() - self._began else taken.since
            self._missed += taken.until - before - len(taken.results)
            self._taken[name] = (taken.incarnation, taken.until)
        for result in taken.results:
            self._accept(result)

    def _accept(self, result: FrameResult) -> None:
        with self._lock:
            if result.frame <= self._newest.get(result.camera, -1):
                self.late += 1
                return
            self._newest[result.camera] = result.frame
            self._queue.put(result)


def ask(call: Any, timeout: float) -> Any:
    """The answer to a call of an actor. Raises FleetError where the cluster is left meanwhile."""
    try:
        return connected().get(call, timeout=timeout)
    except SystemExit:  # what Ray raises then in any thread but the main one
        raise FleetError("the cluster was left") from None
