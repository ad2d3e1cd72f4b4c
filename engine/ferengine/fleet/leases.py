"""Who may read which camera: leases, epochs and moves, as a state machine without Ray and without a clock of its own.

A node holds one lease, for all its cameras. It asks for a new one with each beat, and counts the lease from the moment when it
sent the beat that was answered; the lease table counts it from the moment when the beat came in, which is later. So a node has
stopped reading before its lease is taken for over here, whatever the clocks say, and a camera is given to another node only
after the one before has said that it stopped, or after its lease (Gray and Cheriton, "Leases: An Efficient
Fault-Tolerant Mechanism for Distributed File Cache Consistency", 1989). Each time that a camera is given away it gets a new
epoch, larger than all before; results of an older epoch are refused where a newer one has been seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from ferengine.errors import UsageError, name_hint
from ferengine.fleet.members import PIN, Camera, Member
from ferengine.fleet.placement import CameraDemand, Node, Placement, place
from ferengine.fleet.records import (
    Beat,
    CameraReport,
    FleetEvent,
    FleetEventKind,
    FleetHealth,
    Grant,
    Orders,
)
from ferengine.fleet.table_state import dump_state, load_state

MARGIN = 0.05
"""Fraction of a lease that the lease table waits longer: clocks of two machines do not run equally fast."""
DEFAULT_LOAD = 0.5
"""CPU cores of a camera that was not measured yet, where no other was either."""
_REPLAN = 10.0
"""Seconds between two looks at the balance, while nothing else happens."""
_PREPARE = 10.0
"""Seconds that a node has to get everything ready before the one that reads a camera gives it up anyway."""
_FORGET = 600.0
"""Seconds after which a lost node is forgotten, unless it is drained."""
_FAILED = 30.0
"""Seconds after which a camera that could not be read is tried again."""
_REQUESTS = 1000
"""Changes that are remembered, so that none is made twice."""
_SUSPECT = 0.4
"""Fraction of a lease without a beat after which other nodes prepare for the cameras of a node."""


class LeaseTable:
    """The cameras and nodes of one fleet.

    Args:
        name: Of the fleet.
        lease: Seconds that a node may go on reading without an answer.
        hysteresis: See ``place``.
        wall: Seconds since the epoch, for events.
        report: Called with each event.
    """

    def __init__(
        self, name: str, lease: float, hysteresis: float, wall: Callable[[], float], report: Callable[[FleetEvent], None]
    ) -> None:
        self.name = name
        self.lease = lease
        self.coordinator = 0
        self.version = 0
        """Changes with everything that a successor has to know."""
        self._hysteresis = hysteresis
        self._wall = wall
        self._report = report
        self._cameras: dict[str, Camera] = {}
        self._nodes: dict[str, Member] = {}
        self._epoch = 0
        self._planned = -1e9
        self._stale = True
        self._refused: set[str] = set()
        self._requests: deque[str] = deque(maxlen=_REQUESTS)

    # --- what users ask for

    def change(self, request: str, change: Callable[[LeaseTable], None]) -> None:
        """Make a change, unless it was made already: a client asks again where the answer did not come.

        Args:
            request: The id of this change, another one for each.
            change: Makes it, by one of the methods below. An error that it raises is not remembered.
        """
        if request in self._requests:
            return
        change(self)
        self._requests.append(request)
        self.version += 1

    def add(self, name: str, sealed: bytes, affinity: Mapping[str, str]) -> None:
        """Add a camera. Raises UsageError if the name is taken."""
        if name in self._cameras:
            leaving = ", which is being removed" if self._cameras[name].removing else ""
            raise UsageError(f"there is a camera {name!r} already{leaving}: choose another name")
        self._cameras[name] = Camera(name, sealed, dict(affinity))
        self._changed()
        self._say("added", camera=name)

    def replace(self, name: str, sealed: bytes, affinity: Mapping[str, str]) -> None:
        """Have a camera read from another source, or again; one that is no longer there is added."""
        camera = self._cameras.get(name)
        if camera is None:
            self.add(name, sealed, affinity)
            return
        camera.sealed, camera.affinity = sealed, dict(affinity)
        camera.removing = camera.ended = False
        camera.pinned, camera.epoch = None, 0  # the node that reads it closes it, and gets a new grant
        self._changed()

    def remove(self, name: str) -> None:
        """Remove a camera, as soon as its node has stopped reading it. Raises UsageError if there is none."""
        camera = self._camera(name)
        camera.removing = True
        camera.want(None, 0.0)
        self._changed()
        self._remove_released()

    def move(self, name: str, node: str, now: float) -> None:
        """Have another node read a camera. It stays there until the node is lost or drained.

        Raises:
            UsageError: There is no such camera or node, it is lost or draining, or it lacks a label that the camera needs.
        """
        camera, target = self._camera(name), self._node(node)
        if target.lost or target.draining:
            raise UsageError(f"{node} is {'lost' if target.lost else 'draining'}: choose another node")
        for key, value in camera.affinity.items():
            if target.beat.labels.get(key) != value:
                raise UsageError(f"{name} needs a node with {key} = {value!r}, which {node} is not")
        camera.pinned = node
        if camera.wanted != node:
            camera.want(node, now)
            camera.why_moved = "asked for"
        self._changed()

    def drain(self, name: str) -> None:
        """Move all cameras of a node to others, and give it no new ones. Raises UsageError if there is no such node."""
        node = self._node(name)
        if not node.draining:
            node.draining, node.drained = True, False
            self._changed()
            self._say("draining", node=name)

    def resume(self, name: str) -> None:
        """Let a drained node read cameras again. Raises UsageError if there is no such node."""
        node = self._node(name)
        if node.draining:
            node.draining = False
            self._changed()
            self._say("resumed", node=name)

    # --- what nodes say

    def beat(self, beat: Beat, now: float) -> bool:
        """Take in a sign of life.

        Returns:
            Whether the lease is renewed. False for a beat that came after a newer one, or while another machine of the same
            name still has a lease.
        """
        node = self._nodes.get(beat.node)
        if node is not None and node.beat.incarnation == beat.incarnation:
            self._read_reports(beat.released, beat.node, now)
        if node is None or node.lost:
            self._join(beat, node, now)
        elif node.beat.node_id != beat.node_id:
            if beat.node_id not in self._refused:
                self._refused.add(beat.node_id)
                reason = "another machine of this name has a lease: give each a name of its own"
                self._say("failed", node=beat.node, reason=reason)
            return False
        elif node.beat.incarnation != beat.incarnation:
            self._restart(beat, node, now)
        elif beat.number <= node.beat.number:
            return False
        else:
            self._observe(beat, node, now)
        for name, ready in beat.prepared.items():
            if ready and (camera := self._cameras.get(name)) is not None and camera.wanted == beat.node:
                camera.prepared = True
        self._read_reports(beat.cameras, beat.node, now)
        known = self._nodes[beat.node]
        for event in beat.events[max(0, known.events - beat.first_event) :]:
            self._report(event)
        known.events = max(known.events, beat.first_event + len(beat.events))
        if beat.dropped_events > known.missed:
            dropped = beat.dropped_events - known.missed
            known.missed = beat.dropped_events
            self.version += 1
            self._say(
                "missed", node=beat.node, reason=f"{dropped} events of its cameras were dropped: no coordinator took them"
            )
        return True

    def is_overtaken(self, beat: Beat) -> bool:
        """Whether a beat after this one, or of another process, came from the node."""
        return not self.is_same_life(beat) or self._nodes[beat.node].beat.number != beat.number

    def is_same_life(self, beat: Beat) -> bool:
        """Whether the last beat of the node came from the same process."""
        return self._nodes[beat.node].beat.incarnation == beat.incarnation

    def orders(self, name: str) -> Orders:
        """All that a node may read now. Cameras that it gets anew have a new epoch: save the lease table before the node learns
        of it."""
        node = self._nodes[name]
        grants: dict[str, Grant] = {}
        prepare: dict[str, bytes] = {}
        for camera in self._cameras.values():
            if not camera.may_read(name):
                continue
            reported = node.beat.cameras.get(camera.name)
            if camera.holder == name and reported is not None and reported.epoch == camera.epoch:
                grants[camera.name] = Grant(camera.epoch)
            elif camera.holder is None or (camera.holder == name and reported is None):
                self._epoch += 1
                camera.epoch, camera.holder, camera.report = self._epoch, name, None
                camera.first = None
                self.version += 1
                grants[camera.name] = Grant(camera.epoch, camera.sealed)
            elif camera.holder != name:
                prepare[camera.name] = camera.sealed
        return Orders(grants, prepare, coordinator=self.coordinator)

    def differs(self, name: str) -> bool:
        """Whether a node has something to do: to stop a camera, or to begin one."""
        reported = self._nodes[name].beat.cameras
        may = {
            camera.name: camera.epoch if camera.holder == name else None
            for camera in self._cameras.values()
            if camera.may_read(name) and camera.holder in (name, None)
        }
        stop = any(report.state != "moving" and may.get(camera) != report.epoch for camera, report in reported.items())
        preparing = {camera.name for camera in self._cameras.values() if camera.wanted == name and camera.holder is not None}
        unknown = preparing - {*reported, *self._nodes[name].beat.prepared}
        return stop or bool(unknown) or any(camera not in reported for camera in may)

    # --- time

    def tick(self, now: float) -> None:
        """Take leases that are over from their nodes, and place cameras; to be called a few times a second."""
        for name, node in list(self._nodes.items()):
            if not node.lost and now > node.expires:
                self._lose(name, node, now)
            elif node.lost and not node.draining and now > node.since + _FORGET:
                del self._nodes[name]
                self._say("left", node=name)
            elif not (node.lost or node.silent or node.suspect) and now > node.since + _SUSPECT * self.lease:
                node.suspect = self._stale = True
        self._remove_released()
        for camera in self._cameras.values():
            if camera.failed is not None and now > camera.failed + _FAILED:
                camera.failed, camera.epoch = None, 0  # its node closes it, and gets a new grant
                self.version += 1
            camera.prepared |= now > camera.wanted_since + _PREPARE
        known = not any(node.silent and not node.lost for node in self._nodes.values())
        if known and self._nodes and (self._stale or now > self._planned + _REPLAN):
            self.plan(now)
        for name, node in self._nodes.items():
            busy = any(name in (camera.holder, camera.wanted) for camera in self._cameras.values())
            if node.draining and not node.drained and not busy:
                node.drained = True
                self._say("drained", node=name)

    def plan(self, now: float) -> Placement:
        """Decide where each camera is to be read; what already has a node moves only for a reason."""
        self._planned, self._stale = now, False
        nodes = [
            Node(
                name, {**node.beat.labels, PIN: name}, node.beat.capacity, node.beat.load,
                alive=not (node.lost or node.suspect), draining=node.draining,
            )
            for name, node in self._nodes.items()
        ]  # fmt: skip
        usable = {name for name, node in self._nodes.items() if not node.lost and not node.draining}
        measured = [camera.load for camera in self._cameras.values() if camera.load is not None]
        usual = sum(measured) / len(measured) if measured else DEFAULT_LOAD
        open_ = [camera for camera in self._cameras.values() if not camera.removing and not camera.ended]
        for camera in open_:
            camera.pinned = camera.pinned if camera.pinned in usable else None
        demands = [CameraDemand(each.name, usual if each.load is None else each.load, each.needs) for each in open_]
        current = {camera.name: at for camera in open_ if (at := camera.wanted or camera.holder) is not None}
        placement = place(nodes, demands, current, self._hysteresis)
        reasons = {move.camera: move.reason for move in placement.moves}
        for camera in open_:
            wanted = placement.assignments.get(camera.name)
            holder = self._nodes.get(camera.holder or "")
            if wanted is None and holder is not None and holder.suspect and not holder.lost:
                continue  # it may be there again
            if reasons.get(camera.name) == "balance" and camera.is_returning and now < camera.wanted_since + _PREPARE:
                continue  # another node would begin anew
            if wanted != camera.wanted:
                camera.why_moved = reasons.get(camera.name, camera.why_moved)
            camera.want(wanted, now)
            why = placement.unplaced.get(camera.name)
            if why is not None and camera.reason != why:
                self._say("unplaced", camera=camera.name, reason=why)
            camera.reason = why
        return placement

    def health(self, now: float) -> FleetHealth:
        """How all nodes and cameras are doing."""
        nodes = {name: node.status(self._cameras.values(), now) for name, node in sorted(self._nodes.items())}
        cameras = {name: camera.status(now) for name, camera in sorted(self._cameras.items())}
        moves = sum(camera.moves for camera in self._cameras.values())
        return FleetHealth(self.name, nodes, cameras, self.coordinator, moves, self._wall())

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras, those that are being removed included."""
        return tuple(self._cameras)

    @property
    def nodes(self) -> dict[str, str]:
        """Ray's id of each node that is not lost."""
        return {name: node.beat.node_id for name, node in self._nodes.items() if not node.lost}

    # --- what outlives the coordinator

    def dump(self) -> bytes:
        """All that a successor has to know. Sources in it are sealed."""
        return dump_state(self._epoch, self._cameras.values(), self._nodes.values(), self._requests)

    def restore(self, data: bytes, now: float, grace: float) -> None:
        """Take over from a coordinator that has died.

        Each node that held a camera counts as alive for ``grace`` seconds: for so long it may still read it.

        Args:
            data: What ``dump`` gave.
            now: The time.
            grace: Seconds that a lease from the coordinator before may last.

        Raises:
            UsageError: It was written by another version.
        """
        state = load_state(data, now, grace)
        self._epoch = state.epoch
        self._cameras |= {camera.name: camera for camera in state.cameras}
        self._nodes |= {node.beat.node: node for node in state.nodes}
        self._requests.extend(state.requests)
        self._say("restarted", reason=f"a new coordinator took over {len(self._cameras)} cameras")

    # --- within

    def _join(self, beat: Beat, before: Member | None, now: float) -> None:
        node = self._nodes[beat.node] = Member(beat, now, self._end(now), before is not None and before.draining)
        if before is not None and before.beat.incarnation == beat.incarnation:  # what it has said counts once
            node.events, node.missed = before.events, before.missed
        self._changed()
        if before is None:
            self._say("joined", node=beat.node)
        else:
            self._say("returned", node=beat.node, seconds=now - before.since)

    def _restart(self, beat: Beat, node: Member, now: float) -> None:
        """Another process holds the node's engine. Ray starts it after the one before has ended, so nothing is read by that."""
        self._nodes[beat.node] = Member(beat, now, self._end(now), node.draining)
        self._release(beat.node, lambda camera: True, "the engine died")
        self._remove_released()
        self._changed()

    def _observe(self, beat: Beat, node: Member, now: float) -> None:
        self._stale |= node.silent or node.beat.labels != beat.labels
        node.beat, node.since, node.expires, node.silent = beat, now, self._end(now), False
        if node.suspect:  # what it reads stays
            node.suspect, self._stale = False, True
            for camera in self._cameras.values():
                if camera.holder == beat.node and not camera.removing and not camera.ended:
                    camera.want(beat.node, now)
        # it has stopped what it no longer names
        self._release(beat.node, lambda camera: camera.name not in beat.cameras and camera.wanted != beat.node, None)
        self._remove_released()

    def _release(self, node: str, which: Callable[[Camera], bool], why: str | None) -> None:
        for camera in self._cameras.values():
            if camera.holder == node and which(camera):
                camera.holder = None
                if camera.first is not None:
                    camera.before = node
                camera.why_moved = why or camera.why_moved
                self.version += 1

    def _lose(self, name: str, node: Member, now: float) -> None:
        node.lost = True
        self.version += 1
        self._say("lost", node=name, seconds=now - node.since)
        self._release(name, lambda camera: True, "node dead")
        self._stale = True

    def _read_reports(self, reports: Mapping[str, CameraReport], node: str, now: float) -> None:
        for name, report in reports.items():
            camera = self._cameras.get(name)
            if camera is not None and camera.holder == node and camera.epoch == report.epoch:
                self._read(camera, report, node, now)

    def _read(self, camera: Camera, report: CameraReport, node: str, now: float) -> None:
        if camera.first is None and report.first_age is not None:
            camera.first = now - report.first_age
            if camera.begun:
                gap = None if camera.last is None else max(0.0, camera.first - camera.last)
                camera.moves += 1
                self._say("moved", camera=camera.name, node=node, before=camera.before, seconds=gap, reason=camera.why_moved)
            else:
                self._say("placed", camera=camera.name, node=node)
            camera.begun, camera.before, camera.why_moved = True, node, None
            self.version += 1
        if report.state == "ended" and not camera.ended:
            camera.ended = True
            camera.want(None, now)
            self.version += 1
        camera.take_in(report, now)

    def _remove_released(self) -> None:
        for name in [camera.name for camera in self._cameras.values() if camera.removing and camera.holder is None]:
            del self._cameras[name]
            self.version += 1
            self._say("removed", camera=name)

    def _changed(self) -> None:
        self.version += 1
        self._stale = True

    def _end(self, now: float) -> float:
        return now + self.lease * (1 + MARGIN)

    def _camera(self, name: str) -> Camera:
        camera = self._cameras.get(name)
        if camera is None or camera.removing:
            raise UsageError(f"there is no camera {name!r}: {name_hint(name, self._cameras)}")
        return camera

    def _node(self, name: str) -> Member:
        if name not in self._nodes:
            raise UsageError(f"there is no node {name!r}: {name_hint(name, self._nodes)}")
        return self._nodes[name]

    def _say(
        self, kind: FleetEventKind, *, camera: str | None = None, node: str | None = None, before: str | None = None,
        seconds: float | None = None, reason: str | None = None,
    ) -> None:  # fmt: skip
        self._report(FleetEvent(kind, self._wall(), camera, node, before, seconds, reason))
