"""The coordinator of a fleet, as a Ray actor: it keeps the lease table, saves it, and starts an engine on each node.

Ray restarts it when it dies. Its successor reads what it saved, and waits for one lease before it takes a camera from a node
that does not answer: so nodes may go on reading for as long as Ray says that there is none. Two coordinators cannot both give
cameras away: each confirms several times a lease that the store still names it as the last one, and answers no node without
that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferengine.errors import FerengineError, UsageError
from ferengine.fleet.cluster import NAMESPACE, engine_name, find_actor, import_ray, node_name, on_node, own_labels
from ferengine.fleet.leases import LeaseTable
from ferengine.fleet.load import node_capacity
from ferengine.fleet.node import NodeEngine, NodeSetup
from ferengine.fleet.reading import clock
from ferengine.fleet.records import Beat, FleetEvent, FleetHealth, Orders
from ferengine.fleet.store import FolderStore, KvStore, Store

EVENTS = 10_000
"""Events that are kept for clients."""
_HOLD = 0.1
"""Fraction of a lease for which the answer to a beat waits for something to say."""
_TICK = 0.1
_LOOK = 1.0
"""Seconds between two looks at Ray's nodes."""
_FENCE = 0.4
"""Fraction of a lease for which a confirmation of the store holds."""
_CALLS_AT_ONCE = 64
_RETRY_NODE = 30.0

log = logging.getLogger("ferengine")


@dataclass(frozen=True, slots=True)
class CoordinatorSetup:
    """What a coordinator needs to begin.

    Attributes:
        fleet: Name of the fleet.
        lease: Seconds that a node may read without an answer.
        hysteresis: See ``place``.
        state: A folder of the cluster's head to keep the state in; ``None`` for Ray's own store.
        gpus: GPUs that an engine takes on a node that has them.
        loopback: Whether the pages of nodes listen on this machine only.
        sealed: Settings of engines, outputs and pages, for the nodes.
    """

    fleet: str
    lease: float
    hysteresis: float
    state: str | None
    gpus: float
    loopback: bool
    sealed: bytes


class StaleCoordinatorError(FerengineError):
    """Another coordinator may have taken over, or the store cannot be reached."""


