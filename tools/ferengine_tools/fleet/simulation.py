"""A discrete-event simulation of a fleet: the real placement, simulated time, nodes that die, hang and are drained."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ferengine.fleet.load import HEADROOM, smooth_load
from ferengine.fleet.placement import CameraDemand, place
from ferengine_tools.fleet.world import DAY, Fleet, World

_HOUR = 3600.0
_BEAT = 0.1
"""Time between two beats of a node, as a fraction of the lease."""
_MARGIN = 0.05
"""Fraction of a lease that the coordinator waits longer."""
_STOP = 1.0
"""Seconds before the end of its lease in which a node stops reading."""
_RACK = 8
"""Nodes that a rack takes with it."""


@dataclass(frozen=True)
class Operation:
    """How a fleet is run, and what fails in it.

    Attributes:
        days: Length of the simulation.
        hysteresis: Of the placement.
        balance_seconds: Time between two measurements, each followed by a placement.
        lease: Seconds after which the cameras of a node that does not answer, for whatever reason, are given to others. Nodes
            that get no answer themselves stop reading shortly before.
        opening: Mean seconds from a node's order until a camera gives results (exponential, on top of half a second).
        openings: Cameras that a node opens at once.
        days_between_failures: Of one node, mean.
        days_between_rack_failures: Of all racks together, mean.
        days_between_head_failures: Mean. While the head is away nothing is placed, and no lease is renewed.
        head_seconds: Time until the head and the coordinator are back.
        repair_minutes: Mean time until a failed node is back, a minute at least.
        drains_at_once: Nodes drained at once, between two and five at night, each once a week.
    """

    days: float = 7.0
    hysteresis: float = 0.2
    balance_seconds: float = 300.0
    lease: float = 5.0
    opening: float = 1.0
    openings: int = 4
    days_between_failures: float = 30.0
    days_between_rack_failures: float = 3.0
    days_between_head_failures: float = 30.0
    head_seconds: float = 30.0
    repair_minutes: float = 30.0
    drains_at_once: int = 4


@dataclass(frozen=True)
class Recovery:
    """How long cameras were not read after a failure, in seconds; a camera that no node could read waits for a repair.

    Attributes:
        cameras: How many times a camera had to recover.
        median: Of these times.
        p99: Of these times.
        worst: Of these times.
    """

    cameras: int
    median: float
    p99: float
    worst: float


@dataclass(frozen=True)
class Outcome:
    """What a simulation brought.

    Attributes:
        moves: A day, by reason.
        moves_per_camera: A day, for balance and drains: what planned work costs a camera.
        node_failures: In all, those of racks included.
        drains: In all.
        head_failures: In all.
        recoveries: By what failed: a node, a rack or the head, or a node while the head was away.
        spread: Mean over time of the standard deviation of the utilizations of the nodes that run.
        highest: Utilization of the fullest node: the mean over time.
        above: Fraction of node-hours above the capacity, in percent (which leaves a fifth of the cores).
        full: Fraction of node-hours in which the cameras needed more than all cores, in percent: frames were dropped.
        unread: Camera-time without results because of failures, in parts per million.
        still_unread: Cameras that were not read when the simulation ended.
    """

    moves: dict[str, float]
    moves_per_camera: float
    node_failures: int
    drains: int
    head_failures: int
    recoveries: dict[str, Recovery]
    spread: float
    highest: float
    above: float
    full: float
    unread: float
    still_unread: int


@dataclass(frozen=True)
class Cost:
    """CPU time of `place`, in seconds; not the same in two runs."""

    calls: int
    mean: float
    worst: float


class Simulation:
    """One fleet over some days.

    Example:
        >>> small = Simulation(Fleet(nodes=6, cameras=60, sites=2), Operation(days=0.05, days_between_failures=0.1))
        >>> small.run().still_unread <= 60
        True
    """

    def __init__(self, fleet: Fleet, operation: Operation) -> None:
        self._fleet, self._operation = fleet, operation
        self._world = World(fleet)
        self._failures = np.random.default_rng([fleet.seed, 3])  # the same for every hysteresis
        self._delays = np.random.default_rng([fleet.seed, 4])
        self._nodes = list(self._world.nodes)  # as the coordinator knows them
        self._up = [True] * fleet.nodes  # as they are
        self._idle_at = [[0.0] * operation.openings for _ in self._nodes]  # when each may open another camera
        self._index = {node.name: i for i, node in enumerate(self._nodes)}
        self._camera = {name: i for i, name in enumerate(self._world.names)}
        self._assigned: dict[str, str] = {}
        self._since: dict[str, tuple[float, str]] = {}  # the cameras that are not read: since when, and why
        self._epoch = [0] * fleet.cameras
        self._loads = self._world.loads(0.0)
        self._smooth = self._loads
        self._head = True
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._moves: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._recoveries: dict[str, list[float]] = {}
        self._samples: list[tuple[float, float, float, float]] = []
        self._cpu: list[float] = []

    @property
    def cost(self) -> Cost:
        """What the placements cost until now."""
        return Cost(len(self._cpu), float(np.mean(self._cpu)), max(self._cpu))

    def run(self, report: Callable[[float], None] = lambda done: None) -> Outcome:
        """Simulate all days.

        Args:
            report: Called before each event with the fraction of the time that is over, from 0 to 1.
        """
        operation, fleet = self._operation, self._fleet
        self._place(at_start=True)
        end = operation.days * DAY
        self._schedule(operation.balance_seconds, self._measure)
        for node in range(fleet.nodes):
            self._schedule(self._wait(operation.days_between_failures), lambda node=node: self._fail_alone(node))  # type: ignore[misc]
        self._schedule(self._wait(operation.days_between_rack_failures), self._fail_rack)
        self._schedule(self._wait(operation.days_between_head_failures), self._fail_head)
        self._plan_drains(end)
        while self._events and self._events[0][0] <= end:
            self._now, _, event = heapq.heappop(self._events)
            report(self._now / end)
            event()
        self._now = end
        return self._outcome()

    def _schedule(self, after: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + after, next(self._order), event))

    def _wait(self, days: float) -> float:
        return float(self._failures.exponential(days * DAY))

    # what the coordinator does

    def _measure(self) -> None:
        self._loads = self._world.loads(self._now)
        kept = smooth_load(1.0, 0.0, self._operation.balance_seconds)
        self._smooth = self._loads + (self._smooth - self._loads) * kept
        self._sample()
        self._place()
        self._schedule(self._operation.balance_seconds, self._measure)

    def _place(self, at_start: bool = False) -> None:
        if not self._head:
            return
        names, affinity = self._world.names, self._world.affinity
        cameras = [CameraDemand(names[i], load, affinity[i]) for i, load in enumerate(self._smooth.tolist())]
        began = time.process_time()
        placement = place(self._nodes, cameras, self._assigned, self._operation.hysteresis)
        self._cpu.append(time.process_time() - began)
        if at_start:
            self._assigned = dict(placement.assignments)
            return
        self._moves.update(move.reason for move in placement.moves)
        changed = [move.camera for move in placement.moves]
        changed += [name for name in placement.assignments if name not in self._assigned]
        self._assigned = dict(placement.assignments)
        for name in changed:
            self._open(name)

    def _open(self, name: str) -> None:
        """Have a node open a camera with its next beat, after those that it opens already."""
        camera, node = self._camera[name], self._index[self._assigned[name]]
        self._epoch[camera] += 1
        if not self._up[node]:
            self._since.setdefault(name, (self._now, "node"))
            return
        ordered = self._now + self._delays.random() * _BEAT * self._operation.lease
        start = max(ordered, self._idle_at[node][0])
        ready = start + 0.5 + float(self._delays.exponential(self._operation.opening))
        heapq.heapreplace(self._idle_at[node], ready)
        epoch = self._epoch[camera]
        self._schedule(ready - self._now, lambda: self._opened(name, epoch))

    def _opened(self, name: str, epoch: int) -> None:
        node = self._assigned.get(name)
        if epoch != self._epoch[self._camera[name]] or node is None or not self._up[self._index[node]]:
            return
        since = self._since.pop(name, None)
        if since is not None:
            self._recoveries.setdefault(since[1], []).append(self._now - since[0])

    # what happens to nodes

    def _fail_alone(self, node: int) -> None:
        self._fail(node, "node")
        self._schedule(self._wait(self._operation.days_between_failures), lambda: self._fail_alone(node))

    def _fail_rack(self) -> None:
        """Fail several nodes of one site at once, as a power supply or a switch does."""
        site = int(self._failures.integers(self._fleet.sites))
        there = [i for i in range(self._fleet.nodes) if i % self._fleet.sites == site]
        for node in self._failures.choice(there, min(_RACK, len(there)), replace=False).tolist():
            self._fail(node, "rack")
        self._schedule(self._wait(self._operation.days_between_rack_failures), self._fail_rack)

    def _fail(self, node: int, how: str) -> None:
        if not self._up[node]:
            return
        operation = self._operation
        self._counts["failures"] += 1
        self._stop(node, how if self._head else "head and node")
        last_beat = self._failures.random() * _BEAT * operation.lease
        self._schedule(operation.lease * (1 + _MARGIN) - last_beat, lambda: self._lose(node))
        repaired = 60 + float(self._failures.exponential(60 * operation.repair_minutes))
        self._schedule(max(repaired, 2 * operation.lease), lambda: self._start(node))

    def _lose(self, node: int) -> None:
        """Take a lease that is over from a node; a coordinator that was away grants each node one more."""
        if not self._up[node]:
            self._know(node, alive=False)

    def _stop(self, node: int, how: str) -> None:
        self._up[node] = False
        name = self._nodes[node].name
        for camera, at in self._assigned.items():
            if at == name:
                self._since.setdefault(camera, (self._now, how))

    def _start(self, node: int) -> None:
        if not self._head:  # nothing can join
            self._schedule(1, lambda: self._start(node))
            return
        self._up[node] = True
        self._idle_at[node] = [self._now] * self._operation.openings
        self._know(node, alive=True, draining=False)
        for camera, at in self._assigned.items():
            if at == self._nodes[node].name:  # no other node may read it
                self._open(camera)

    def _know(self, node: int, **state: bool) -> None:
        self._nodes[node] = dataclasses.replace(self._nodes[node], **state)  # type: ignore[arg-type]
        self._place()

    def _fail_head(self) -> None:
        operation = self._operation
        self._counts["head failures"] += 1
        self._head = False
        self._since = {name: (since, "head and node") for name, (since, _) in self._since.items()}
        if operation.head_seconds > operation.lease - _STOP:
            self._schedule(operation.lease - _STOP, self._stop_all)
        self._schedule(operation.head_seconds, self._head_back)
        self._schedule(operation.head_seconds + self._wait(operation.days_between_head_failures), self._fail_head)

    def _stop_all(self) -> None:
        """Have all nodes stop reading: their leases were not renewed."""
        for name in self._assigned:
            self._epoch[self._camera[name]] += 1
            self._since.setdefault(name, (self._now, "head"))

    def _head_back(self) -> None:
        self._head = True
        for name in [name for name in self._since if name in self._assigned]:
            if self._up[self._index[self._assigned[name]]]:
                self._open(name)
        self._schedule(self._operation.lease * (1 + _MARGIN), self._place)  # before that no node is taken for dead

    def _plan_drains(self, end: float) -> None:
        """Drain each node once a week at night: two minutes to move its cameras, then eight to update it."""
        waves = 18  # three hours, ten minutes each
        for night in range(math.ceil(end / DAY)):
            tonight = [i for i in range(self._fleet.nodes) if i % 7 == night % 7]
            for order, node in enumerate(tonight[: waves * self._operation.drains_at_once]):
                start = night * DAY + 2 * _HOUR + order // self._operation.drains_at_once * 600
                self._schedule(start, lambda node=node: self._drain(node))  # type: ignore[misc]

    def _drain(self, node: int) -> None:
        if not self._up[node]:
            return
        self._counts["drains"] += 1
        self._know(node, draining=True)
        self._schedule(120, lambda: self._update(node))

    def _update(self, node: int) -> None:
        if not (self._up[node] and self._nodes[node].draining):
            return  # it failed meanwhile, and comes back repaired
        self._stop(node, "drained too late")
        self._know(node, alive=False)
        self._schedule(480, lambda: self._start(node))

    # what is measured

    def _sample(self) -> None:
        used = np.array([node.load for node in self._nodes])
        where = [self._index[self._assigned[name]] if name in self._assigned else -1 for name in self._world.names]
        placed = np.array(where)
        np.add.at(used, placed[placed >= 0], self._loads[placed >= 0])
        capacity = np.array([node.capacity for node in self._nodes])
        running = np.array([up and not node.draining for up, node in zip(self._up, self._nodes, strict=True)])
        utilization = (used / capacity)[running]
        full = utilization > 1 / HEADROOM
        self._samples.append((utilization.std(), utilization.max(), (utilization > 1).mean(), full.mean()))

    def _outcome(self) -> Outcome:
        days, cameras = self._operation.days, self._fleet.cameras
        spread, highest, above, full = np.mean(self._samples, axis=0).tolist() if self._samples else (math.nan,) * 4
        unread = sum(sum(times) for times in self._recoveries.values())
        unread += sum(self._now - since for since, _ in self._since.values())
        return Outcome(
            moves={reason: count / days for reason, count in sorted(self._moves.items())},
            moves_per_camera=(self._moves["balance"] + self._moves["node draining"]) / days / cameras,
            node_failures=self._counts["failures"],
            drains=self._counts["drains"],
            head_failures=self._counts["head failures"],
            recoveries={
                how: Recovery(len(t), float(np.median(t)), float(np.percentile(t, 99)), max(t))
                for how, t in sorted(self._recoveries.items())
            },
            spread=spread,
            highest=highest,
            above=100 * above,
            full=100 * full,
            unread=1e6 * unread / (days * DAY * cameras),
            still_unread=len(self._since),
        )
