"""Takes results with their images, and has a child process write snapshots and clips of what happens."""

from __future__ import annotations

import logging
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError, ServiceError, SinkError
from ferengine.ipc.child import Child
from ferengine.media.files import finish_leftovers
from ferengine.media.messages import Record, Recorded, Written
from ferengine.media.requests import EventMedia
from ferengine.media.retention import Retention
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.files import make_folder, write_failed
from ferengine.sinks.person_events import EventDetector
from ferengine.stages.child import start_child

_START_SECONDS = 60.0
"""Seconds that the child process gets to start and take its first frame: an overloaded machine is slow, not stuck."""
_ANSWER_SECONDS = 20.0
_END_SECONDS = 60.0
"""Seconds that the last clips may take to be finished."""
_DEATHS = 3
"""Deaths of the child process after which nothing more is written."""
_CLEAN_SECONDS = 60.0

log = logging.getLogger("ferengine")


class ImageQueue(Protocol):
    """Results with their images, as ``Engine.results(frames=True)`` gives them."""

    @property
    def dropped(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    def take(self, timeout: float | None = None) -> tuple[FrameResult, NDArray[np.uint8]] | None:
        """As ``ResultQueue.take``; the image is valid until the next call."""
        ...

    def close(self) -> None:
        """As ``ResultQueue.close``."""
        ...


class ImageFeed:
    """The queue that a ``SinkThread`` takes results from; their images go to the recorder.

    Attributes:
        image: That of the result taken last: valid until the next is taken.
    """

    def __init__(self, queue: ImageQueue) -> None:
        self.image: NDArray[np.uint8] | None = None
        self._queue = queue

    @property
    def dropped(self) -> int:
        return self._queue.dropped

    @property
    def waiting(self) -> int:
        return self._queue.waiting

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result, None after ``timeout`` seconds. Raises EOFError after the last one."""
        item = self._queue.take(timeout)
        if item is None:
            return None
        result, self.image = item
        return result

    def close(self) -> None:
        """Take no more results."""
        self._queue.close()


class MediaRecorder:
    """The sink that writes snapshots and clips.

    What cannot be written is counted and logged, and the next is tried again. The child process is replaced when it dies; what
    plays of the clips that it was writing is kept.

    Args:
        media: Which requests there are; every ``EventDetector`` of the run gets a ``for_output`` of its.
        queue: Where results come from.
        clock: Seconds since the epoch.

    Attributes:
        feed: The queue for its ``SinkThread``.
        written: Files that were.
        short: Clips among them that end too early, because their camera, the run or the process did.
        failed: Files that were not, or not in full.

    Raises:
        SinkError: A folder cannot be written.
    """

    def __init__(self, media: EventMedia, queue: ImageQueue, clock: Callable[[], float] = time.time) -> None:
        self.written = self.short = self.failed = 0
        self._settings = media.settings
        self._media = media
        self.feed = ImageFeed(queue)
        self._clock = clock
        self._detector = EventDetector(media.for_output())
        self._outstanding: set[Path] = set()
        self._memory = os.memfd_create("ferengine-media")
        self._mapped: mmap.mmap | None = None
        self._child: Child | None = None
        self._deaths = 0
        self._is_busy = self._closed = self._has_failed = self._has_no_time = False
        self._retention: dict[Path, Retention] = {}
        for folder in self._settings.folders:
            self._retention[folder] = self._open_folder(folder)
        self._clean()

    @property
    def dropped(self) -> int:
        """Files that were not written, or not in full."""
        return self.failed

    def write(self, result: FrameResult) -> None:
        """Take the result that the feed gave last. Raises SinkError when the child process dies too often."""
        image = self.feed.image
        assert image is not None
        self._media.note(result.camera, result.timestamp)
        self._detector.add(result)
        height, width = image.shape[:2]
        self._copy(image)
        self._ask(Record(result=result, width=width, height=height))

    def write_camera_event(self, event: CameraEvent) -> None:
        """Take what happened to a camera. Raises SinkError."""
        self._detector.add_camera_event(event)
        if event.kind in ("disconnected", "ended"):
            self._ask(Record(ended=event.camera), _END_SECONDS)  # a clip may have its last seconds to encode

    def flush_if_due(self) -> None:
        """Go on with what is being written, and delete what is too old. Raises SinkError."""
        if self._is_busy:
            self._ask(Record())
        if self._clock() - self._cleaned >= _CLEAN_SECONDS:
            self._clean()

    def close(self) -> None:
        """Finish everything; may be called twice. Raises SinkError, also where a file was not written."""
        if self._closed:
            return
        self._closed = True
        self._media.close()
        try:
            if self._child is not None and self._deaths < _DEATHS:
                self._ask(Record(finish=True), _END_SECONDS)
        finally:
            self.failed += sum(path is not None for each in self._media.take() for path in (each.snapshot, each.clip))
            if self._child is not None:
                self._child.close()
            os.close(self._memory)
            for folder in self._settings.folders:
                finish_leftovers(folder)  # such as names that were reserved
            self._clean()
            deleted = sum(each.deleted for each in self._retention.values())
            log.info(
                "snapshots and clips: %d written, %d of them shorter than asked for, %d not written; %d old ones deleted",
                self.written, self.short, self.failed, deleted,
            )  # fmt: skip
        if self.failed:
            raise SinkError(f"snapshots and clips: {self.failed} files were not written, or not in full")

    def give_up(self) -> None:
        """There is no time for what is still to be encoded: keep what plays of it, and count it. From another thread."""
        self._has_no_time = True
        if (child := self._child) is not None:
            child.kill()

    def _ask(self, record: Record, patience: float = _ANSWER_SECONDS) -> None:
        if self._has_no_time:
            self._note_death("it has no time left")
        requests = tuple(self._media.take())
        for request in requests:
            self._outstanding.update(path for path in (request.snapshot, request.clip) if path is not None)
        settings = None if self._child is not None else self._settings
        asked = Record(settings, record.result, record.width, record.height, requests, record.ended, record.finish)
        try:
            if self._child is None:
                self._child = start_child("ferengine.media.worker", "clips", [self._memory])
                patience = max(patience, _START_SECONDS)
            answer = Recorded.decode(self._child.ask(asked.encode(), patience))
        except TimeoutError:
            self._note_death(f"it did not answer in {patience:g} s")
        except ServiceError as error:
            self._note_death(str(error))
        except MissingDependencyError as error:
            self._note_death(str(error), for_good=True)
        else:
            self._is_busy = answer.is_busy
            for written in answer.written:
                self._note_written(written)

    def _note_written(self, written: Written) -> None:
        self._outstanding.discard(written.path)
        self._media.forget(written.path)
        if written.error is None:
            self.written += 1
            self.short += written.is_short
            self._has_failed = False
        else:
            self.failed += 1
            if not self._has_failed:
                log.error("%s; further ones are only counted until one is written", written.error)
            self._has_failed = True
        retention = self._retention[written.path.parent]
        retention.add(written.path)
        retention.enforce(self._clock())

    def _note_death(self, reason: str, *, for_good: bool = False) -> None:
        """Keep what plays of what it was writing, and count the rest."""
        if self._child is not None:
            self._child.kill()
            self._child.close()
        self._child, self._is_busy = None, False
        self._deaths = _DEATHS if for_good else self._deaths + 1
        kept = {path for folder in self._settings.folders for path in finish_leftovers(folder)}
        lost = self._outstanding - kept
        ended = "the run was stopped" if self._has_no_time else f"it has failed: {reason}"
        log.warning(
            "the process that writes snapshots and clips has ended (%s): %d clips were cut short, %d files are missing",
            ended, len(kept), len(lost),
        )  # fmt: skip
        self._outstanding.clear()
        for path in lost:
            self._media.forget(path)
        self.failed += len(lost)
        for path in kept:
            self._note_written(Written(path, is_short=True))
        if self._has_no_time:
            raise SinkError("snapshots and clips: the run was stopped before all of them were encoded")
        if self._deaths >= _DEATHS:
            self._media.close()
            said = reason if for_good else f"the process that writes them has failed {_DEATHS} times"
            raise SinkError(f"snapshots and clips: {said}")

    def _copy(self, image: NDArray[np.uint8]) -> None:
        if self._mapped is None or len(self._mapped) < image.nbytes:
            os.ftruncate(self._memory, image.nbytes)
            self._mapped = mmap.mmap(self._memory, image.nbytes)
        np.frombuffer(self._mapped, np.uint8, image.nbytes).reshape(image.shape)[:] = image

    def _open_folder(self, folder: Path) -> Retention:
        make_folder(folder)
        try:
            left = finish_leftovers(folder)
            retention = Retention(folder, self._settings.days, self._settings.max_bytes)
        except OSError as error:
            raise write_failed(folder, error) from None
        if left:
            log.warning("%s: %d clips were cut short when the run that wrote them was killed", folder, len(left))
        return retention

    def _clean(self) -> None:
        self._cleaned = self._clock()
        for retention in self._retention.values():
            retention.enforce(self._cleaned)
