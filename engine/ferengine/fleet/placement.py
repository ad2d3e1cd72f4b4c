"""Which node of a fleet reads which camera: a pure function of what was measured, without Ray and without a clock.

Loads and capacities have one unit, CPU cores; `ferengine.fleet.load` makes them from measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import UsageError

MoveReason = Literal["node gone", "node dead", "node draining", "no capacity", "labels", "balance"]
_Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Node:
    """A node as the coordinator sees it.

    Attributes:
        name: Unique in the fleet.
        labels: What cameras ask for in their affinity, such as `site = "north"`.
        capacity: What the node can carry, in cores. A node without capacity takes no camera.
        load: What other programs take of the capacity, in cores. The loads of its cameras come on top.
        alive: Whether the node answers. A dead node loses its cameras.
        draining: Whether the node is about to be stopped. It takes no camera, and those it has move as soon as another node
            may read them.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    capacity: float = 1.0
    load: float = 0.0
    alive: bool = True
    draining: bool = False

    def __post_init__(self) -> None:
        _check(f"node {self.name}: capacity", self.capacity)
        _check(f"node {self.name}: load", self.load)


@dataclass(frozen=True)
class CameraDemand:
    """What a camera needs.

    Attributes:
        name: Unique in the fleet.
        load: In cores; measured, or an estimate while there is no measurement.
        affinity: The labels that a node must have to read this camera.
    """

    name: str
    load: float
    affinity: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(f"camera {self.name}: load", self.load)


@dataclass(frozen=True)
class Move:
    """A camera that changes its node.

    Attributes:
        camera: Its name.
        source: The node that read it.
        target: The node that is to read it.
        reason: Why: the source is gone, dead, draining, without capacity or no longer has the labels; or the move evens out
            the load.
        gain: For "balance", the utilization of the source before the move, less that of the target after it (1 is a full
            node). The other moves are forced and have none.
    """

    camera: str
    source: str
    target: str
    reason: MoveReason
    gain: float = 0.0


@dataclass(frozen=True)
class Placement:
    """Where each camera is to be read.

    Attributes:
        assignments: Camera to node.
        moves: The cameras that had another node before, in the order in which they were decided. A camera that had none is in
            the assignments only.
        unplaced: Camera to the reason why no node may read it.
    """

    assignments: Mapping[str, str]
    moves: tuple[Move, ...]
    unplaced: Mapping[str, str]


def place(
    nodes: Sequence[Node], cameras: Sequence[CameraDemand], current: Mapping[str, str], hysteresis: float = 0.2
) -> Placement:
    """Decide which node reads which camera.

    A camera stays where it is as long as its node is alive, is not draining and has the labels. Cameras without such a node
    are placed first: those that the fewest nodes may read before the others, then the largest, each on the node whose
    utilization is lowest with it, among the nodes that have room for it if there are any. More cameras than the nodes can carry
    are placed all the same, evenly: live cameras then drop frames, which the engine counts. A camera on a draining node that
    no other node may read stays there until the node is gone.

    Only when nothing had to be placed are cameras moved for balance, so that recovery costs no other camera a gap. Such a move
    is made if the utilization of the source is above that of the target with the camera by more than the hysteresis. Each makes
    the sorted utilizations smaller, so that repeated calls with the same measurements end. Headroom for the hysteresis belongs
    in the capacity: a node stays above another by up to the hysteresis.

    The order of the arguments does not matter, and the same arguments give the same placement.

    Args:
        nodes: All known nodes, dead ones included.
        cameras: All cameras that are wanted.
        current: Camera to node, as they are now; other cameras and unknown nodes may be in it.
        hysteresis: Smallest gain of a move for balance, in utilization (0.2: a fifth of a node).

    Raises:
        UsageError: For a name that is there twice, or a hysteresis that is negative or not finite.

    Example:
        >>> nodes = [Node("a", {"site": "north"}, capacity=4), Node("b", capacity=4)]
        >>> cameras = [CameraDemand("door", 1.0), CameraDemand("yard", 1.0, {"site": "north"})]
        >>> place(nodes, cameras, {}).assignments
        {'door': 'b', 'yard': 'a'}
    """
    _check("hysteresis", hysteresis)
    _distinct("node", [node.name for node in nodes])
    _distinct("camera", [camera.name for camera in cameras])
    plan = _Plan(nodes, cameras, current)
    if not plan.place_all():
        plan.balance(hysteresis)
    return plan.placement()


