"""The detect worker: answers the track workers' requests, each for one frame."""

from __future__ import annotations

import os
import socket
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferengine._native import WorkerPage
from ferengine.config import BackendSettings
from ferengine.detection import create_detector
from ferengine.ipc.channel import receive_data, send_data
from ferengine.ipc.rings import CameraRings
from ferengine.stages.messages import DetectionRequest, encode_detections
from ferengine.vision import cv2

if TYPE_CHECKING:
    from ferengine.stages.worker import Worker


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
            backend=BackendSettings(**settings["backend"]),
            on_failure=self._note_failure,
        )
        self._unsent: deque[tuple[int, bytes]] = deque()

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        if message["op"] == "ring":
            self._rings[message["camera"]].add(message, descriptors)
        elif message["op"] == "forget_ring":
            self._rings[message["camera"]].forget(message["generation"])
        elif message["op"] == "forget_camera":
            self._rings.pop(message["camera"], None)

    def step(self) -> bool:
        if not self._unsent and not self._search():
            return False
        while self._unsent:
            tracker, answer = self._unsent[0]
            if not send_data(self._answers[tracker], answer):
                return False
            self._unsent.popleft()
            self._pages[tracker].notify()
        return True

    def _search(self) -> bool:
        """Answer the requests that wait, as many at a time as the detector gains from; False when there are none."""
        requests: list[DetectionRequest] = []
        frames: list[NDArray[np.uint8]] = []
        while len(requests) < self._detector.preferred_batch and (data := receive_data(self._requests)) is not None:
            request = DetectionRequest.decode(data)
            if request.generation not in self._rings[request.camera]:
                self._worker.poll_control()  # the engine sends rings before anyone can ask for their frames
            if request.generation not in self._rings[request.camera]:
                continue  # the camera was removed, or whoever asked has died
            requests.append(request)
            frames.append(self._rings[request.camera][request.generation].frame(request.slot))
        found = self._detector.detect_many(frames, [_boxes(request) for request in requests])
        for request, detections in zip(requests, found, strict=True):
            self._unsent.append((request.tracker, encode_detections(request, detections)))
        return bool(self._unsent)

    def _note_failure(self, reason: str) -> None:
        self._worker.control.send({"op": "backend", "name": "the CPU", "reason": "", "failure": reason})

    def close(self) -> None:
        """Release the device that the detector runs on."""
        self._detector.close()


def _boxes(request: DetectionRequest) -> NDArray[np.float32] | None:
    return None if request.near is None else np.array(request.near, np.float32).reshape(-1, 4)
