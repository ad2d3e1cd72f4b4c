"""The capture worker: decodes one source into its frame ring."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ferengine._native import FrameRing, WorkerPage
from ferengine.sources import SourceSpec, open_source
from ferengine.sources.base import CapturedFrame
from ferengine.vision import cv2

if TYPE_CHECKING:
    from ferengine.runtime.worker import Worker

_SLOT_WAIT = 0.02
"""Seconds that a file waits for a free slot before the worker looks at its control socket again."""


class CaptureStage:
    """Source -> frame ring. Files wait for a free slot; live sources drop their own frame (``ring_full``)."""

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        cv2.setNumThreads(1)
        self._worker = worker
        self._camera = int(settings["camera"])
        self._limit: int | None = settings["max_frames"]
        self._reader_page = WorkerPage.attach(os.dup(descriptors["track_page"]))
        self._source = open_source(SourceSpec.from_dict(settings["source"]))
        info = self._source.open()
        self._live = info.live
        self._ring: FrameRing | None = None
        self._asked_for = 0
        self._waiting: CapturedFrame | None = None
        self._running = self._ended = False
        self._sequence = int(settings["resume_at"])
        self._source.skip(self._sequence)
        worker.control.send({"op": "opened", "camera": self._camera, "width": info.width, "height": info.height,
                             "fps": info.fps, "live": info.live})  # fmt: skip

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        if message["op"] == "ring" and message["camera"] == self._camera:
            if self._ring is not None:
                self._ring.close_writer()
                self._reader_page.ring()
            self._ring = FrameRing.attach(os.dup(descriptors["ring"]))
        elif message["op"] == "go":
            self._running = True
        elif message["op"] == "stop":
            self._end()

    def step(self) -> bool:
        if not self._running or self._ring is None or self._ended:
            return False
        if self._limit is not None and self._sequence >= self._limit:
            self._end()
            return True
        if self._waiting is None:
            self._waiting = self._source.read()
            if self._waiting is None:
                self._end()
                return True
        image = self._waiting.image
        if image.nbytes > self._ring.slot_bytes:
            return self._ask_for_larger_ring(image.nbytes)
        slot = self._ring.acquire(0.0 if self._live else _SLOT_WAIT)
        if slot >= 0:
            self._publish(self._ring, slot, self._waiting)
        elif self._live:
            self._ring.drop()
        else:
            return True
        self._waiting = None
        self._sequence += 1
        return True

    def _publish(self, ring: FrameRing, slot: int, captured: CapturedFrame) -> None:
        image = captured.image
        height, width, channels = image.shape
        ring.payload(slot)[: image.nbytes].reshape(image.shape)[:] = image
        ring.publish(slot, self._sequence, width, height, width * channels, channels, captured.timestamp,
                     time.monotonic_ns(), ring.readers)  # fmt: skip
        self._reader_page.ring()

    def _ask_for_larger_ring(self, nbytes: int) -> bool:
        if self._asked_for != nbytes:
            self._asked_for = nbytes
            self._worker.control.send({"op": "need_ring", "camera": self._camera, "bytes": nbytes})
        return False

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        broken = int(getattr(self._source, "broken_frames", 0))
        late = int(getattr(self._source, "lost", 0))
        self._source.close()
        self._worker.control.send({"op": "ended", "camera": self._camera, "captured": self._sequence,
                                   "broken": broken, "late": late})  # fmt: skip
        if self._ring is not None:
            self._ring.close_writer()
            self._reader_page.ring()

    def close(self) -> None:
        self._source.close()