class _Plan:
    """The placement while it is being decided."""

    def __init__(self, nodes: Sequence[Node], cameras: Sequence[CameraDemand], current: Mapping[str, str]) -> None:
        self._nodes = sorted(nodes, key=lambda node: node.name)
        self._cameras = sorted(cameras, key=lambda camera: camera.name)
        self._index = {node.name: i for i, node in enumerate(self._nodes)}
        self._capacity = np.array([node.capacity for node in self._nodes], np.float64)
        takers = [node.alive and not node.draining and node.capacity > 0 for node in self._nodes]
        self._takers = np.flatnonzero(takers)  # the nodes that may be given cameras
        self._used = np.array([node.load for node in self._nodes], np.float64)
        self._on: list[dict[str, CameraDemand]] = [{} for _ in self._nodes]  # the cameras of each node
        self._hosts: dict[_Labels, NDArray[np.intp]] = {}
        self._unplaced: dict[str, str] = {}
        self._moves: list[Move] = []
        self._waiting: list[tuple[CameraDemand, str | None]] = []  # each with the node that it had
        for camera in self._cameras:
            before = current.get(camera.name)
            at = None if before is None else self._index.get(before)
            hosts = self._hosts_of(camera)
            if at is not None and self._may_stay(camera, self._nodes[at], alone=not hosts.size):
                self._put(camera, at)
            elif hosts.size:
                self._waiting.append((camera, before))
            else:
                self._unplaced[camera.name] = self._why_none(camera)

    def place_all(self) -> bool:
        """Place the cameras that have no node, and return whether there were any."""
        self._waiting.sort(key=lambda waiting: (self._hosts_of(waiting[0]).size, -waiting[0].load, waiting[0].name))
        for camera, before in self._waiting:
            target = self._best(camera)
            self._put(camera, target)
            if before is not None:
                self._moves.append(Move(camera.name, before, self._nodes[target].name, self._why_moved(before)))
        return bool(self._waiting)

    def balance(self, hysteresis: float) -> None:
        """Move cameras, each at most once, until no move gains more than the hysteresis."""
        moved: set[str] = set()
        found = True
        while found:
            found = False
            with np.errstate(divide="ignore", invalid="ignore"):
                utilization = np.where(self._capacity > 0, self._used / self._capacity, np.inf)
            for source in np.argsort(-utilization, kind="stable"):
                while (step := self._step(int(source), hysteresis, moved)) is not None:
                    camera, target, gain = step
                    del self._on[source][camera.name]
                    self._used[source] -= camera.load
                    self._put(camera, target)
                    moved.add(camera.name)
                    self._moves.append(Move(camera.name, self._nodes[source].name, self._nodes[target].name, "balance", gain))
                    found = True

    def placement(self) -> Placement:
        """Return what was decided."""
        assigned = {name: node.name for node, on in zip(self._nodes, self._on, strict=True) for name in on}
        return Placement(dict(sorted(assigned.items())), tuple(self._moves), self._unplaced)

    def _step(self, source: int, hysteresis: float, moved: set[str]) -> tuple[CameraDemand, int, float] | None:
        """Return the camera of this node whose move evens out the load best, its target and the gain, or None."""
        before = self._utilization(source)
        if not self._takers.size or before - (self._used[self._takers] / self._capacity[self._takers]).min() <= hysteresis:
            return None  # most nodes, most of the time: nowhere would any camera gain enough
        best: tuple[float, CameraDemand, int, float] | None = None
        for camera in self._on[source].values():
            if not camera.load or camera.name in moved or not self._hosts_of(camera).size:
                continue
            target = self._best(camera)
            after = self._utilization(target, camera.load)
            if target == source or before - after <= hysteresis:
                continue
            higher = max(after, self._utilization(source, -camera.load))
            if best is None or higher < best[0]:
                best = higher, camera, target, before - after
        return None if best is None else best[1:]

    def _best(self, camera: CameraDemand) -> int:
        """Return the node with the lowest utilization with this camera, one with room for it if there is any."""
        hosts = self._hosts_of(camera)
        after = (self._used[hosts] + camera.load) / self._capacity[hosts]
        return int(hosts[np.argmin(after)])  # the lowest is at most 1 if any is

    def _hosts_of(self, camera: CameraDemand) -> NDArray[np.intp]:
        """Return the indices of the nodes that may be given this camera, in the order of their names."""
        key = tuple(sorted(camera.affinity.items()))
        if key not in self._hosts:
            self._hosts[key] = np.array([i for i in self._takers.tolist() if _has(self._nodes[i], camera)], np.intp)
        return self._hosts[key]

    def _may_stay(self, camera: CameraDemand, node: Node, alone: bool) -> bool:
        return node.alive and _has(node, camera) and (alone or (node.capacity > 0 and not node.draining))

    def _put(self, camera: CameraDemand, node: int) -> None:
        self._on[node][camera.name] = camera
        self._used[node] += camera.load

    def _utilization(self, node: int, extra: float = 0.0) -> float:
        """Return the utilization of a node with this much more load; infinite for one without capacity."""
        capacity = float(self._capacity[node])
        return (float(self._used[node]) + extra) / capacity if capacity > 0 else math.inf

    def _why_moved(self, source: str) -> MoveReason:
        if source not in self._index:
            return "node gone"
        node = self._nodes[self._index[source]]
        if not node.alive:
            return "node dead"
        if node.draining:
            return "node draining"
        return "labels" if node.capacity > 0 else "no capacity"

    def _why_none(self, camera: CameraDemand) -> str:
        wanted = ", ".join(f'{key} = "{value}"' for key, value in sorted(camera.affinity.items()))
        able = [node for node in self._nodes if _has(node, camera)]
        if not able:
            return f"no node has {wanted}" if wanted else "there are no nodes"
        states = ", ".join(f"{node.name} ({_state(node)})" for node in able[:3])
        more = f" and {len(able) - 3} more" if len(able) > 3 else ""
        return f"no node {'with ' + wanted + ' ' if wanted else ''}can take it: {states}{more}"


def _has(node: Node, camera: CameraDemand) -> bool:
    return all(node.labels.get(key) == value for key, value in camera.affinity.items())


def _state(node: Node) -> str:
    if not node.alive:
        return "dead"
    return "draining" if node.draining else "without capacity"


def _check(what: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{what} must be a finite number of at least 0, not {value}")


def _distinct(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(sorted(names)) if i and sorted(names)[i - 1] == name)
        raise UsageError(f"{what} {twice} is there twice; names must be unique")
