"""Cameras that come, need memory, and go while the others run on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ferengine.errors import FerengineError, UsageError
from ferengine.ipc.process import WorkerProcess
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.frame_loans import Lender, LenderBits
from ferengine.runtime.push import PushInput
from ferengine.runtime.subscriptions import Subscription
from ferengine.sources import SourceSpec

if TYPE_CHECKING:
    from ferengine.runtime.supervisor import Supervisor

_LEAVE_WITHIN = 1.0
"""Seconds that the frames of a removed camera get to come out."""


class Roster:
    """Sources and consumers of images of a running engine; belongs to the supervisor's thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._cameras = supervisor.cameras
        self._topology = supervisor.topology
        self._delivery = supervisor.delivery
        self._bits = LenderBits()

    # --- cameras

    def add(self, spec: SourceSpec) -> CameraState:
        """A further camera, with its capture worker. Raises MemoryError or OSError, and leaves nothing of it behind, where the
        system refuses what they need."""
        camera = self._cameras.add(spec)
        if camera.capture is None:
            camera.input = PushInput(camera, self._supervisor)
        if self._supervisor.started:
            self._topology.announce_camera(camera)
            try:
                if camera.capture is not None:
                    self._supervisor.workforce.start(camera.capture)
            except (MemoryError, OSError):
                self.forget(camera)
                raise
        return camera

    def close_input(self, camera: CameraState) -> None:
        """No further frame is captured; those on their way still come out."""
        if camera.capture is not None:
            camera.capture.send({"op": "stop"})
        elif camera.input is not None:
            camera.input.close()

    def leave(self, camera: CameraState, *, drain: bool) -> None:
        """Remove the camera, once what is on its way has come out (at most a second) or at once."""
        camera.leave_until = time.monotonic() + (_LEAVE_WITHIN if drain else 0.0)
        self.close_input(camera)

    def forget(self, camera: CameraState) -> None:
        """Take everything away that the camera had: worker, rings, records that wait."""
        self._end_output(camera)
        self._topology.forget_camera(camera)
        if camera.capture is not None:
            self._supervisor.workforce.dismiss(camera.capture)
        camera.drop_rings()
        self._cameras.remove(camera)
        camera.left.set()

    def fail(self, camera: CameraState, error: FerengineError) -> None:
        """The camera ends with ``error``; raised here when none is left that could ever give a frame."""
        camera.error = str(error)
        only = all(other.error for other in self._cameras) and not self._supervisor.statistics.frames
        if only and not self._supervisor.keep_open:
            raise error
        self._supervisor.note(str(error))
        camera.close_writers()
        self._topology.trackers[camera.tracker].page.notify()

    # --- rings

    def begin_ring(self, camera: CameraState, nbytes: int) -> None:
        """A new generation with slots of ``nbytes``; a camera that there is no memory for ends."""
        try:
            self.new_ring(camera, nbytes)
        except UsageError as error:
            self.fail(camera, error)

    def new_ring(self, camera: CameraState, nbytes: int) -> None:
        """The same; raises UsageError where there is no memory."""
        lenders = self._lenders_of(camera)
        slots = self._topology.ring_slots(lenders)
        try:
            generation = camera.add_ring(slots, nbytes, self._topology.ring_readers(lenders))
        except (MemoryError, OSError, ValueError) as error:
            raise UsageError(
                f"{camera.name}: {slots} frames of {nbytes / 2**20:.1f} MiB do not fit into memory ({error}): make them "
                "smaller, lower detect_every, or let fewer images wait"
            ) from None
        self._topology.announce_ring(camera, generation)

    def tidy(self) -> None:
        """Let go of rings that nobody needs any more."""
        for camera in self._cameras:
            self._bits.clear_up(camera.rings.values())
            if camera.done:
                self._end_output(camera)
            gone = list(camera.rings) if camera.done else camera.emptied_rings()
            for generation in gone:
                self._topology.forget_ring(camera, generation)
                camera.drop_ring(generation)

    def _end_output(self, camera: CameraState) -> None:
        if not camera.output_ended:
            camera.output_ended = True
            self._supervisor.output.end(camera.number)

    def give_up_output(self, worker: WorkerProcess) -> None:
        """An output has failed for good: no frame is kept for it any more."""
        for outlet in self._topology.outlets:
            if outlet.worker is worker:
                outlet.give_up()
                self._bits.give_back(outlet.lender.reader)
        self._renew_masks()

    # --- consumers of images

    def lend_to(self, waiting: int, cameras: frozenset[str] | None) -> Lender:
        """A bit in the hold masks for a consumer that lets at most ``waiting`` images wait."""
        return Lender(self._bits.take(), waiting, cameras)

    def subscribe(self, subscription: Subscription) -> None:
        """Raises UsageError where there is no memory for the images that it may keep."""
        self._delivery.add(subscription)
        if subscription.lender is None:
            return
        try:
            for camera in self._with_rings():
                if camera.newest_ring.slots < self._topology.ring_slots(self._lenders_of(camera)):
                    self.new_ring(camera, camera.newest_ring.slot_bytes)
        except UsageError:
            self.unsubscribe(subscription)
            raise
        self._renew_masks()

    def unsubscribe(self, subscription: Subscription) -> None:
        """The consumer has given everything back."""
        self._delivery.remove(subscription)
        if subscription.lender is not None:
            self._bits.give_back(subscription.lender.reader)
            self._renew_masks()

    def _renew_masks(self) -> None:
        for camera in self._with_rings():
            readers = self._topology.ring_readers(self._lenders_of(camera))
            for ring in camera.rings.values():
                ring.readers = readers

    def _with_rings(self) -> list[CameraState]:
        return [camera for camera in self._cameras if camera.rings and not camera.ended]

    def _lenders_of(self, camera: CameraState) -> list[Lender]:
        return [lender for lender in self._delivery.lenders if lender.wants(camera.name)]
