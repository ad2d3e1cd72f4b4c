"""What the lease table knows of one camera, and of one node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ferengine.fleet.records import Beat, CameraReport, CameraState, CameraStatus, NodeState, NodeStatus

PIN = "ferengine/node"
"""The label of a node for cameras that were moved to it on request."""
_SMOOTHING = 0.3
"""Weight of a new measurement of a camera's rate."""


@dataclass(slots=True)
class Camera:
    """One camera: what is wanted, and who holds it."""

    name: str
    sealed: bytes
    affinity: dict[str, str]
    epoch: int = 0
    holder: str | None = None
    wanted: str | None = None
    wanted_since: float = 0.0
    prepared: bool = False
    """Whether the wanted node has everything ready, or has had the time for it."""
    removing: bool = False
    ended: bool = False
    begun: bool = False
    pinned: str | None = None
    reason: str | None = None
    why_moved: str | None = None
    report: CameraReport | None = None
    load: float | None = None
    fps: float = 0.0
    first: float | None = None
    last: float | None = None
    before: str | None = None
    moves: int = 0
    failed: float | None = None
    """Since when its node cannot read it."""

    def want(self, node: str | None, now: float) -> None:
        """Have a node read it next; ``None`` for none."""
        if node != self.wanted:
            self.wanted, self.wanted_since, self.prepared = node, now, False

    def may_read(self, node: str) -> bool:
        """Whether a node may read it, or go on until the next one has everything ready."""
        if self.ended or self.removing or self.wanted is None:
            return False
        return self.wanted == node or (self.holder == node and not self.prepared)

    @property
    def is_returning(self) -> bool:
        """Whether it was read before, and the node that is to read it now has not given a result."""
        return self.begun and (self.holder != self.wanted or self.first is None)

    @property
    def needs(self) -> dict[str, str]:
        """The labels of nodes that may read it, as ``place`` takes them."""
        return self.affinity if self.pinned is None else {**self.affinity, PIN: self.pinned}

    def take_in(self, report: CameraReport, now: float) -> None:
        """Note what its node says of it: its rate, its load, and whether it can be read."""
        frames = report.frames - (0 if self.report is None else self.report.frames)
        last = None if report.last_age is None else now - report.last_age
        if last is not None and self.last is not None and last > self.last and frames >= 0:
            self.fps = (1 - _SMOOTHING) * self.fps + _SMOOTHING * frames / (last - self.last)
        self.last = self.last if last is None else last
        self.load = self.load if report.load is None else report.load
        if report.state != "failed":
            self.failed = None
        elif self.failed is None:
            self.failed = now
        self.report = report

    def status(self, now: float) -> CameraStatus:
        """How it is doing."""
        report = self.report
        state: CameraState
        if self.ended:
            state = "ended"
        elif self.wanted is None and self.holder is None:
            state = "waiting"
        elif self.removing or (self.holder is not None and self.holder != self.wanted):
            state = "moving"
        else:
            state = "opening" if report is None or self.holder is None else report.state
        known = report or CameraReport(self.epoch, state)
        age = None if self.last is None else now - self.last
        node = self.holder or self.wanted
        reason = self.reason if known.error is None else known.error
        return CameraStatus(
            self.name, state, node, self.epoch, known.frames, known.faces, self.fps, self.load or 0.0, age, self.moves,
            known.dropped, self.affinity, reason,
        )  # fmt: skip


@dataclass(slots=True)
class Member:
    """One node, as its last beat described it."""

    beat: Beat
    since: float
    expires: float
    draining: bool = False
    lost: bool = False
    drained: bool = False
    silent: bool = False
    """Whether only a coordinator before has heard of it."""
    suspect: bool = False
    """Whether it has been silent for so long that others prepare for its cameras."""
    events: int = 0
    """How many events of this incarnation were reported."""
    missed: int = 0
    """How many of them were said to be dropped."""

    def status(self, cameras: Iterable[Camera], now: float) -> NodeStatus:
        """How it is doing.

        Args:
            cameras: All of the fleet.
            now: The time.
        """
        beat = self.beat
        held = [camera for camera in cameras if camera.holder == beat.node]
        load = beat.load + sum(camera.load or 0.0 for camera in held)
        state: NodeState = "lost" if self.lost else "draining" if self.draining else "alive"
        return NodeStatus(
            beat.node, state, now - self.since, beat.capacity, load, tuple(camera.name for camera in held), beat.labels,
            beat.url, beat.stale, beat.outputs, beat.dropped_events,
        )  # fmt: skip
