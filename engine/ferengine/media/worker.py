"""The child process that draws, keeps the last seconds of every camera, and writes snapshots and clips."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ferengine.ipc.child import serve_parent
from ferengine.media.camera import CameraMedia
from ferengine.media.messages import Record, Recorded
from ferengine.media.requests import MediaSettings
from ferengine.results import Box, FrameResult
from ferengine.sinks.blur import blur_boxes
from ferengine.sinks.blur_plan import BlurPlan
from ferengine.sinks.draw import draw_faces
from ferengine.vision import cv2

_IDLE_FRAMES = 8
"""Frames of each clip that are encoded when no frame has come for a while."""


class MediaWorker:
    """All cameras.

    Args:
        settings: What is written.
    """

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._cameras: dict[str, CameraMedia] = {}
        self._plans: dict[str, BlurPlan[tuple[NDArray[np.uint8], FrameResult]]] = {}

    def record(self, record: Record, image: NDArray[np.uint8] | None) -> Recorded:
        """Do what there is to do; ``image`` is that of the result, BGR uint8 (H, W, 3), and may be drawn on."""
        for request in record.requests:
            self._camera(request.camera).request(request)
        if record.result is not None and image is not None:
            self._add(record.result, image)
        elif record.ended is not None:
            self._end(record.ended)
        elif record.finish:
            for name in list(self._cameras):
                self._end(name)
        else:
            for camera in self._cameras.values():
                camera.work(_IDLE_FRAMES)
        written = tuple(each for camera in self._cameras.values() for each in camera.take_written())
        return Recorded(written, any(camera.is_busy for camera in self._cameras.values()))

    def _camera(self, name: str) -> CameraMedia:
        return self._cameras.setdefault(name, CameraMedia(self._settings.before))

    def _add(self, result: FrameResult, image: NDArray[np.uint8]) -> None:
        if self._settings.blur_frames is None:
            self._draw([((image, result), [])])
            return
        plan = self._plans.setdefault(result.camera, BlurPlan(self._settings.blur_frames))
        self._draw(plan.add((image, result), result, image.shape[1::-1]))

    def _draw(self, frames: Iterable[tuple[tuple[NDArray[np.uint8], FrameResult], list[Box]]]) -> None:
        for (image, result), boxes in frames:
            blur_boxes(image, boxes)
            if self._settings.drawn:
                draw_faces(image, result, self._settings.extras)
            self._camera(result.camera).add(image, result.timestamp)

    def _end(self, camera: str) -> None:
        if camera in self._plans:
            self._draw(self._plans.pop(camera).flush())
        if camera in self._cameras:
            self._cameras[camera].end()


def main(arguments: list[str]) -> None:
    """Answer the parent's requests; the frame is in the memory of the descriptor that it passes."""
    socket, title, memory = arguments
    cv2.setNumThreads(1)
    worker: MediaWorker | None = None
    mapped: mmap.mmap | None = None

    def answer(data: bytes) -> bytes:
        nonlocal worker, mapped
        record = Record.decode(data)
        if record.settings is not None:
            worker = MediaWorker(record.settings)
        assert worker is not None
        image = None
        if record.result is not None:
            nbytes = record.width * record.height * 3
            if mapped is None or len(mapped) < nbytes:
                mapped = mmap.mmap(int(memory), os.fstat(int(memory)).st_size, prot=mmap.PROT_READ)
            image = np.frombuffer(mapped, np.uint8, nbytes).reshape(record.height, record.width, 3).copy()
        return worker.record(record, image).encode()

    serve_parent(socket, title, answer)
