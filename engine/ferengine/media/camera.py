"""The last seconds of one camera, and the snapshots and clips that are made of them."""

from __future__ import annotations

import math
import os
from collections import deque
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError
from ferengine.media.files import keep_what_plays, open_partial, partial_of, remove_partial, write_whole
from ferengine.media.messages import Written
from ferengine.media.requests import MediaRequest
from ferengine.sinks.files import write_failed
from ferengine.sinks.video import VideoWriter
from ferengine.vision import cv2

SLACK = 3.0
"""Seconds that are kept besides those before an event: that a person has left is known two seconds later."""
_CATCH_UP = 4
"""Frames of a clip that are encoded with each frame that comes: the seconds before the event are not encoded at one go."""
_QUALITY = 90
_DEFAULT_FPS = 25.0
_REMEMBERED = 16

Frame: TypeAlias = tuple[float, bytes]
"""A time stamp and a JPEG."""


class CameraMedia:
    """One camera. The last seconds are kept as JPEGs, which snapshots are; a clip is encoded when it is asked for.

    Args:
        before: Seconds of a clip before the event.
    """

    def __init__(self, before: float) -> None:
        self._keep = before + SLACK
        self._frames: deque[Frame] = deque()
        self._snapshots: list[MediaRequest] = []
        self._clips: dict[Path, _Clip] = {}
        self._finished: deque[Path] = deque(maxlen=_REMEMBERED)
        self._written: list[Written] = []

    @property
    def is_busy(self) -> bool:
        """Whether there are frames that have yet to be encoded."""
        return any(clip.waiting for clip in self._clips.values())

    def add(self, image: NDArray[np.uint8], timestamp: float) -> None:
        """The next frame, BGR uint8 (H, W, 3)."""
        if self._frames and timestamp < self._frames[-1][0]:  # it begins anew
            self.end()
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        self._frames.append((timestamp, encoded.tobytes()))
        while self._frames[0][0] < timestamp - self._keep:
            self._frames.popleft()
        for clip in self._clips.values():
            clip.offer(self._frames[-1])
        self._take_snapshots(at_end=False)
        self.work()

    def request(self, request: MediaRequest) -> None:
        """Make a snapshot, begin a clip or go on with one."""
        if request.snapshot is not None:
            self._snapshots.append(request)
            self._take_snapshots(at_end=False)
        if request.clip is None:
            return
        if request.clip in self._finished:
            return  # it was over when the event was found, and shows it
        clip = self._clips.get(request.clip)
        if clip is None:
            clip = self._clips[request.clip] = _Clip(request.clip, request.begin, request.end, self._fps())
        clip.go_on(request.end)
        for frame in self._frames:
            clip.offer(frame)

    def work(self, frames: int = _CATCH_UP) -> None:
        """Encode ``frames`` frames of each clip."""
        for clip in list(self._clips.values()):
            try:
                clip.encode(frames)
                if clip.is_over and not clip.waiting:
                    clip.close()
                    self._done(clip)
            except SinkError as error:
                self._done(clip, str(error))

    def end(self) -> None:
        """No more frames come for now: finish everything."""
        self._take_snapshots(at_end=True)
        for clip in self._clips.values():
            clip.is_short = not clip.is_over
            clip.is_over = True
        while self._clips:
            self.work()
        self._frames.clear()

    def take_written(self) -> list[Written]:
        """The files done with since the last call."""
        written, self._written = self._written, []
        return written

    def _done(self, clip: _Clip, error: str | None = None) -> None:
        del self._clips[clip.path]
        self._finished.append(clip.path)
        self._written.append(Written(clip.path, clip.is_short, error))

    def _take_snapshots(self, *, at_end: bool) -> None:
        waiting = []
        for request in self._snapshots:
            frame = next((frame for frame in self._frames if frame[0] >= request.at), None)
            if frame is None and at_end and self._frames:
                frame = self._frames[-1]
            assert request.snapshot is not None
            if frame is not None:
                try:
                    write_whole(request.snapshot, frame[1])
                except SinkError as error:
                    self._written.append(Written(request.snapshot, error=str(error)))
                else:
                    self._written.append(Written(request.snapshot))
            elif at_end:
                remove_partial(request.snapshot)
                self._written.append(Written(request.snapshot, error=f"{request.snapshot}: its camera has shown no frame"))
            else:
                waiting.append(request)
        self._snapshots = waiting

    def _fps(self) -> float:
        if len(self._frames) < 2:
            return _DEFAULT_FPS
        return (len(self._frames) - 1) / max(1e-3, self._frames[-1][0] - self._frames[0][0])


class _Clip:
    """One clip that is being written.

    Attributes:
        waiting: Frames that have yet to be encoded.
        is_over: Whether it needs no further frame.
        is_short: Whether the camera ended before it was to end.
    """

    def __init__(self, path: Path, begin: float, end: float, fps: float) -> None:
        self.path = path
        self.waiting: deque[Frame] = deque()
        self.is_over = self.is_short = False
        self._next = begin
        self._end = end
        self._fps = fps
        self._writer: VideoWriter | None = None
        self._lock: int | None = None

    def go_on(self, end: float) -> None:
        """It ends at ``end`` at the earliest; what has come since it was over has to be offered again."""
        self._end = max(self._end, end)
        self.is_over = False

    def offer(self, frame: Frame) -> None:
        """Take a frame, unless it has it already or it lies beyond the end."""
        if frame[0] > self._end:
            self.is_over = True
        elif frame[0] >= self._next and not self.is_over:
            self.waiting.append(frame)
            self._next = math.nextafter(frame[0], math.inf)

    def encode(self, frames: int) -> None:
        """Encode at most ``frames`` frames. Raises SinkError, after which what plays is kept."""
        for _ in range(min(frames, len(self.waiting))):
            timestamp, data = self.waiting.popleft()
            image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
            try:
                self._writer = self._writer or self._create(image)
                self._writer.write(image, timestamp)
            except SinkError as error:
                raise self._give_up(error) from None

    def close(self) -> None:
        """Give the file its name. Raises SinkError, after which what plays is kept."""
        try:
            if self._writer is None:
                remove_partial(self.path)
                raise SinkError(f"{self.path}: its camera has shown no frame")
            try:
                self._writer.close()
            except SinkError as error:
                raise self._give_up(error) from None
            partial_of(self.path).rename(self.path)
        except OSError as error:
            raise write_failed(self.path, error) from None
        finally:
            self._unlock()

    def _create(self, image: NDArray[np.uint8]) -> VideoWriter:
        descriptor = open_partial(self.path)
        self._lock = os.dup(descriptor)  # the writer closes its own before the file has its name
        height, width = image.shape[:2]
        return VideoWriter(partial_of(self.path), width, height, self._fps, descriptor=descriptor)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _give_up(self, error: SinkError) -> SinkError:
        self.waiting.clear()
        partial = partial_of(self.path)
        try:
            kept = os.path.lexists(partial) and keep_what_plays(partial, self.path)
        except OSError:
            kept = False
        finally:
            self._unlock()
        text = str(error).replace(str(partial), str(self.path))
        return SinkError(f"{text}; what plays of it is kept" if kept else text)
