"""The detect worker: answers the track workers' requests, each for one frame."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferengine._native import WorkerPage
from ferengine.detect import create_detector
from ferengine.runtime.channel import receive_data, send_data
from ferengine.runtime.rings import CameraRings
from ferengine.runtime.wire import DetectionRequest, encode_detections
from ferengine.vision import cv2

if TYPE_CHECKING:
    from ferengine.runtime.worker import Worker


class DetectStage:
    """Request queue -> detector -> the asking track worker. Several workers share the one queue.

    It holds no slot of its own: whoever asks keeps the frame until the answer has come.
    """

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        cv2.setNumThreads(1)
        self._worker = worker
        self._rings: defaultdict[int, CameraRings] = defaultdict(CameraRings)
        self._requests = socket.socket(fileno=os.dup(descriptors["requests"]))
        trackers = range(settings["trackers"])
        self._answers = [socket.socket(fileno=os.dup(descriptors[f"answers{t}"])) for t in trackers]
        self._pages = [WorkerPage.attach(os.dup(descriptors[f"track_page{t}"])) for t in trackers]
        self._detector = create_detector(
            settings["detector"],
            min_face=settings["min_face"],
            thresholds=tuple(settings["thresholds"]),
            factor=settings["pyramid_factor"],
        )
        self._unsent: tuple[int, bytes] | None = None

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        if message["op"] == "ring":
            self._rings[message["camera"]].add(message, descriptors)
        elif message["op"] == "forget_ring":
            self._rings[message["camera"]].forget(message["generation"])
        elif message["op"] == "forget_camera":
            self._rings.pop(message["camera"], None)

    def step(self) -> bool:
        if self._unsent is None:
            data = receive_data(self._requests)
            if data is None:
                return False
            request = DetectionRequest.decode(data)
            if request.generation not in self._rings[request.camera]:
                self._worker.poll_control()  # the engine sends rings before anyone can ask for their frames
            if request.generation not in self._rings[request.camera]:
                return True  # the camera was removed, or whoever asked has died
            frame = self._rings[request.camera][request.generation].frame(request.slot)
            self._unsent = request.tracker, encode_detections(request, self._detector.detect(frame, _boxes(request)))
        tracker, answer = self._unsent
        if not send_data(self._answers[tracker], answer):
            return False
        self._unsent = None
        self._pages[tracker].ring()
        return True

    def close(self) -> None:
        """Nothing to finish."""


def _boxes(request: DetectionRequest) -> NDArray[np.float32] | None:
    return None if request.near is None else np.array(request.near, np.float32).reshape(-1, 4)
