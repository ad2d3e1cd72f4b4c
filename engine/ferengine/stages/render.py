"""The render stage: draws results on their frames, and encodes video files or shows windows."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError, UsageError
from ferengine.ipc.channel import receive_data
from ferengine.ipc.rings import CameraRings
from ferengine.results import Box, FrameResult
from ferengine.sinks.blur import blur_boxes
from ferengine.sinks.blur_plan import BlurPlan
from ferengine.sinks.draw import draw_faces
from ferengine.sinks.files import check_output, create_numbered, leads_to_something
from ferengine.sinks.video import VideoWriter
from ferengine.sinks.video_parts import Part, count_frames, join_parts
from ferengine.sinks.window import Window
from ferengine.stages.base import Stage
from ferengine.stages.messages import (
    AddRing,
    BlurredWhole,
    Rendered,
    SinkFailed,
    ToWorker,
    VideoJoined,
    VideoRefused,
    WindowClosed,
)
from ferengine.stages.records import RenderItem
from ferengine.stages.start_messages import SaveVideo, SetRate, StartRender, VideoPart
from ferengine.vision import cv2

_DEFAULT_FPS = 25.0

_Drawn: TypeAlias = tuple[NDArray[np.uint8], FrameResult]
"""An image, and what is drawn on it."""

_REPORT_EVERY = 0.5
"""Seconds between two reports of what a window has shown."""


class RenderStage(Stage[StartRender]):
    """Results from the engine, frames from the rings -> video files or windows."""

    def open(self) -> None:
        cv2.setNumThreads(1)
        start = self.start
        self._inbox = socket.socket(fileno=os.dup(start.inbox))
        self._rings: defaultdict[int, CameraRings] = defaultdict(CameraRings)
        self._videos = {video.camera: video for video in start.videos}
        self._rates = {rate.camera: rate.fps for rate in start.rates}
        self._parts: defaultdict[int, list[VideoPart]] = defaultdict(list)
        for part in start.parts:
            if leads_to_something(Path(part.path)):  # else a predecessor was killed before it made what it had reported
                self._parts[part.camera].append(part)
        self._writers: dict[int, VideoWriter] = {}
        self._windows: dict[int, Window] = {}
        self._plans: dict[int, BlurPlan[_Drawn]] = {}
        self._shown: Counter[int] = Counter()
        self._next_report = 0.0
        self._dismissed = False

    def handle(self, message: ToWorker) -> None:
        match message:
            case AddRing():
                self._rings[message.camera].add(message.generation, message.ring)
            case SaveVideo() if not self.start.display:
                self._videos[message.camera] = message
            case SetRate():
                self._rates[message.camera] = message.fps

    def step(self) -> bool:
        data = receive_data(self._inbox)
        if data is None:
            self._poll_windows()
            self._report_shown()
            return False
        item = RenderItem.decode(data)
        if item.result is None:
            self._end(item.camera)
            return True
        if item.generation not in self._rings[item.camera]:
            self.context.poll_control()
        rings = self._rings[item.camera]
        if item.generation not in rings:  # its camera was removed, and its ring with it, before this worker came
            return True
        ring = rings[item.generation]
        if (item.result.frame, item.slot) in ring.held(self.start.reader):
            image = ring.frame(item.slot).copy()
            self._release_up_to(rings, item.generation, item.result.frame)
            if self.start.blur is None:
                self._render(item.camera, image, item.result)
            else:
                plan = self._plans.setdefault(item.camera, BlurPlan(self.start.blur))
                self._render_blurred(item.camera, plan, plan.add((image, item.result), item.result, image.shape[1::-1]))
        return True

    def _render_blurred(self, camera: int, plan: BlurPlan[_Drawn], frames: Iterable[tuple[_Drawn, list[Box]]]) -> None:
        for (image, result), boxes in frames:
            blur_boxes(image, boxes)
            self._render(camera, image, result)
        if whole := plan.take_whole():
            self.context.send(BlurredWhole(camera, whole))

    def _render(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        draw_faces(image, result, self.start.draw)
        self._write(camera, image, result)
        self._show(camera, image, result)

    def _release_up_to(self, rings: CameraRings, generation: int, sequence: int) -> None:
        reader = self.start.reader
        for number, ring in rings.items():
            for held, slot in ring.held(reader):
                if held <= sequence:
                    ring.release(slot, reader)
            if number < generation and ring.closed and not ring.held(reader):
                rings.forget(number)

    def _write(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        if camera not in self._videos:
            return
        try:
            if camera not in self._writers:
                self._writers[camera] = self._begin_part(camera, image, result.timestamp)
            writer = self._writers[camera]
            safe = writer.safe
            try:
                writer.write(image, result.timestamp)
            finally:
                self._report(camera, writer.safe - safe)
        except SinkError as error:
            del self._videos[camera]  # reported once; the others go on
            self.context.send(SinkFailed(str(error)))

    def _begin_part(self, camera: int, image: NDArray[np.uint8], timestamp: float) -> VideoWriter:
        """A file of its own for this life of the worker: never one that it has not made itself."""
        video, parts = self._videos[camera], self._parts[camera]
        path, fps = Path(video.path), self._rates.get(camera) or _DEFAULT_FPS
        height, width = image.shape[:2]
        if parts:  # the same size, so that they can be joined
            path, descriptor = create_numbered(path)
            height, width = parts[0].height, parts[0].width
            parts.append(VideoPart(camera, str(path), width, height, timestamp))
            self.context.send(parts[-1])
            return VideoWriter(path, width, height, fps, descriptor=descriptor)
        part = VideoPart(camera, str(path), width, height, timestamp)
        try:
            check_output(path, overwrite=video.overwrite)
            if not video.overwrite:  # a file that may be overwritten is simply emptied once more
                self.context.send(part)
            writer = VideoWriter(path, width, height, fps, overwrite=video.overwrite)
        except (UsageError, SinkError) as error:
            self.context.send(VideoRefused(camera))
            raise SinkError(str(error)) from None
        if video.overwrite:
            self.context.send(part)
        parts.append(part)
        return writer

    def _show(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        if not self.start.display:
            return
        self._shown[camera] += 1
        if self._dismissed:
            return
        if camera not in self._windows:
            self._windows[camera] = Window(f"ferengine: {result.camera}")
        self._windows[camera].show(image)
        self._poll_windows()
        self._report_shown()

    def _poll_windows(self) -> None:
        polled = [window.poll() for window in self._windows.values()]  # all of them: polling also redraws
        if any(polled) and not self._dismissed:
            self._dismissed = True  # nothing opens them again
            self.context.send(WindowClosed())

    def _report_shown(self) -> None:
        if self._shown and time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + _REPORT_EVERY
            for camera, results in self._shown.items():
                self._report(camera, results)
            self._shown.clear()

    def _report(self, camera: int, results: int) -> None:
        """``results`` more of a camera are safe."""
        if results > 0:
            self.context.send(Rendered(camera, results))

    def _end(self, camera: int) -> None:
        """The camera's last result has come."""
        plan = self._plans.pop(camera, None)
        if plan is not None:
            self._render_blurred(camera, plan, plan.flush())
        for _, ring in self._rings.pop(camera, CameraRings()).items():
            ring.clear_reader(self.start.reader)
        window = self._windows.pop(camera, None)
        if window is not None:
            window.close()
        writer = self._writers.pop(camera, None)
        if writer is not None:
            self._close(camera, writer)
        self._join(camera)

    def _close(self, camera: int, writer: VideoWriter) -> None:
        safe = writer.safe
        try:
            writer.close()
        except SinkError as error:
            self.context.send(SinkFailed(str(error)))
        self._report(camera, writer.safe - safe)

    def _join(self, camera: int) -> None:
        """Make one file of what several lives of this worker have written."""
        parts = self._parts.pop(camera, [])
        if len(parts) == 1 and parts[0] in self.start.parts:
            # nothing came after its writer was killed, which may not have reported all that is in it
            with suppress(OSError, ValueError):
                self.context.send(VideoJoined(camera, count_frames(Path(parts[0].path), self.context.page.beat)))
        if len(parts) < 2:
            return
        frames = 0

        def count() -> None:
            nonlocal frames
            frames += 1
            self.context.page.beat()

        try:
            unreadable = join_parts([Part(Path(part.path), part.start - parts[0].start) for part in parts], count)
        except SinkError as error:
            names = ", ".join(part.path for part in parts)
            self.context.send(
                SinkFailed(f"the video worker was replaced, and the parts of its video stay apart ({error}): {names}")
            )
        else:
            self.context.send(VideoJoined(camera, frames))
            for path in unreadable:
                self.context.send(
                    SinkFailed(f"the video worker was replaced, and a part of its video cannot be read in full: {path}")
                )

    def close(self) -> None:
        while self.step():
            self.context.page.beat()
        for camera in {*self._writers, *self._windows, *self._parts, *self._plans}:
            self.context.page.beat()
            self._end(camera)
        self._next_report = 0.0
        self._report_shown()