class Coordinator:
    """See the module. All its methods run on one event loop; the caretaker and the look for nodes are threads."""

    def __init__(self, setup: CoordinatorSetup) -> None:
        self._setup = setup
        self._kv = KvStore(setup.fleet)
        self._store: Store = self._kv if setup.state is None else FolderStore(Path(setup.state) / setup.fleet)
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._saved = -1
        self._events: deque[FleetEvent] = deque(maxlen=EVENTS)
        self._counted = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: dict[str, asyncio.Event] = {}
        self._tried: dict[str, float] = {}
        self._calls: dict[str, Any] = {}
        self._over = threading.Event()
        self._table = LeaseTable(setup.fleet, setup.lease, setup.hysteresis, time.time, self._note)
        self._number = int(self._store.load("coordinator") or b"0") + 1
        self._store.save("coordinator", str(self._number).encode())
        self._confirmed = clock()
        self._table.coordinator = self._number
        state = self._store.load("state")
        if state is not None:
            self._table.restore(state, clock(), setup.lease * (1 + _FENCE))
        for target in (self._take_care, self._look_for_nodes):
            threading.Thread(target=target, name=f"ferengine-fleet{target.__name__}", daemon=True).start()

    # --- what nodes call

    async def beat(self, beat: Beat) -> Orders:
        """Take in a node's sign of life; answers at once where there is something to do, else a little later."""
        await self._check_mine()
        loop = self._loop = asyncio.get_running_loop()
        woken = self._woken.setdefault(beat.node, asyncio.Event())
        with self._lock:
            renewed = self._table.beat(beat, clock())
            self._table.tick(clock())
        self._wake_waiting()
        if not renewed:
            return Orders({}, renewed=False)
        until = loop.time() + _HOLD * self._setup.lease
        while (left := until - loop.time()) > 0 and not self._over.is_set():
            with self._lock:
                if self._table.is_overtaken(beat) or self._table.differs(beat.node):
                    break
            woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), left)
        with self._lock:
            if self._table.is_overtaken(beat):
                orders = Orders({}, renewed=self._table.is_same_life(beat), overtaken=True)
            else:
                orders = self._table.orders(beat.node)
        await asyncio.to_thread(self._save)
        await self._check_mine()
        return orders

    # --- what users call

    async def add(self, request: str, name: str, sealed: bytes, affinity: Mapping[str, str]) -> None:
        """See ``LeaseTable``; so for the methods that follow. A ``request`` that comes again changes nothing."""
        await self._change(request, lambda table: table.add(name, sealed, affinity))

    async def replace(self, request: str, name: str, sealed: bytes, affinity: Mapping[str, str]) -> None:
        """Have a camera read from another source, or again."""
        await self._change(request, lambda table: table.replace(name, sealed, affinity))

    async def remove(self, request: str, name: str) -> None:
        """Remove a camera."""
        await self._change(request, lambda table: table.remove(name))

    async def move(self, request: str, name: str, node: str) -> None:
        """Have another node read a camera."""
        await self._change(request, lambda table: table.move(name, node, clock()))

    async def drain(self, request: str, node: str) -> None:
        """Move all cameras away from a node."""
        await self._change(request, lambda table: table.drain(node))

    async def resume(self, request: str, node: str) -> None:
        """Let a drained node read cameras again."""
        await self._change(request, lambda table: table.resume(node))

    async def health(self) -> FleetHealth:
        """How all nodes and cameras are doing."""
        with self._lock:
            return self._table.health(clock())

    async def events(self, life: int, after: int, wait: float) -> tuple[int, int, tuple[FleetEvent, ...]]:
        """Events after the first ``after`` of a life of the coordinator; waits for one up to ``wait`` seconds.

        Returns:
            Which life this is (from another one all events are new), the number of its events so far, and those after
            ``after`` that are still kept.
        """
        after = after if life == self._number else 0
        deadline = time.monotonic() + wait
        while self._counted <= after and time.monotonic() < deadline and not self._over.is_set():
            await asyncio.sleep(_TICK)
        with self._lock:
            new = min(self._counted - after, len(self._events))
            return self._number, self._counted, tuple(list(self._events)[len(self._events) - new :])

    async def engines(self) -> dict[str, str]:
        """The name of the engine's actor on each node that is not lost."""
        with self._lock:
            return {name: engine_name(self._setup.fleet, node_id) for name, node_id in self._table.nodes.items()}

    async def pid(self) -> int:
        """The process of this coordinator."""
        return os.getpid()

    async def stop(self) -> None:
        """Start no more engines, and answer no more beats."""
        self._over.set()
        self._wake_waiting()

    # --- within

    async def _change(self, request: str, change: Callable[[LeaseTable], None]) -> None:
        await self._check_mine()
        self._loop = asyncio.get_running_loop()
        with self._lock:
            self._table.change(request, change)
            self._table.tick(clock())
        await asyncio.to_thread(self._save)
        self._wake_waiting()

    def _note(self, event: FleetEvent) -> None:
        self._events.append(event)
        self._counted += 1

    async def _check_mine(self) -> None:
        if not self._over.is_set() and not self._is_confirmed:  # the caretaker is late
            await asyncio.to_thread(self._confirm, clock())
        if self._over.is_set() or not self._is_confirmed:
            raise StaleCoordinatorError("this coordinator has ended, or cannot reach the fleet's store")

    @property
    def _is_confirmed(self) -> bool:
        return clock() <= self._confirmed + _FENCE * self._setup.lease

    def _save(self) -> None:
        with self._saving:
            with self._lock:
                version = self._table.version
                data = None if version == self._saved else self._table.dump()
            if data is not None:
                self._store.save("state", data)
                self._saved = version

    def _wake_waiting(self) -> None:
        """Have all beats that wait look again. From the loop only."""
        for event in self._woken.values():
            event.set()

    def _take_care(self) -> None:
        while not self._over.wait(_TICK):
            try:
                asked = clock()
                if asked > self._confirmed + _FENCE * self._setup.lease / 4:
                    self._confirm(asked)
                with self._lock:
                    before = self._table.version
                    self._table.tick(clock())
                    changed = self._table.version != before
                if changed:
                    self._save()
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._wake_waiting)
            except Exception:  # of Ray or the store, which may be away for a while: nodes then get no answer
                log.exception("the coordinator of fleet %s could not do its work; it tries again", self._setup.fleet)
                self._over.wait(_LOOK)

    def _confirm(self, asked: float) -> None:
        """Ask the store who the last coordinator is."""
        last = int(self._store.load("coordinator") or b"0")
        if last < self._number:
            raise StaleCoordinatorError("the fleet's state cannot be found")  # its disk may be there again soon
        self._kv.load("coordinator")  # also where the state is in a folder: Ray must not take this coordinator for dead
        if last != self._number:
            self._over.set()
            raise StaleCoordinatorError(f"coordinator {last} has taken over from {self._number}")
        self._confirmed = max(self._confirmed, asked)  # an older question may be answered later

    def _look_for_nodes(self) -> None:
        """In a thread of its own: Ray may take seconds to answer while a node dies."""
        while not self._over.wait(_LOOK):
            try:
                self._start_engines()
            except Exception:
                log.exception("the engines of fleet %s could not be looked after; it is tried again", self._setup.fleet)

    def _start_engines(self) -> None:
        ray = import_ray()
        for node in ray.nodes():
            node_id = node["NodeID"]
            if not node["Alive"] or self._over.is_set() or self._is_busy(node_id, node):
                continue
            name = engine_name(self._setup.fleet, node_id)
            if find_actor(name) is not None:
                self._tried[node_id] = clock()  # Ray restarts it, but not one that could not begin: look again later
                continue
            self._tried[node_id] = clock()
            self._calls[node_id] = self._start_engine(ray, name, node)

    def _is_busy(self, node_id: str, node: Mapping[str, Any]) -> bool:
        """Whether the engine of a node runs, is being started, or has failed just before."""
        call = self._calls.get(node_id)
        if call is not None and call.done():
            del self._calls[node_id]
            error = call.exception()
            if error is not None:
                self._tried[node_id] = clock()
                with self._lock:
                    reason = " ".join(str(getattr(error, "cause", None) or error).split())[-300:]
                    self._note(FleetEvent("failed", time.time(), node=node_name(node), reason=reason))
            else:
                self._tried[node_id] = clock()
        return call is not None or clock() < self._tried.get(node_id, float("-inf")) + _RETRY_NODE

    def _start_engine(self, ray: Any, name: str, node: Mapping[str, Any]) -> Any:
        resources = node["Resources"]
        host = "127.0.0.1" if self._setup.loopback else node["NodeManagerAddress"]
        setup = NodeSetup(
            self._setup.fleet, node_name(node), node["NodeID"], own_labels(node), node_capacity(resources.get("CPU", 0.0)),
            self._setup.lease, host, self._setup.sealed,
        )  # fmt: skip
        actor = (
            ray.remote(NodeEngine)
            .options(
                name=name, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, max_restarts=-1,
                max_concurrency=_CALLS_AT_ONCE, num_cpus=0, num_gpus=min(self._setup.gpus, resources.get("GPU", 0.0)),
                scheduling_strategy=on_node(node["NodeID"]),
            )
            .remote(setup)
        )  # fmt: skip
        return actor.ready.remote().future()


def as_user_error(error: Exception) -> FerengineError | None:
    """The error of this package that a Ray task ended with, if it was one."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, UsageError):
        return UsageError(str(cause))
    return FerengineError(str(cause)) if isinstance(cause, FerengineError) else None
