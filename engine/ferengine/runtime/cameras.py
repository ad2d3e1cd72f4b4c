"""What the engine knows of its cameras, which come and go."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from operator import add
from typing import Literal, Protocol, TypeAlias

from ferengine._native import FrameRing
from ferengine.config import EngineConfig
from ferengine.errors import FerengineError, UsageError, name_hint
from ferengine.frames import AnyImage
from ferengine.models.manifest import Head
from ferengine.models.settings import Prior
from ferengine.results import CameraEvent, Pushed
from ferengine.runtime.joiner import CameraJoiner
from ferengine.runtime.workers import new_worker
from ferengine.seen import Seen
from ferengine.sources import SourceSpec, unique_names
from ferengine.stages.messages import CaptureCounts, CaptureEnded, SourceOpened
from ferengine.stages.records import TRACK_READER
from ferengine.zones import NO_ZONES

StateName: TypeAlias = Literal["opening", "running", "disconnected", "leaving", "ended", "failed"]


class FrameInput(Protocol):
    """The writing end of a camera whose frames the caller pushes."""

    def push(self, frame: AnyImage, timestamp: float | None, timeout: float) -> Pushed:
        """See ``Engine.push``."""
        ...

    def close(self) -> None:
        """Take no further frame; never blocks."""
        ...


class Lifecycle:
    """When the camera ``name`` starts, is disconnected, reconnects and ends.

    Each method returns the event to report, or ``None`` where that has been reported; ``now`` is seconds since the epoch.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Literal["opening", "running", "disconnected", "ended"] = "opening"
        self._started = False
        self._disconnected_at = 0.0

    def note_open(self, now: float) -> CameraEvent | None:
        """It is open: "started", or "reconnected"."""
        if self.state not in ("opening", "disconnected"):
            return None
        was_started, self.state, self._started = self._started, "running", True
        if was_started:
            return CameraEvent(self.name, "reconnected", now, seconds=max(0.0, now - self._disconnected_at))
        return CameraEvent(self.name, "started", now)

    def note_disconnect(self, reason: str, now: float) -> CameraEvent | None:
        """It broke off, or did not open and is tried again."""
        if self.state not in ("opening", "running"):
            return None
        self.state, self._disconnected_at = "disconnected", now
        return CameraEvent(self.name, "disconnected", now, reason)

    def note_end(self, reason: str | None, now: float) -> CameraEvent | None:
        """All its results have gone out."""
        if self.state == "ended":
            return None
        self.state = "ended"
        return CameraEvent(self.name, "ended", now, reason)


