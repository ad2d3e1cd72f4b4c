"""The output workers: draw results on their frames; one encodes video files, one shows windows."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError
from ferengine.ipc.channel import receive_data
from ferengine.ipc.rings import CameraRings
from ferengine.results import FrameResult
from ferengine.sinks.draw import draw_faces
from ferengine.sinks.video import VideoWriter
from ferengine.sinks.window import Window
from ferengine.stages.messages import decode_result
from ferengine.vision import cv2

if TYPE_CHECKING:
    from ferengine.stages.worker import Worker


def part_path(path: Path, part: int) -> Path:
    """``out.mp4``, and ``out.part2.mp4`` for the second life of the worker: nothing written is lost."""
    return path if part == 1 else path.with_suffix(f".part{part}{path.suffix}")


class OutputStage:
    """Results from the engine, frames from the rings -> video files and windows."""

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        cv2.setNumThreads(1)
        self._worker = worker
        self._inbox = socket.socket(fileno=os.dup(descriptors["inbox"]))
        self._rings: defaultdict[int, CameraRings] = defaultdict(CameraRings)
        part = int(settings["part"])
        self._paths = {int(camera): part_path(Path(path), part) for camera, path in settings["save"].items()}
        self._reader = int(settings["reader"])
        self._rates = {int(camera): float(fps) for camera, fps in settings["fps"].items()}
        self._writers: dict[int, VideoWriter] = {}
        self._display = bool(settings["display"])
        self._windows: dict[int, Window] = {}

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        if message["op"] == "ring":
            self._rings[message["camera"]].add(message, descriptors)
        elif message["op"] == "save" and not self._display:
            self._paths[int(message["camera"])] = Path(message["path"])
        elif message["op"] == "rate":
            self._rates[int(message["camera"])] = float(message["fps"])

    def step(self) -> bool:
        data = receive_data(self._inbox)
        if data is None:
            self._poll_windows()
            return False
        camera, generation, slot, result = decode_result(data)
        if result is None:
            self._end(camera)
            return True
        if generation not in self._rings[camera]:
            self._worker.poll_control()
        rings = self._rings[camera]
        if generation not in rings:  # this worker has replaced one that died after the camera's end
            return True
        ring = rings[generation]
        if (result.frame, slot) in ring.held(self._reader):
            image = ring.frame(slot).copy()
            self._release_up_to(rings, generation, result.frame)
            draw_faces(image, result)
            self._write(camera, image, result)
            self._show(camera, image, result)
        return True

    def _release_up_to(self, rings: CameraRings, generation: int, sequence: int) -> None:
        for number, ring in rings.items():
            for held, slot in ring.held(self._reader):
                if held <= sequence:
                    ring.release(slot, self._reader)
            if number < generation and ring.closed and not ring.held(self._reader):
                rings.forget(number)

    def _write(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        if camera not in self._paths:
            return
        try:
            if camera not in self._writers:
                height, width = image.shape[:2]
                path = self._paths[camera]
                rate = self._rates.get(camera) or 25.0
                self._writers[camera] = VideoWriter(path, width, height, rate, overwrite=True)
            self._writers[camera].write(image, result.timestamp)
        except SinkError as error:
            del self._paths[camera]  # said once; the others go on
            self._worker.control.send({"op": "sink_failed", "error": str(error)})

    def _show(self, camera: int, image: NDArray[np.uint8], result: FrameResult) -> None:
        if not self._display:
            return
        if camera not in self._windows:
            self._windows[camera] = Window(f"ferengine: {result.camera}")
        self._windows[camera].show(image)
        self._poll_windows()

    def _poll_windows(self) -> None:
        polled = [window.poll() for window in self._windows.values()]  # all of them: polling also redraws
        if any(polled):
            self._worker.control.send({"op": "quit"})

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
            self._worker.control.send({"op": "sink_failed", "error": str(error)})

    def close(self) -> None:
        while self.step():
            pass
        for writer in self._writers.values():
            self._close(writer)
