"""The render stage: draws results on their frames, and encodes video files or shows windows."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError
from ferengine.ipc.channel import receive_data
from ferengine.ipc.rings import CameraRings
from ferengine.results import FrameResult
from ferengine.sinks.draw import draw_faces
from ferengine.sinks.video import VideoWriter
from ferengine.sinks.window import Window
from ferengine.stages.base import Stage
from ferengine.stages.messages import AddRing, SaveVideo, SetRate, SinkFailed, StartRender, ToWorker, WindowClosed
from ferengine.stages.records import RenderItem
from ferengine.vision import cv2

_DEFAULT_FPS = 25.0


def part_path(path: Path, part: int) -> Path:
    """``out.mp4``, and ``out.part2.mp4`` for the second life of the worker: nothing written is lost."""
    return path if part == 1 else path.with_suffix(f".part{part}{path.suffix}")


class RenderStage(Stage[StartRender]):
    """Results from the engine, frames from the rings -> video files or windows."""

    def open(self) -> None:
        cv2.setNumThreads(1)
        start = self.start
        self._inbox = socket.socket(fileno=os.dup(start.inbox))
        self._rings: defaultdict[int, CameraRings] = defaultdict(CameraRings)
        self._paths = {video.camera: part_path(Path(video.path), start.part) for video in start.videos}
        self._rates = {rate.camera: rate.fps for rate in start.rates}
        self._writers: dict[int, VideoWriter] = {}
        self._windows: dict[int, Window] = {}

    def handle(self, message: ToWorker) -> None:
        match message:
            case AddRing():
                self._rings[message.camera].add(message.generation, message.ring)
            case SaveVideo() if not self.start.display:
                self._paths[message.camera] = Path(message.path)
            case SetRate():
                self._rates[message.camera] = message.fps

    def step(self) -> bool:
        data = receive_data(self._inbox)
        if data is None:
            self._poll_windows()
            return False
        item = RenderItem.decode(data)
        if item.result is None:
            self._end(item.camera)
            return True
        if item.generation not in self._rings[item.camera]:
            self.context.poll_control()
        rings = self._rings[item.camera]
        if item.generation not in rings:  # this worker has replaced one that died after the camera's end
            return True
        ring = rings[item.generation]
        if (item.result.frame, item.slot) in ring.held(self.start.reader):
            image = ring.frame(item.slot).copy()
            self._release_up_to(rings, item.generation, item.result.frame)
            draw_faces(image, item.result)
            self._write(item.camera, image, item.result)
            self._show(item.camera, image, item.result)
        return True

    def _release_up_to(self, rings: CameraRings, generation: int, sequence: int) -> None:
        reader = self.start.reader
        for number, ring in rings.items():
            for held, slot in ring.held(reader):
                if held <= sequence:
                    ring.release(slot, reader)
            if number < generation and ring.closed and not ring.held(reader):
                rings.forget(number)

    def _write(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        if camera not in self._paths:
            return
        try:
            if camera not in self._writers:
                height, width = image.shape[:2]
                fps = self._rates.get(camera) or _DEFAULT_FPS
                self._writers[camera] = VideoWriter(self._paths[camera], width, height, fps, overwrite=True)
            self._writers[camera].write(image, result.timestamp)
        except SinkError as error:
            del self._paths[camera]  # reported once; the others go on
            self.context.send(SinkFailed(str(error)))

    def _show(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        if not self.start.display:
            return
        if camera not in self._windows:
            self._windows[camera] = Window(f"ferengine: {result.camera}")
        self._windows[camera].show(image)
        self._poll_windows()

    def _poll_windows(self) -> None:
        polled = [window.poll() for window in self._windows.values()]  # all of them: polling also redraws
        if any(polled):
            self.context.send(WindowClosed())

    def _end(self, camera: int) -> None:
        """The camera's last result has been drawn."""
        self._rings.pop(camera, None)
        window = self._windows.pop(camera, None)
        if window is not None:
            window.close()
        writer = self._writers.pop(camera, None)
        if writer is not None:
            self._close(writer)

    def _close(self, writer: VideoWriter) -> None:
        try:
            writer.close()
        except SinkError as error:
            self.context.send(SinkFailed(str(error)))

    def close(self) -> None:
        while self.step():
            pass
        for writer in self._writers.values():
            self._close(writer)