class CameraState:
    """One source of a run: its capture worker (or, where the caller pushes the frames, its input), rings and joiner,
    and how far it has come.

    Args:
        number: What messages call it.
        spec: The source.
        joiner: Where its records wait for their scores.
        tracker: The index of the track worker that has it.
    """

    def __init__(self, number: int, spec: SourceSpec, joiner: CameraJoiner, tracker: int) -> None:
        self.number = number
        self.spec = spec
        self.joiner = joiner
        self.zones = NO_ZONES
        self.tracker = tracker
        self.capture = None if spec.kind == "push" else new_worker(f"capture-{spec.name}", f"capture {spec.name}")
        self.input: FrameInput | None = None
        self.removed = threading.Event()
        self.output_ended = False
        self.hold = 1
        self.epoch = 1
        self.fps = 0.0
        self.total: int | None = None
        self.at_end = False
        self.size: tuple[int, int] | None = None
        self.seen = Seen()
        self.rings: dict[int, FrameRing] = {}
        self.opened = self.capture is None
        self.held = False
        self.input_ended = False
        self.ended = False
        self.leave_until: float | None = None
        self.broken = 0
        self.cut = 0
        self.late = 0
        self.not_ready = 0
        self.left_out = 0
        self.replaced_stamps = 0
        self.truncated = False
        self.last_captured_ns = 0
        self.error: str | None = None
        self.lifecycle = Lifecycle(spec.name)
        self._max_frames: int | None = None
        self._frames: int | None = None
        self._seconds: float | None = None
        self._earlier_counts = (0, 0, 0, 0)
        self._input_closed = False
        self._generations = 0
        self._published = 0
        self._ring_full = 0
        self._skipped = 0
        self.use_zones(spec)

    def use_zones(self, spec: SourceSpec) -> None:
        """Watch and ignore what ``spec`` says, which is the camera's but for its zones."""
        self.spec, self.zones = spec, spec.compiled_zones(self.zones.version + 1)
        self.joiner.set_zones(self.zones)

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
        if self.lifecycle.state == "disconnected":
            return "disconnected"
        return "running" if self.opened else "opening"

    def end_reason(self, run_error: FerengineError | None, *, stopped: bool) -> str | None:
        """Why it has ended; ``None`` where its source came to its own end.

        Args:
            run_error: What ended the run.
            stopped: Whether the run was asked to stop.
        """
        if self.error is not None:
            return self.error
        if self.leave_until is not None:
            return "it was removed"
        if stopped:
            return "the run was stopped"
        return None if self.done else str(run_error or "the run was stopped")

    @property
    def takes_rings(self) -> bool:
        """Whether frames may still come."""
        return not (self._input_closed or self.removed.is_set())

    @property
    def published(self) -> int:
        """The sequence that the next captured frame gets."""
        return max([self._published, *(ring.published for ring in self.rings.values())])

    @property
    def last_timestamp(self) -> float | None:
        """Of the frame captured last; None before the first, and where frames were dropped behind it."""
        headers = (ring.header(slot) for ring in self.rings.values() for slot in range(ring.slots))
        return next((found.timestamp for found in headers if found.width and found.sequence == self.published - 1), None)

    @property
    def ring_full(self) -> int:
        """Frames that capture dropped because no slot was free."""
        return self._ring_full + sum(ring.dropped for ring in self.rings.values())

    @property
    def skipped(self) -> int:
        """Frames that the track worker passed over for a newer one."""
        return self._skipped + sum(ring.skipped for ring in self.rings.values())

    @property
    def newest_ring(self) -> FrameRing:
        return self.rings[max(self.rings)]

    def add_ring(self, ring: FrameRing, readers: int) -> int:
        """Take ``ring`` as the next generation, with the hold mask ``readers``; returns its number."""
        ring.readers = readers
        ring.emitted = self.joiner.emitted
        generation = self._generations
        self._generations += 1
        self.rings[generation] = ring
        return generation

    def drop_ring(self, generation: int) -> None:
        """Let a generation go; what it counted is kept."""
        ring = self.rings.pop(generation)
        self._published = max(self._published, ring.published)
        self._ring_full += ring.dropped
        self._skipped += ring.skipped

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

    def note_emitted(self) -> None:
        """Show the track worker how many results have gone out."""
        for ring in self.rings.values():
            ring.emitted = self.joiner.emitted

    def note_length(self, opened: SourceOpened, max_frames: int | None) -> None:
        """How much its source holds, and how many of its frames are wanted."""
        self._max_frames = max_frames
        self._frames, self._seconds = opened.frames or None, opened.seconds or None
        self.total = min(filter(None, (self._frames, max_frames)), default=None)

    @property
    def progress(self) -> float | None:
        """The fraction of its frames that has gone out; None where its source has no end that is known. Where the number of
        frames is not known, as where some are left out, it is that of its seconds."""
        numbered, timestamp = self.joiner.last_emitted
        parts = [(numbered + 1) / count for count in (self._frames, self._max_frames) if count]
        if self._seconds and not self._frames:
            parts.append((timestamp + 1 / self.fps) / self._seconds if numbered >= 0 else 0.0)
        if not parts:
            return None
        return 1.0 if self.done and self.at_end else min(1.0, max(parts))

    def note_counts(self, counts: CaptureCounts | CaptureEnded) -> None:
        """What the present life of the capture worker has counted so far."""
        new = (counts.broken, counts.late, counts.left_out, counts.replaced_stamps)
        self.broken, self.late, self.left_out, self.replaced_stamps = map(add, self._earlier_counts, new)
        self.truncated |= counts.truncated

    def begin_capture_life(self) -> None:
        """The capture worker is replaced: what it counted is kept. The successor passes over the beginning of a file, and
        counts what is broken there itself."""
        counts = (self.broken, self.late, self.left_out, self.replaced_stamps)
        self._earlier_counts = counts if self.live else (0, self.late, self.left_out, 0)

    def recover_rings(self) -> None:
        """After the death of the capture worker: its successor goes on behind the last frame published, in the newest
        ring."""
        for generation, ring in self.rings.items():
            ring.recover()
            if generation < max(self.rings):
                ring.close_writer()

    def release_recorded(self) -> None:
        """After the death of its track worker: release the frames that it still held though it had recorded them, such as one
        whose detection had not come. Its successor would count them as passed over."""
        for ring in self.rings.values():
            for sequence, slot in ring.held(TRACK_READER):
                if sequence <= self.joiner.last_sequence:
                    ring.release(slot, TRACK_READER)

    def note_cut(self) -> None:
        """It goes, and what was captured and has not come out with it."""
        held = [sequence for ring in self.rings.values() for sequence, _ in ring.held(TRACK_READER)]
        self.cut = sum(sequence > self.joiner.last_sequence for sequence in held) + self.joiner.waiting

    def close_writers(self) -> None:
        """No further frame comes. A camera that never had a ring has ended: no track worker will report its end."""
        self._input_closed = True
        for ring in self.rings.values():
            ring.close_writer()
        self.ended = self.ended or not self.rings


