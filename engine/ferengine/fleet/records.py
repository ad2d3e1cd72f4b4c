"""What travels between the parts of a fleet: frozen records. Sources and secrets are in none of them but as sealed bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from ferengine.results import EPOCH_NUMBERS, FrameResult

CameraState: TypeAlias = Literal["waiting", "opening", "running", "moving", "disconnected", "ended", "failed"]
NodeState: TypeAlias = Literal["alive", "draining", "lost"]
FleetEventKind: TypeAlias = Literal[
    "joined", "lost", "returned", "left", "draining", "drained", "resumed", "added", "removed", "placed", "moved", "unplaced",
    "started", "disconnected", "reconnected", "ended", "restarted", "failed", "missed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """Something that happened in the fleet.

    Attributes:
        kind: Of a node: "joined", "lost" (its lease ended), "returned", "left", "draining", "drained", "resumed", "failed" (its
            engine cannot be started). Of a camera: "added", "removed", "placed" (its first results), "moved" (its first
            results after another node, or another life of the same node, read it), "unplaced" (no node may read it), and what
            its engine says: "started", "disconnected", "reconnected", "ended". Of the coordinator: "restarted". "missed":
            events were dropped, those of a node's cameras or, without a node, for this reader; ``reason`` says how many.
        timestamp: Seconds since the epoch, on the coordinator's machine.
        camera: The camera, where it concerns one.
        node: The node; of "moved" the new one.
        before: Of "moved": the node that had it.
        seconds: Of "moved": from the last result before to the first one after; of "lost" and "returned": since the node's
            last sign of life; of "reconnected": how long the camera was away.
        reason: Why; it never holds credentials.
    """

    kind: FleetEventKind
    timestamp: float
    camera: str | None = None
    node: str | None = None
    before: str | None = None
    seconds: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; what does not apply is left out."""
        record: dict[str, Any] = {"event": self.kind, "timestamp": round(self.timestamp, 6)}
        for name in ("camera", "node", "before", "seconds", "reason"):
            value = getattr(self, name)
            if value is not None:
                record[name] = round(value, 3) if name == "seconds" else value
        return record


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What a node says of one camera that it reads.

    Attributes:
        epoch: Under which it reads it.
        state: Of the camera in its engine.
        frames, faces: Results and faces of this epoch.
        first_age: Seconds since the first result, ``None`` before it.
        last_age: Seconds since the last result.
        load: CPU cores that it takes, ``None`` where that is not measured yet.
        dropped: Frames and faces, by reason.
        error: What ended it.
    """

    epoch: int
    state: CameraState
    frames: int = 0
    faces: int = 0
    first_age: float | None = None
    last_age: float | None = None
    load: float | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Results that a client took from a node.

    Attributes:
        results: In order.
        since: How many results of the cameras that the client wants the engine had given when the client's queue was made.
        until: How many it had given with the last of ``results``. What is between the ``until`` before and this one and not in
            ``results`` was dropped, on the node or on the way.
        incarnation: Of the process that holds the engine, which counts from 0.
        age: Seconds since this process began to count.
    """

    results: list[FrameResult]
    since: int
    until: int
    incarnation: str
    age: float


