"""The capture stage: decodes one source into its frame ring."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from contextlib import nullcontext

from ferengine._native import FrameRing, WorkerPage
from ferengine.errors import SourceError
from ferengine.sources import SourceSpec, open_source
from ferengine.sources.base import CapturedFrame, Source, SourceInfo
from ferengine.sources.reconnect import Disconnected, ReconnectingSource
from ferengine.stages.base import Stage
from ferengine.stages.messages import (
    AddRing,
    BeginCapture,
    CaptureCounts,
    CaptureEnded,
    NeedRing,
    OpenSource,
    SourceDisconnected,
    SourceOpened,
    StopCapture,
    ToWorker,
)
from ferengine.stages.reader import END, InlineReader, NoReader, Reader, ThreadedReader
from ferengine.stages.start_messages import StartCapture
from ferengine.vision import cv2

_SLOT_WAIT = 0.02
"""Seconds that a file waits for a free slot before the worker looks at its control socket again."""

_COUNTS_EVERY = 1.0
"""Seconds between two reports of what was counted."""

_PAUSE_BEAT = 1.0
"""Seconds between heartbeats while the next frame is not due yet."""


class CaptureStage(Stage[StartCapture]):
    """Source -> frame ring. Files wait for a free slot; live sources drop their own frame (``ring_full``).

    A camera or stream that is disconnected is reported to the engine and opened again (``sources.reconnect``), in a
    thread of this worker; its frames are numbered on.
    """

    def open(self) -> None:
        cv2.setNumThreads(1)
        start = self.start
        self._spec = SourceSpec.from_dict(json.loads(start.source))
        self._track_page = WorkerPage.attach(os.dup(start.track_page))
        self._sequence = start.resume_at
        self._late = 0
        self._reported = CaptureCounts(start.camera, 0, 0, 0, 0, False)
        self._next_report = time.monotonic() + _COUNTS_EVERY
        self._stopped = threading.Event()
        self._source = ReconnectingSource(
            self._make_source,
            self._spec.reconnect if self._spec.reconnects else "never",
            self._stopped,
            was_open=start.was_open,
            skip=self._sequence,
            last=start.resume_after,
        )
        self._live = self._spec.live
        self._ring: FrameRing | None = None
        self._requested_bytes = 0
        self._waiting: CapturedFrame | None = None
        self._opened = self._running = self._ended = False
        self._reader: Reader = NoReader() if start.held else self._make_reader()

    def _make_source(self) -> Source:
        if self._spec.kind == "pipe" and self.start.was_open:
            raise SourceError(f"{self._spec.where} cannot be read on: the worker that read it has ended, and data with it")
        pause = time.sleep if self._spec.blocks else self._pause
        return open_source(self._spec, pause, self._stopped.is_set)

    def _make_reader(self) -> Reader:
        if not self._spec.blocks:
            return InlineReader(self._source, self.context.page.beat)
        return ThreadedReader(self._source, lambda info: self._spec.drops(info.live), self._stopped, self.context.page.notify)

    def handle(self, message: ToWorker) -> None:
        match message:
            case AddRing():
                if self._ring is not None:
                    self._ring.close_writer()
                    self._track_page.notify()
                self._ring = FrameRing.attach(os.dup(message.ring))
                self._requested_bytes = 0  # it may be another than the one that was requested
            case BeginCapture():
                self._running = True
                self._reader.begin()
            case OpenSource():
                self._reader = self._make_reader()
                if self._running:
                    self._reader.begin()
            case StopCapture():
                self._end(at_end=False)

    def step(self) -> bool:
        if not self._ended and time.monotonic() >= self._next_report:
            self._report_counts()
        if self._ended or (self._opened and not self._running):
            return False
        if self.start.max_frames is not None and self._sequence >= self.start.max_frames:
            self._end(at_end=True)
            return True
        if self._waiting is None and not self._take():
            return False
        if self._waiting is None or self._ring is None:
            return self._waiting is None
        nbytes = math.prod(self._waiting.shape)
        if nbytes > self._ring.slot_bytes:
            return self._request_larger_ring(nbytes)
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
        inline_open = not self._opened and not self._spec.blocks
        with self.context.opening() if inline_open else nullcontext():
            item, missed = self._reader.take()
        self._sequence += missed
        self._late += missed
        if missed:
            self._report_counts()  # their numbers are passed over with the next frame: the count must not die with this worker
        match item:
            case None:
                return False
            case CapturedFrame():
                self._waiting = item
            case SourceInfo():
                self._report_open(item)
            case Disconnected(reason):
                self.context.send(SourceDisconnected(self.start.camera, reason, time.time()))
            case _ if item is END:
                self._end(at_end=True)
        return True

    def _pause(self, seconds: float) -> None:
        """Wait for a frame that is not due yet: with a low rate that is no sign of a stuck worker."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.context.page.beat()
            time.sleep(min(left, _PAUSE_BEAT))

    def _report_open(self, info: SourceInfo) -> None:
        self._opened = True
        self._live = self._spec.drops(info.live)
        nbytes = info.width * info.height * 3
        if self._ring is not None and self._spec.blocks and nbytes != self._ring.slot_bytes:
            self._requested_bytes = nbytes  # the engine makes the new ring once it knows the size
        camera, fps, frames, seconds = self.start.camera, float(info.fps), info.frames or 0, float(info.seconds or 0)
        self.context.send(SourceOpened(camera, info.width, info.height, fps, self._live, time.time(), frames, seconds))

    def _counts(self) -> CaptureCounts:
        counts = self._source.counts
        late = self._late + counts.late
        return CaptureCounts(self.start.camera, counts.broken, late, counts.left_out, counts.replaced_stamps, counts.truncated)

    def _report_counts(self) -> None:
        self._next_report = time.monotonic() + _COUNTS_EVERY
        counts = self._counts()
        if counts != self._reported:
            self._reported = counts
            self.context.send(counts)

    def _publish(self, ring: FrameRing, slot: int, captured: CapturedFrame) -> None:
        height, width, channels = captured.shape
        captured.write(ring.payload(slot)[: height * width * channels].reshape(captured.shape))
        ring.publish(slot, self._sequence, width, height, width * channels, channels, captured.timestamp,
                     time.monotonic_ns(), ring.readers)  # fmt: skip
        self._track_page.notify()

    def _request_larger_ring(self, nbytes: int) -> bool:
        if self._requested_bytes != nbytes:
            self._requested_bytes = nbytes
            self.context.send(NeedRing(self.start.camera, nbytes))
        return False

    def _end(self, *, at_end: bool) -> None:
        if self._ended:
            return
        self._ended = True
        self._reader.close()
        counts = self._counts()
        self.context.send(
            CaptureEnded(
                self.start.camera,
                self._sequence,
                counts.broken,
                counts.late,
                counts.left_out,
                counts.replaced_stamps,
                counts.truncated,
                at_end,
            )
        )
        if self._ring is not None:
            self._ring.close_writer()
            self._track_page.notify()

    def close(self) -> None:
        self._reader.close()
