"""The detect stage: answers the track workers' requests, each for one frame."""

from __future__ import annotations

import os
import select
import socket
from collections import defaultdict, deque

import numpy as np
from numpy.typing import NDArray

from ferengine._native import WorkerPage
from ferengine.detection import create_detector
from ferengine.ipc.channel import receive_data, send_data
from ferengine.ipc.rings import CameraRings
from ferengine.stages.base import Stage
from ferengine.stages.messages import AddRing, BackendChosen, ForgetCamera, ForgetRing, ToWorker
from ferengine.stages.records import DetectionAnswer, DetectionRequest
from ferengine.stages.start_messages import StartDetect
from ferengine.vision import cv2

_ANSWER_WAIT = 0.002
"""Seconds before an answer that found its queue full is sent again."""


class DetectStage(Stage[StartDetect]):
    """Request queue -> detector -> the track worker that asked. Several workers share the one queue.

    It holds no slot of its own: the track worker keeps the frame until the answer has come. A request wakes one idle
    worker, which the kernel picks: each sleeps at the queue itself, with EPOLLEXCLUSIVE.
    """

    def open(self) -> None:
        cv2.setNumThreads(1)
        start = self.start
        self._rings: defaultdict[int, CameraRings] = defaultdict(CameraRings)
        self._requests = socket.socket(fileno=os.dup(start.requests))
        self._answers = [socket.socket(fileno=os.dup(answers)) for answers in start.answers]
        self._track_pages = [WorkerPage.attach(os.dup(page)) for page in start.track_pages]
        self._unsent: list[deque[bytes]] = [deque() for _ in self._answers]
        self._detector = create_detector(
            start.detector,
            min_face=start.min_face,
            thresholds=start.thresholds,
            factor=start.pyramid_factor,
            backend=start.backend,
            on_failure=self._report_failure,
        )
        self._epoll = select.epoll()
        self._epoll.register(self._requests, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(self.context.control, select.EPOLLIN)

    def handle(self, message: ToWorker) -> None:
        match message:
            case AddRing():
                self._rings[message.camera].add(message.generation, message.ring)
            case ForgetRing():
                self._rings[message.camera].forget(message.generation)
            case ForgetCamera():
                self._rings.pop(message.camera, None)

    def step(self) -> bool:
        searched = self._search()
        return self._send_answers() or searched

    def wait(self, seen: int, timeout: float) -> None:
        """Sleep at the request queue and the control socket."""
        self._epoll.poll(_ANSWER_WAIT if any(self._unsent) else timeout)

    def _search(self) -> bool:
        """Answer the requests that wait, as many at a time as the detector gains from; False when there are none."""
        requests: list[DetectionRequest] = []
        frames: list[NDArray[np.uint8]] = []
        while len(requests) < self._detector.preferred_batch and (data := receive_data(self._requests)) is not None:
            request = DetectionRequest.decode(data)
            if request.generation not in self._rings[request.camera]:
                self.context.poll_control()  # the engine sends rings before anyone can ask for their frames
            if request.generation not in self._rings[request.camera]:
                continue  # the camera was removed, or the track worker that asked has died
            requests.append(request)
            frames.append(self._rings[request.camera][request.generation].frame(request.slot))
        if not requests:
            return False
        found = self._detector.detect_many(frames, [_boxes(request) for request in requests])
        for request, detections in zip(requests, found, strict=True):
            self._unsent[request.tracker].append(DetectionAnswer(request, detections).encode())
        return True

    def _send_answers(self) -> bool:
        """Send what there is room for; one track worker's full queue holds up no other's answers."""
        sent = False
        for answers, page, unsent in zip(self._answers, self._track_pages, self._unsent, strict=True):
            while unsent and send_data(answers, unsent[0]):
                unsent.popleft()
                page.notify()
                sent = True
        return sent

    def _report_failure(self, reason: str) -> None:
        self.context.send(BackendChosen("the CPU", "MTCNN on the CPU", "", reason))

    def close(self) -> None:
        """Release the device that the detector runs on."""
        self._epoll.close()
        self._detector.close()


def _boxes(request: DetectionRequest) -> NDArray[np.float32] | None:
    return None if request.near is None else np.array(request.near, np.float32).reshape(-1, 4)
