"""The capture worker: decodes one source into its frame ring."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ferengine._native import FrameRing, WorkerPage
from ferengine.sources import SourceSpec, open_source
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.sources.reconnect import Disconnected, ReconnectingSource
from ferengine.stages.reader import END, Feed, InlineFeed, ThreadFeed
from ferengine.vision import cv2

if TYPE_CHECKING:
    from ferengine.stages.worker import Worker

_SLOT_WAIT = 0.02
"""Seconds that a file waits for a free slot before the worker looks at its control socket again."""


class CaptureStage:
    """Source -> frame ring. Files wait for a free slot; live sources drop their own frame (``ring_full``).

    A camera or stream that is lost is told to the engine and opened again (``sources.following``), in a thread of this
    worker; its frames are numbered on.
    """

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        cv2.setNumThreads(1)
        self._worker = worker
        self._camera = int(settings["camera"])
        self._limit: int | None = settings["max_frames"]
        self._reader_page = WorkerPage.attach(os.dup(descriptors["track_page"]))
        self._spec = SourceSpec.from_dict(settings["source"])
        self._sequence = int(settings["resume_at"])
        self._late = 0
        self._stopped = threading.Event()
        self._source = ReconnectingSource(
            lambda: open_source(self._spec),
            self._spec.reconnect if self._spec.blocks else "never",
            self._stopped,
            was_open=bool(settings["was_open"]),
            skip=self._sequence,
        )
        self._feed = self._make_feed()
        self._live = self._spec.live
        self._ring: FrameRing | None = None
        self._asked_for = 0
        self._waiting: CapturedFrame | None = None
        self._opened = self._running = self._ended = False

    def _make_feed(self) -> Feed:
        if not self._spec.blocks:
            return InlineFeed(self._source)
        assert self._worker.page is not None
        return ThreadFeed(self._source, lambda info: self._spec.drops(info.live), self._stopped, self._worker.page.notify)

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        if message["op"] == "ring" and message["camera"] == self._camera:
            if self._ring is not None:
                self._ring.close_writer()
                self._reader_page.notify()
            self._ring = FrameRing.attach(os.dup(descriptors["ring"]))
        elif message["op"] == "go":
            self._running = True
            self._feed.begin()
        elif message["op"] == "stop":
            self._end()

    def step(self) -> bool:
        if self._ended or (self._opened and not self._running):
            return False
        if self._limit is not None and self._sequence >= self._limit:
            self._end()
            return True
        if self._waiting is None and not self._take():
            return False
        if self._waiting is None or self._ring is None:
            return self._waiting is None
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

    def _take(self) -> bool:
        """The source's next item; False when there is none yet."""
        item, missed = self._feed.take()
        self._sequence += missed
        self._late += missed
        match item:
            case None:
                return False
            case CapturedFrame():
                self._waiting = item
            case SourceInfo():
                self._note_open(item)
            case Disconnected(reason):
                self._send("lost", reason=reason, time=time.time())
            case _ if item is END:
                self._end()
        return True

    def _note_open(self, info: SourceInfo) -> None:
        self._opened = True
        self._live = self._spec.drops(info.live)
        nbytes = info.width * info.height * 3
        if self._ring is not None and self._spec.blocks and nbytes != self._ring.slot_bytes:
            self._asked_for = nbytes  # the engine makes the new ring when it hears of the size
        self._send("opened", width=info.width, height=info.height, fps=info.fps, live=self._live, time=time.time())

    def _publish(self, ring: FrameRing, slot: int, captured: CapturedFrame) -> None:
        image = captured.image
        height, width, channels = image.shape
        ring.payload(slot)[: image.nbytes].reshape(image.shape)[:] = image
        ring.publish(slot, self._sequence, width, height, width * channels, channels, captured.timestamp,
                     time.monotonic_ns(), ring.readers)  # fmt: skip
        self._reader_page.notify()

    def _ask_for_larger_ring(self, nbytes: int) -> bool:
        if self._asked_for != nbytes:
            self._asked_for = nbytes
            self._send("need_ring", bytes=nbytes)
        return False

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._feed.close()
        self._send("ended", captured=self._sequence, broken=self._source.broken_frames,
                   late=self._late + self._source.late_frames)  # fmt: skip
        if self._ring is not None:
            self._ring.close_writer()
            self._reader_page.notify()

    def _send(self, op: str, **values: Any) -> None:
        self._worker.control.send({"op": op, "camera": self._camera, **values})

    def close(self) -> None:
        self._feed.close()
