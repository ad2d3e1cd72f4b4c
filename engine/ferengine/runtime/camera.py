"""What the supervisor knows of one camera."""

from __future__ import annotations

from typing import Any

from ferengine._native import FrameRing
from ferengine.runtime.camera_life import CameraLife
from ferengine.runtime.joiner import CameraJoiner
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
        self.life = CameraLife(spec.name)

    @property
    def live(self) -> bool:
        return self.joiner.live

    @property
    def published(self) -> int:
        """The sequence that the next captured frame gets."""
        return max((ring.published for ring in self.rings.values()), default=0)

    @property
    def ring_full(self) -> int:
        """Frames that capture dropped because no slot was free."""
        return sum(ring.dropped for ring in self.rings.values())

    def add_ring(self, slots: int, slot_bytes: int, readers: int) -> int:
        """Allocate the next generation; returns its number."""
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
