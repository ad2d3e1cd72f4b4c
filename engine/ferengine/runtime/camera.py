"""What the supervisor knows of one camera."""

from __future__ import annotations

from typing import Any, Literal

from ferengine._native import FrameRing
from ferengine.results import CameraEvent
from ferengine.runtime.joiner import CameraJoiner
from ferengine.runtime.wire import OUTPUT_READER, TRACK_READER
from ferengine.sources import SourceSpec


class CameraState:
    """One source of a run: its rings, its joiner and how far it has come."""

    def __init__(self, number: int, spec: SourceSpec, joiner: CameraJoiner, tracker: int) -> None:
        self.number = number
        self.spec = spec
        self.joiner = joiner
        self.tracker = tracker
        self.epoch = 1
        self.fps = 0.0
        self.rings: dict[int, FrameRing] = {}
        self.opened = False
        self.ended = False
        self.captured = 0
        self.broken = 0
        self.late = 0
        self.error: str | None = None
        self.state: Literal["opening", "running", "lost", "ended"] = "opening"
        self._started = False
        self._lost_since = 0.0
        self._earlier_ring_full = self._earlier_published = 0

    def note_open(self, now: float) -> CameraEvent | None:
        """It is open, at ``now`` seconds since the epoch: "started", or "back". ``None`` where that is known."""
        if self.state not in ("opening", "lost"):
            return None
        was_started, self.state, self._started = self._started, "running", True
        if was_started:
            return CameraEvent(self.spec.name, "back", now, seconds=max(0.0, now - self._lost_since))
        return CameraEvent(self.spec.name, "started", now)

    def note_lost(self, reason: str, now: float) -> CameraEvent | None:
        """It was lost; ``None`` where that is known, or it has ended."""
        if self.state not in ("opening", "running"):
            return None
        self.state, self._lost_since = "lost", now
        return CameraEvent(self.spec.name, "lost", now, reason)

    def note_end(self, reason: str | None, now: float) -> CameraEvent | None:
        """All its results have gone out; ``None`` where that is known."""
        if self.state == "ended":
            return None
        self.state = "ended"
        return CameraEvent(self.spec.name, "ended", now, reason)

    @property
    def live(self) -> bool:
        return self.joiner.live

    @property
    def published(self) -> int:
        """The sequence that the next captured frame gets."""
        return max([self._earlier_published, *(ring.published for ring in self.rings.values())])

    @property
    def ring_full(self) -> int:
        """Frames that capture dropped because no slot was free."""
        return self._earlier_ring_full + sum(ring.dropped for ring in self.rings.values())

    def add_ring(self, slots: int, slot_bytes: int, readers: int) -> int:
        """Allocate the next generation; returns its number. Raises MemoryError. Earlier ones that are done are let go."""
        self._free_rings()
        generation = max(self.rings, default=-1) + 1
        ring = FrameRing.create(slots, slot_bytes)
        ring.readers = readers
        ring.emitted = self.joiner.emitted
        self.rings[generation] = ring
        return generation

    def ring_message(self, generation: int) -> tuple[dict[str, Any], dict[str, int]]:
        """The control message that gives a worker this generation."""
        message = {"op": "ring", "camera": self.number, "generation": generation, "live": self.live}
        return message, {"ring": self.rings[generation].fd}

    def note_emitted(self) -> None:
        for ring in self.rings.values():
            ring.emitted = self.joiner.emitted

    def recover_rings(self) -> None:
        """After the death of the capture worker: its successor goes on behind the last frame handed over, in the
        newest ring."""
        for generation, ring in self.rings.items():
            ring.recover()
            if generation < max(self.rings):
                ring.close_writer()

    def close_writers(self) -> None:
        for ring in self.rings.values():
            ring.close_writer()

    def _free_rings(self) -> None:
        """Let go the rings that capture has left and in which nobody holds a frame any more."""
        for generation, ring in list(self.rings.items()):
            held = ring.held(TRACK_READER) or ring.held(OUTPUT_READER)
            if generation < max(self.rings) and ring.closed and not held:
                self._earlier_ring_full += ring.dropped
                self._earlier_published = max(self._earlier_published, ring.published)
                del self.rings[generation]