@dataclass(frozen=True, slots=True)
class OutputReport:
    """One output of a node.

    Attributes:
        written: Results that were written.
        dropped: Results and events that full queues dropped, or that were not written at the end.
        error: Why it has failed, ``None`` where it has not.
    """

    written: int
    dropped: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """A node's sign of life, which asks for a new lease.

    Attributes:
        node: Its name.
        node_id: Ray's id of it.
        incarnation: Of the process that holds the engine.
        number: Counts the beats of an incarnation from 1.
        cameras: What it reads, is opening, or (in the state "moving") is closing. A camera that is missing is read no more.
        prepared: Cameras that it is to read next, and whether everything is ready for that.
        released: The last report of each camera that it has stopped reading since the beat before.
        capacity: CPU cores.
        load: CPU cores that are busy with something else than the fleet.
        labels: Of the node.
        url: Where the node's own page is, ``None`` without one.
        stale: Results that came after the lease had ended, and were dropped.
        outputs: Results written and lost, and the error, of each output.
        events: What happened to its cameras, as far as no beat with it was answered.
        dropped_events: How many were dropped because no beat was answered for long, so far.
        first_event: The number of the first in ``events``, counted from 0.
    """

    node: str
    node_id: str
    incarnation: str
    number: int
    cameras: Mapping[str, CameraReport]
    capacity: float
    load: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    prepared: Mapping[str, bool] = field(default_factory=dict)
    released: Mapping[str, CameraReport] = field(default_factory=dict)
    url: str | None = None
    stale: int = 0
    outputs: Mapping[str, OutputReport] = field(default_factory=dict)
    events: tuple[FleetEvent, ...] = ()
    first_event: int = 0
    dropped_events: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to read a camera, for as long as the node's lease is renewed.

    Attributes:
        epoch: Larger than of any grant before.
        sealed: The source, sealed; empty where the node reads it already.
    """

    epoch: int
    sealed: bytes = b""


@dataclass(frozen=True, slots=True)
class Orders:
    """The answer to a beat: all that the node may read from now on. What is missing, or has another epoch, it has to stop.

    Attributes:
        grants: By camera.
        prepare: Cameras, with their sealed sources, that it is to read next: it gets everything ready, and opens nothing.
        renewed: Whether the lease is renewed; False where another machine of the same name still has one.
        overtaken: Whether the node has sent another beat since. That one is answered with grants; this only renews the lease.
        coordinator: The incarnation of the coordinator.
    """

    grants: Mapping[str, Grant]
    prepare: Mapping[str, bytes] = field(default_factory=dict)
    renewed: bool = True
    overtaken: bool = False
    coordinator: int = 0


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node of the fleet.

    Attributes:
        state: "lost" after its lease has ended.
        age: Seconds since its last sign of life.
        capacity, load: CPU cores: all, and those busy with its cameras and with other things.
        cameras: Those that it reads.
        labels: As Ray knows them.
        url: Where its own page is, with its cameras' video.
        stale: Results that came after its lease had ended, and were dropped.
        outputs: Its outputs.
        dropped_events: Events of its cameras that were dropped while no coordinator took them.
    """

    name: str
    state: NodeState
    age: float
    capacity: float
    load: float
    cameras: tuple[str, ...]
    labels: Mapping[str, str]
    url: str | None
    stale: int
    outputs: Mapping[str, OutputReport]
    dropped_events: int = 0


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera of the fleet.

    Attributes:
        state: "waiting": no node may or can read it, see ``reason``; "moving": between two nodes.
        node: What reads it, or is about to.
        epoch: Under which; 0 before the first.
        frames, faces: Of this epoch.
        fps: Results a second since the report before.
        load: CPU cores that it takes.
        last_age: Seconds since its last result, as far as it was reported.
        moves: How often another node, or another life of one, took it over.
        dropped: Frames and faces, by reason, of this epoch.
        reason: Why it waits, or what ended it.
    """

    name: str
    state: CameraState
    node: str | None
    epoch: int
    frames: int
    faces: int
    fps: float
    load: float
    last_age: float | None
    moves: int
    dropped: Mapping[str, int]
    affinity: Mapping[str, str]
    reason: str | None


@dataclass(frozen=True, slots=True)
class FleetHealth:
    """The whole fleet.

    Attributes:
        name: Of the fleet.
        nodes, cameras: By name.
        coordinator: How often the coordinator has started, counted over all lives of the fleet's state.
        moves: Moves of all cameras.
        time: Seconds since the epoch, on the coordinator's machine.
    """

    name: str
    nodes: Mapping[str, NodeStatus]
    cameras: Mapping[str, CameraStatus]
    coordinator: int
    moves: int
    time: float

    @property
    def ok(self) -> bool:
        """Whether no node is lost, no output has failed, and each camera is read."""
        bad = {"waiting", "moving", "disconnected", "failed"}
        failed = any(output.error for node in self.nodes.values() for output in node.outputs.values())
        lost = any(node.state == "lost" for node in self.nodes.values())
        return not failed and not lost and not bad & {camera.state for camera in self.cameras.values()}


def renumbered(result: FrameResult, epoch: int) -> FrameResult:
    """The same result with frame and tracks counted from the first number of ``epoch``: no two nodes use the same."""
    first = epoch * EPOCH_NUMBERS
    faces = tuple(face if face.track is None else replace(face, track=first + face.track) for face in result.faces)
    return replace(result, frame=first + result.frame, faces=faces)
