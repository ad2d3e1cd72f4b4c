"""What the supervisor knows of one camera."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ferengine._native import FrameRing
from ferengine.ipc.process import WorkerProcess
from ferengine.runtime.camera_life import CameraLife
from ferengine.runtime.joiner import CameraJoiner
from ferengine.sources import SourceSpec

if TYPE_CHECKING:
    from ferengine.runtime.push import PushInput

StateName: TypeAlias = Literal["opening", "running", "lost", "leaving", "ended", "failed"]


class CameraState:
    """One source of a run: its capture worker (or, where the caller pushes the frames, its input), rings and joiner,
    and how far it has come. ``tracker`` is the index of the track worker that has it; ``left`` is set once the camera
    has been removed."""

    def __init__(self, number: int, spec: SourceSpec, joiner: CameraJoiner, tracker: int) -> None:
        self.number = number
        self.spec = spec
        self.joiner = joiner
        self.tracker = tracker
        self.capture = None if spec.kind == "push" else WorkerProcess(f"capture-{spec.name}")
        self.input: PushInput | None = None
        self.left = threading.Event()
        self.output_ended = False
        self.epoch = 1
        self.fps = 0.0
        self.rings: dict[int, FrameRing] = {}
        self.generations = 0
        self.opened = self.capture is None
        self.ended = False
        self.leave_until: float | None = None
        self.broken = 0
        self.late = 0
        self.not_ready = 0
        self.last_captured_ns = 0
        self.error: str | None = None
        self.life = CameraLife(spec.name)
        self._published = 0
        self._ring_full = 0

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def live(self) -> bool:
        return self.joiner.live

    @property
    def done(self) -> bool:
        """Whether nothing of it is still to come out."""
        return self.ended and not self.joiner.waiting

    @property
    def state(self) -> StateName:
        if self.error is not None:
            return "failed"
        if self.ended:
            return "ended"
        if self.leave_until is not None:
            return "leaving"
        if self.life.state == "lost":
            return "lost"
        return "running" if self.opened else "opening"

    @property
    def published(self) -> int:
        """The sequence that the next captured frame gets."""
        return max([self._published, *(ring.published for ring in self.rings.values())])

    @property
    def ring_full(self) -> int:
        """Frames that capture dropped because no slot was free."""
        return self._ring_full + sum(ring.dropped for ring in self.rings.values())

    @property
    def newest_ring(self) -> FrameRing:
        return self.rings[max(self.rings)]

    def add_ring(self, slots: int, slot_bytes: int, readers: int) -> int:
        """Allocate the next generation; returns its number. Raises MemoryError."""
        ring = FrameRing.create(slots, slot_bytes)
        ring.readers = readers
        ring.emitted = self.joiner.emitted
        generation = self.generations
        self.generations += 1
        self.rings[generation] = ring
        return generation

    def drop_ring(self, generation: int) -> None:
        """Let a generation go; what it counted is kept."""
        ring = self.rings.pop(generation)
        self._published = max(self._published, ring.published)
        self._ring_full += ring.dropped

    def drop_rings(self) -> None:
        for generation in list(self.rings):
            self.drop_ring(generation)

    def emptied_rings(self) -> list[int]:
        """Old generations that the writer has left and no reader holds a frame of."""
        return [
            generation
            for generation in sorted(self.rings)[:-1]
            if self.rings[generation].closed and not any(self.rings[generation].held(reader) for reader in range(32))
        ]

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
        """No further frame comes. A camera that never had one has ended."""
        for ring in self.rings.values():
            ring.close_writer()
        self.ended = self.ended or not self.rings
