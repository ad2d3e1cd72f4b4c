"""The live side of the track worker, step by step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from ferengine._native import FaceRing, FrameRing, WorkerPage
from ferengine.detection.base import Detections
from ferengine.ipc.channel import data_pair, receive_data, send_data
from ferengine.stages.messages import TRACK_READER, DetectionRequest, encode_detections
from ferengine.stages.track import TrackStage
from ferengine.stages.worker import Worker

NOBODY = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), None)


def test_a_late_answer_without_faces_frees_its_frame_and_lets_the_next_be_asked_for() -> None:
    requests, answers, events = data_pair(), data_pair(), data_pair()
    classify, detect = WorkerPage.create(), WorkerPage.create()
    faces = FaceRing.create(8, 48)
    ring = FrameRing.create(12, 64 * 48 * 3)
    ring.readers = 1 << TRACK_READER
    settings = {
        "index": 0, "detect_every": 6, "deadline": 0.5, "align": False, "detectors": 1, "search": "full", "tracker": "kcf",
        "full_scan": 1.0,
        "cameras": [{"number": 0, "live": True, "epoch": 1, "first_id": 1, "done": 0}],
    }  # fmt: skip
    stage = TrackStage(cast(Worker, SimpleNamespace(poll_control=lambda: None)), settings, {
        "requests": requests[0].fileno(), "answers": answers[1].fileno(), "events": events[0].fileno(),
        "faces": faces.fd, "classify_page": classify.fd, "detect_page0": detect.fd,
    })  # fmt: skip
    stage.handle({"op": "ring", "camera": 0, "generation": 0, "live": True}, {"ring": ring.fd})

    def show(sequence: int) -> None:
        ring.publish(ring.acquire(0), sequence, 64, 48, 64 * 3, 3, sequence / 25, 0, ring.readers)
        while stage.step():
            pass

    show(0)
    first = receive_data(requests[1])
    assert first is not None
    show(1)  # frame 0 goes out as tracked; its answer is late
    assert [sequence for sequence, _ in ring.held(TRACK_READER)] == [0]
    send_data(answers[0], encode_detections(DetectionRequest.decode(first), NOBODY))
    show(2)
    assert ring.held(TRACK_READER) == []
    for sequence in range(3, 7):
        show(sequence)
    second = receive_data(requests[1])
    assert second is not None
    assert DetectionRequest.decode(second).sequence == 6
    for pair in (requests, answers, events):
        for end in pair:
            end.close()
