"""Frames that the caller pushes: written straight into the camera's frame ring, without a capture process."""

from __future__ import annotations

import threading
import time

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FrameRing
from ferengine.errors import EngineStoppedError, UsageError
from ferengine.frames import AnyImage, check_image, copy_as_bgr
from ferengine.results import Pushed
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.rings import FrameRings
from ferengine.runtime.state import RunState
from ferengine.runtime.subscriptions import deadline_after, is_number
from ferengine.sources.clock import CallerClock, WallClock

_SLICE = 0.05
"""Seconds that one wait lasts at most, so that the end of the run is noticed."""

_MAX_TIMESTAMP = 1e11
"""Seconds either way, some 3,000 years: what lies beyond is milliseconds or nanoseconds taken for seconds."""


class PushInput:
    """The writing end of one push camera's rings; may be used by several threads, one frame at a time.

    Args:
        camera: The camera.
        state: The run.
        rings: Where it gets its rings from.
    """

    def __init__(self, camera: CameraState, state: RunState, rings: FrameRings) -> None:
        self._camera = camera
        self._state = state
        self._rings = rings
        self._limit = state.config.max_frames
        self._lock = threading.Lock()
        self._sequence = 0
        self._wall = WallClock()
        self._clock = CallerClock()
        self._closing = False
        self._generation = -1

    def push(self, frame: AnyImage, timestamp: float | None, timeout: float) -> Pushed:
        """Copy ``frame`` into the ring.

        Args:
            frame: As ``Engine.push`` takes it.
            timestamp: Seconds, ``None`` for now.
            timeout: Seconds within which it is to be accepted where the camera is not live; a live one accepts it at once
                or not at all.

        Raises:
            UsageError: The frame or its time stamp makes no sense, or there is no memory for it.
        """
        name = self._camera.name
        image = check_image(frame, f"{name}: a pushed frame")
        if timestamp is not None and not (is_number(timestamp) and abs(timestamp) <= _MAX_TIMESTAMP):  # NaN is refused too
            raise UsageError(f"{name}: a time stamp is a number of seconds, {_MAX_TIMESTAMP:g} at most, not {timestamp!r}")
        captured_ns = time.monotonic_ns()
        deadline = deadline_after(0.0 if self._camera.live else timeout)
        if deadline is None:
            raise UsageError(f"{name}: a pushed frame waits for a number of seconds, not {timeout!r}")
        with self._lock:
            stamp = self._wall.stamp() if timestamp is None else float(timestamp)
            pushed = self._push(image, stamp, captured_ns, deadline)
        if self._closing:
            self._try_close()
        return pushed

    def close(self) -> None:
        """Take no further frame; never blocks."""
        self._closing = True
        self._try_close()

    def _try_close(self) -> None:
        if self._lock.acquire(blocking=False):  # a thread that has it looks at _closing when done
            try:
                self._camera.close_writers()
            finally:
                self._lock.release()
            self._wake_reader()

    @property
    def _over(self) -> bool:
        return self._closing or self._state.ending or self._camera.error is not None

    def _push(self, image: NDArray[np.uint8], stamp: float, captured_ns: int, deadline: float) -> Pushed:
        ready = self._state.ready
        while not self._over and not ready.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                self._camera.not_ready += self._camera.live
                return Pushed(False, "not_ready")
            ready.wait(min(left, _SLICE))
        height, width = image.shape[:2]
        ring = self._ring_for(width * height * 3)
        if ring is None or self._over:
            return Pushed(False, "ended")
        while (slot := ring.acquire(min(max(0.0, deadline - time.monotonic()), _SLICE))) < 0:
            if self._over:
                return Pushed(False, "ended")
            if time.monotonic() >= deadline:
                if self._camera.live:  # as with a camera the gap shows; otherwise the frame is the caller's, who may try again
                    ring.drop()
                    self._sequence += 1
                    self._note_limit()
                return Pushed(False, "ring_full")
        copy_as_bgr(image, ring.payload(slot)[: width * height * 3].reshape(height, width, 3))
        number = self._sequence
        self._sequence += 1
        timestamp = self._clock.stamp(stamp)
        self._camera.replaced_stamps = self._wall.replaced + self._clock.replaced
        ring.publish(slot, number, width, height, width * 3, 3, timestamp, captured_ns, ring.readers)
        self._note_limit()
        self._wake_reader()
        return Pushed(True, None, number)

    def _note_limit(self) -> None:
        """Close behind the last frame that is wanted, also where that one was dropped."""
        self._closing |= self._limit is not None and self._sequence >= self._limit

    def _ring_for(self, nbytes: int) -> FrameRing | None:
        """The newest generation, a new one if its slots are too small; ``None`` when the engine has stopped.

        The supervisor may have begun one too, for a consumer of images; where that came last and has the old size, another is
        requested. The generation before is closed only here,
        where no other thread can be writing to it.
        """
        camera = self._camera
        while camera.takes_rings and (not camera.rings or camera.newest_ring.slot_bytes < nbytes):
            try:
                self._state.executor.call(lambda: self._rings.request(camera, nbytes)).result()
            except EngineStoppedError:
                return None
        if camera.done or not camera.takes_rings:
            return None
        newest = max(camera.rings)
        old = camera.rings.get(self._generation)
        if newest != self._generation and old is not None:
            old.close_writer()
            self._wake_reader()
        self._generation = newest
        return camera.rings.get(newest)

    def _wake_reader(self) -> None:
        self._state.topology.trackers[self._camera.tracker].page.notify()
        if self._camera.ended:
            self._state.wake()