class Cameras:
    """Cameras by number and by name.

    Numbers are never used twice, so that messages still on their way from a removed camera are not mistaken for
    another's. What a removed one had counted is kept.

    Args:
        labels, gender_labels: The classes of the networks, in the order of their outputs.
        heads: The further heads of the model, in the same order.
        config: Settings of the run.
        trackers: How many track workers share the cameras.
        prior: The class prior of the expression model, None where it names none.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        gender_labels: tuple[str, ...],
        config: EngineConfig,
        trackers: int,
        heads: tuple[Head, ...] = (),
        prior: Prior | None = None,
    ) -> None:
        self._prior = prior
        self._labels, self._gender_labels, self._heads = labels, gender_labels, heads
        self._config = config
        self._trackers = trackers
        self._by_number: dict[int, CameraState] = {}
        self._next = 0
        self._removed_counts: Counter[str] = Counter()
        self._removed: set[str] = set()

    def __iter__(self) -> Iterator[CameraState]:
        return iter(list(self._by_number.values()))

    def __len__(self) -> int:
        return len(self._by_number)

    def get(self, number: int) -> CameraState | None:
        """``None`` for a camera that has been removed."""
        return self._by_number.get(number)

    def named(self, name: str) -> CameraState:
        """Raises UsageError for a name that no camera has."""
        for camera in self if isinstance(name, str) else ():
            if camera.name == name:
                return camera
        raise UsageError(f"there is no camera {name!r}: {name_hint(name, (camera.name for camera in self))}")

    def was_removed(self, name: str) -> bool:
        """Whether a camera had this name, and none has it now."""
        return isinstance(name, str) and name in self._removed and all(camera.name != name for camera in self)

    def add(self, spec: SourceSpec) -> CameraState:
        """A camera for ``spec``, under a name that no other has, with the track worker that has fewest."""
        *_, spec = unique_names([*(camera.spec for camera in self), spec])
        config = self._config
        joiner = CameraJoiner(
            spec.name,
            spec.live,
            self._labels,
            config.deadline,
            config.smoothing,
            config.min_confidence,
            gender_labels=self._gender_labels,
            label_hold=config.label_hold,
            check_quality=config.check_quality,
            heads=self._heads,
            prior=self._prior,
        )
        load = Counter(camera.tracker for camera in self if not camera.ended)
        tracker = min(range(self._trackers), key=lambda index: (load[index], index))
        camera = CameraState(self._next, spec, joiner, tracker)
        self._by_number[self._next] = camera
        self._next += 1
        return camera

    def remove(self, camera: CameraState) -> None:
        self._removed_counts.update(camera_counts(camera))
        self._removed.add(camera.name)
        del self._by_number[camera.number]
        camera.removed.set()

    def counts(self) -> Counter[str]:
        """The sums over all cameras, removed ones included: see ``camera_counts``."""
        total = Counter(self._removed_counts)
        for camera in self:
            total.update(camera_counts(camera))
        return total


def camera_counts(camera: CameraState) -> dict[str, int]:
    """Frames and faces that went out, faces that zones excluded, and drops by reason."""
    joiner = camera.joiner
    return {
        "frames": joiner.emitted,
        "faces": joiner.faces,
        "ignored": joiner.ignored,
        "ring_full": camera.ring_full,
        "broken": camera.broken,
        "late": camera.late,
        "not_ready": camera.not_ready,
        "cut": camera.cut,
        "skipped": camera.skipped,
        "deadline": joiner.unclassified["deadline"],
        "face_ring_full": joiner.unclassified["face_ring_full"],
        "not_finite": joiner.unclassified["not_finite"],
        "too_many": joiner.unclassified["too_many"],
    }
