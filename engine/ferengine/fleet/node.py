"""The engine of one node, as a Ray actor: it asks the coordinator for orders, and reads what they say."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from ferengine.config import EngineConfig
from ferengine.engine import Engine
from ferengine.fleet.clients import ClientQueues
from ferengine.fleet.cluster import coordinator_name, engine_name, find_actor, import_ray, is_restarting
from ferengine.fleet.outputs import NodeOutputs, outputs_from
from ferengine.fleet.page_server import NodePage
from ferengine.fleet.reading import Readings, clock
from ferengine.fleet.records import Beat, FleetEvent, Orders, OutputReport, Taken
from ferengine.fleet.seal import Sealer, cluster_token
from ferengine.results import CameraEvent, FrameResult
from ferengine.sources import SourceSpec

_PAUSE = 0.02
"""Seconds between two beats at least."""
_OVERTAKE = 0.5
"""Fraction of a lease after which another beat is sent, although the one before was not answered."""
_RETRY = 0.2
_ALONE_SECONDS = 60.0
"""Seconds without a coordinator after which the engine ends: the program that made the fleet is gone."""
_EVENTS = 1000
"""Events that wait for a coordinator; then the oldest are dropped, and counted."""
_READY_SECONDS = 120.0

log = logging.getLogger("ferengine")


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """What an engine needs to begin.

    Attributes:
        fleet: Name of the fleet.
        node, node_id: The node, and Ray's id of it.
        labels: Of the node.
        capacity: CPU cores.
        lease: Seconds.
        host: The address under which other machines reach the node.
        sealed: Settings of engine, outputs and page.
    """

    fleet: str
    node: str
    node_id: str
    labels: Mapping[str, str]
    capacity: float
    lease: float
    host: str
    sealed: bytes


class NodeEngine:
    """An engine whose cameras the coordinator chooses. Its methods are called by Ray, each in a thread."""

    def __init__(self, setup: NodeSetup) -> None:
        token = cluster_token()
        assert token is not None  # or Ray would not have let this process in
        self._setup = setup
        self._sealer = Sealer(token)
        secret = self._sealer.open(setup.sealed)
        config = EngineConfig.model_validate_json(secret["settings"])
        values = {name: getattr(config, name) for name in config.model_fields_set}
        self._incarnation = uuid.uuid4().hex
        self._number = 0
        self._events: deque[FleetEvent] = deque()
        self._first_event = self._dropped_events = 0
        self._asked: Future[Orders] | None = None
        self._queues = ClientQueues(self._incarnation)
        self._turn = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._engine = Engine(keep_open=True, on_event=self._note_event, **values)
        prior = None if self._engine.prior is None else self._engine.prior.name
        self._outputs = NodeOutputs(outputs_from(secret["outputs"]), setup.node, prior)
        self._readings = Readings(self._engine, self._open_source, self._deliver, self._turn.set)
        self._engine.start()
        page = secret["page"]
        self._page = None if page is None else NodePage(self._engine, setup.host, page)
        self._thread = threading.Thread(target=self._run, name="ferengine-fleet-beats", daemon=True)
        self._thread.start()

    def ready(self) -> int:
        """Wait until the engine can read; returns the process id."""
        self._engine.wait_ready(_READY_SECONDS)
        return os.getpid()

    def take(self, client: str, cameras: frozenset[str] | None, queue: int, maximum: int, timeout: float) -> Taken:
        """Results for one client: see ``ClientQueues``."""
        return self._queues.take(client, cameras, queue, maximum, timeout)

    def worker_pids(self) -> dict[str, int]:
        """The engine's processes by name, this one included."""
        return {"engine": os.getpid(), **self._engine.worker_pids()}

    def stop(self) -> dict[str, OutputReport]:
        """Stop reading, write what the outputs have, and end the engine; returns how the outputs ended."""
        self._over.set()
        self._turn.set()
        self._thread.join(2 * self._setup.lease)
        if self._page is not None:
            self._page.close()
        self._readings.close()
        self._engine.close()
        self._outputs.close()
        return self._outputs.reports()

    # --- within

    def _open_source(self, sealed: bytes) -> SourceSpec:
        return SourceSpec.from_dict(self._sealer.open(sealed))

    def _note_event(self, event: CameraEvent) -> None:
        self._outputs.put_event(event)
        with self._lock:
            if len(self._events) == _EVENTS:
                self._events.popleft()
                self._first_event += 1
                self._dropped_events += 1
            self._events.append(
                FleetEvent(event.kind, event.timestamp, event.camera, self._setup.node, None, event.seconds, event.reason)
            )
        self._turn.set()

    def _deliver(self, result: FrameResult) -> None:
        self._outputs.put(result)
        self._queues.put(result)

    def _run(self) -> None:
        try:
            while not self._engine.wait_ready(_RETRY):
                if self._over.is_set():
                    return
            self._beat_until_stopped()
        except BaseException:
            log.exception("the engine of node %s has failed", self._setup.node)
            os._exit(1)  # Ray starts another

    def _beat_until_stopped(self) -> None:
        answered = time.monotonic()
        while not self._over.is_set():
            if self._engine.health().state in ("ended", "failed") or not self._readings.is_passing_on:
                raise RuntimeError("the engine has ended")
            try:
                coordinator = find_actor(coordinator_name(self._setup.fleet))
            except Exception as error:  # of Ray, whose head is out of reach: the lease says how long to go on reading
                log.debug("Ray does not answer: %r", error)
                self._over.wait(_RETRY)
                continue
            if coordinator is None:
                if time.monotonic() > answered + _ALONE_SECONDS:
                    self._leave()
                    return
                self._over.wait(_RETRY)
                continue
            answered = time.monotonic()
            try:
                while not self._over.is_set():
                    self._beat(coordinator)
                    answered = time.monotonic()
            except Exception as error:  # of Ray: the coordinator is being restarted, or out of reach
                log.debug("the coordinator does not answer: %r", error)
                self._hold_on(coordinator)
                self._over.wait(_RETRY)

    def _hold_on(self, coordinator: Any) -> None:
        """Go on reading while Ray says that the coordinator is being restarted: there is none that could give cameras away, and
        its successor begins with the leases that it finds."""
        asked = clock()
        with contextlib.suppress(Exception):  # of Ray, whose head is out of reach: then the lease ends
            if is_restarting(coordinator):
                self._readings.extend(asked + self._setup.lease)

    def _beat(self, coordinator: Any) -> None:
        """One beat and its answer; another beat may overtake it, when there is something to say at once."""
        if self._engine.health().state in ("ended", "failed") or not self._readings.is_passing_on:
            raise RuntimeError("the engine has ended")
        self._turn.clear()
        beat, sent = self._make_beat(), clock()
        answer = self._asked = coordinator.beat.remote(beat).future()
        answer.add_done_callback(partial(self._take_answer, sent))
        self._turn.wait(_OVERTAKE * self._setup.lease)  # without an answer another beat may have more luck
        if answer.done():
            self._obey(beat, answer.result(), sent)
        time.sleep(_PAUSE)

    def _take_answer(self, sent: float, answer: Future[Orders]) -> None:
        if answer.exception() is None and answer.result().renewed:  # also where another beat was sent meanwhile
            self._readings.extend(sent + self._setup.lease)
        if answer is self._asked:
            self._turn.set()

    def _make_beat(self) -> Beat:
        current, released = self._readings.reports()
        prepared = self._readings.prepared()
        with self._lock:
            self._number += 1
            events, first, dropped = tuple(self._events), self._first_event, self._dropped_events
        return Beat(
            self._setup.node, self._setup.node_id, self._incarnation, self._number, current, self._setup.capacity,
            self._readings.load_of_others, self._setup.labels, prepared, released,
            None if self._page is None else self._page.url, self._readings.stale, self._outputs.reports(), events,
            first, dropped,
        )  # fmt: skip

    def _obey(self, beat: Beat, orders: Orders, sent: float) -> None:
        if not orders.renewed or orders.overtaken:
            return
        self._readings.forget(beat.released)
        with self._lock:
            known = beat.first_event + len(beat.events)
            while self._events and self._first_event < known:
                self._events.popleft()
                self._first_event += 1
        self._readings.obey(orders.grants, orders.prepare, sent + self._setup.lease)

    def _leave(self) -> None:
        """There is no coordinator left to say what to read."""
        log.warning("there has been no coordinator for %.0f s: the engine of node %s ends", _ALONE_SECONDS, self._setup.node)
        for part in (self._readings, self._engine, self._outputs):
            try:
                part.close()
            except Exception:
                log.exception("a part of the engine of node %s did not end", self._setup.node)
        actor = find_actor(engine_name(self._setup.fleet, self._setup.node_id))
        if actor is not None:
            import_ray().kill(actor, no_restart=True)
