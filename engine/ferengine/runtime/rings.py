"""The frame rings of a run: allocated, announced to their readers, and let go when nothing is left in them.

A ring of large frames takes gigabytes and seconds to allocate, so that is done in a dedicated thread; the
supervisor's goes on meanwhile. Belongs otherwise to the supervisor's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from ferengine._native import FrameRing
from ferengine.errors import EngineStoppedError, FerengineError, UsageError, WorkerError
from ferengine.ipc.frame_loans import FrameReader, ReaderIds
from ferengine.ipc.machine import memory_left, refusal
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.state import BackgroundThread, RunState
from ferengine.runtime.subscriptions import Subscription
from ferengine.runtime.topology import RingSize
from ferengine.stages.records import FIRST_LOAN_READER

_LEAVE = 1.0
"""Seconds that an allocation in progress gets at the end of the run; it ends by itself later."""


_RESERVE = 64 << 20
"""Bytes of the memory that is left which are not for frames."""

log = logging.getLogger("ferengine")


class FrameRings:
    """All frame rings, and the consumers of images that read them.

    Args:
        state: The run.
        on_failed: Called when a camera gets no ring: mostly when there is no memory for its frames.
    """

    def __init__(self, state: RunState, on_failed: Callable[[CameraState, FerengineError], None]) -> None:
        self._state = state
        self._cameras = state.cameras
        self._topology = state.topology
        self._on_failed = on_failed
        self._ids = ReaderIds(FIRST_LOAN_READER)
        self._thread = BackgroundThread("ferengine-allocator")
        self._pending: dict[Future[None], tuple[int, int, int]] = {}  # camera, bytes of a slot and slots of each
        self._closed = False

    # --- rings

    @property
    def pending(self) -> int:
        """Rings that are being allocated."""
        return len(self._pending)

    def begin(self, camera: CameraState, slot_bytes: int) -> None:
        """Begin a new generation for a camera; one that there is no memory for fails."""
        self.request(camera, slot_bytes).add_done_callback(partial(self._note_outcome, camera))

    def request(self, camera: CameraState, slot_bytes: int) -> Future[None]:
        """Begin a new generation with slots of ``slot_bytes``, unless one of that size is on its way to the camera.

        Returns:
            Done when the ring has been announced, or the camera has left or ended; its error is UsageError where there is no
            memory, EngineStoppedError at the end of the run, WorkerError for an unforeseen failure.
        """
        wanted = camera.number, slot_bytes, self._size_for(camera, slot_bytes).slots
        for pending, size in self._pending.items():
            if size == wanted:
                return pending
        future: Future[None] = Future()
        self._pending[future] = wanted
        self._submit(camera, slot_bytes, future)
        return future

    def _submit(self, camera: CameraState, slot_bytes: int, future: Future[None]) -> None:
        size = self._size_for(camera, slot_bytes)
        self._thread.submit(lambda: self._allocate(camera, size, slot_bytes, future))

    def _allocate(self, camera: CameraState, size: RingSize, slot_bytes: int, future: Future[None]) -> None:
        """In the allocator's thread. A camera that has left or ended meanwhile gets no ring any more."""
        ring: FrameRing | None = None
        error: FerengineError | None = None
        if not self._closed and camera.takes_rings:
            try:
                ring = FrameRing.create(_affordable(camera.name, size, slot_bytes), slot_bytes)
            except UsageError as reason:
                error = reason
            except (MemoryError, OSError, ValueError) as reason:
                said = refusal(reason) or f"{reason}: make them smaller (--size), or let fewer images wait"
                error = UsageError(
                    f"{camera.name}: {size.slots} frames of {slot_bytes / 2**20:.1f} MiB do not fit into memory ({said})"
                )
            except Exception as reason:  # unforeseen: the thread goes on, and the error reaches those that wait for the ring
                log.exception("the frame ring of %s could not be allocated", camera.name)
                error = WorkerError(f"{camera.name}: its frame ring could not be allocated: {reason!r}; please report this")
        self._state.executor.post(lambda: self._finish(camera, ring, error, future))

    def _finish(self, camera: CameraState, ring: FrameRing | None, error: FerengineError | None, future: Future[None]) -> None:
        if future not in self._pending:  # the run is over
            return
        if ring is not None and camera.takes_rings:
            size = self._size_for(camera, ring.slot_bytes)
            if ring.slots < size.minimum:  # a consumer of images has come meanwhile
                self._submit(camera, ring.slot_bytes, future)
                return
            camera.hold = size.hold
            generation = camera.add_ring(ring, self._topology.ring_mask(self._readers_of(camera)))
            self._topology.announce_ring(camera, generation)
        del self._pending[future]
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _note_outcome(self, camera: CameraState, future: Future[None]) -> None:
        error = future.exception()
        if camera.error is None and isinstance(error, FerengineError) and not isinstance(error, EngineStoppedError):
            self._on_failed(camera, error)

    def tidy(self) -> None:
        """Let go of rings that nothing reads or writes any more."""
        for camera in self._cameras:
            self._ids.clear_up(camera.rings.values())
            unused = self._undrawn(camera) if camera.done else camera.emptied_rings()
            for generation in unused:
                self._topology.forget_ring(camera, generation)
                camera.drop_ring(generation)

    def _undrawn(self, camera: CameraState) -> list[int]:
        """The rings of a camera that is done, but those that an output, or the successor of its worker, still has to draw."""
        readers = self._topology.output_readers
        return [number for number, ring in camera.rings.items() if not any(ring.held(reader) for reader in readers)]

    def close(self) -> None:
        """The run is over: what is being allocated is not waited for any more."""
        self._closed = True
        pending, self._pending = self._pending, {}
        for future in pending:
            future.set_exception(EngineStoppedError("the engine has stopped: start a new one"))
        self._thread.close(_LEAVE)

    # --- their readers

    def new_reader(self, waiting: int, cameras: frozenset[str] | None) -> FrameReader:
        """A reader for a consumer that lets at most ``waiting`` images wait. Raises UsageError when there are too many."""
        return FrameReader(self._ids.take(), waiting, cameras)

    def subscribe(self, subscription: Subscription) -> list[Future[None]]:
        """Add a consumer. It gets images once the rings that are returned have slots for it, and ``renew_masks`` was
        called."""
        self._state.subscriptions.add(subscription)
        if subscription.reader is None:
            return []
        small = [
            camera
            for camera in self._with_rings()
            if camera.newest_ring.slots < self._size_for(camera, camera.newest_ring.slot_bytes).slots
        ]
        return [self.request(camera, camera.newest_ring.slot_bytes) for camera in small]

    def unsubscribe(self, subscription: Subscription) -> None:
        """The consumer has released everything."""
        self._state.subscriptions.remove(subscription)
        if subscription.reader is not None:
            self.release_reader(subscription.reader)

    def release_reader(self, reader: FrameReader) -> None:
        """No frame is kept for ``reader`` any more."""
        self._ids.release(reader.reader)
        self.renew_masks()

    def renew_masks(self) -> None:
        """Have frames published for the readers that there are now."""
        for camera in self._with_rings():
            mask = self._topology.ring_mask(self._readers_of(camera))
            for ring in camera.rings.values():
                ring.readers = mask

    def _with_rings(self) -> list[CameraState]:
        return [camera for camera in self._cameras if camera.rings and not camera.ended]

    def _size_for(self, camera: CameraState, slot_bytes: int) -> RingSize:
        return self._topology.ring_size(slot_bytes, camera.live, self._readers_of(camera))

    def _readers_of(self, camera: CameraState) -> list[FrameReader]:
        return [reader for reader in self._state.subscriptions.readers if reader.wants(camera.name)]


def _affordable(name: str, size: RingSize, slot_bytes: int) -> int:
    """How many slots the memory that is left holds, of those that are wanted.

    Raises:
        UsageError: Not even the fewest with which the camera ``name`` works. It names the limit: a ring that went over it would
            not fail, but have the kernel kill a process.
    """
    left = memory_left()
    slots = min(size.slots, max(0, left.nbytes - _RESERVE) // max(1, slot_bytes))
    if slots < size.minimum:
        raise UsageError(
            f"{name}: {size.minimum} frames of {slot_bytes / 2**20:.1f} MiB do not fit into {left.limit}, of which "
            f"{left.nbytes >> 20} MiB are left: scale the source down (--size), or raise the limit"
        )
    return slots
