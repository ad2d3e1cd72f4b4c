"""Faces of different cameras are classified in common batches."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from numpy.typing import NDArray

from ferengine import Engine, PushSource
from ferengine._native import FaceRing, WorkerPage
from ferengine.ipc.channel import ControlChannel, data_pair, receive_data
from ferengine.stages.classify import ClassifyStage
from ferengine.stages.messages import decode_scores
from ferengine.stages.worker import Worker


def test_one_batch_takes_the_faces_of_all_rings() -> None:
    rings = [FaceRing.create(8, 48) for _ in range(2)]
    page = WorkerPage.create()
    sent, received = data_pair()
    frame = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    squares = np.array([[50, 50, 60, 0], [40, 40, 50, 0]], np.float32)
    assert rings[0].push(frame, squares, 0, 1, 7, 1, 2, 0)
    assert rings[1].push(frame, squares[:1], 1, 1, 9, 1, 2, 0)
    assert rings[1].push(frame, squares[1:], 2, 1, 5, 1, 2, 0)
    descriptors = {"events": sent.fileno(), "faces0": rings[0].fd, "faces1": rings[1].fd,
                   "track_page0": page.fd, "track_page1": page.fd}  # fmt: skip
    control, _there = ControlChannel.pair()
    settings = {"trackers": 2, "models": ["dscnn"], "threads": 1, "max_batch": 8, "batch_deadline": 0.01, "backend": {}}
    stage = ClassifyStage(Worker(control), settings, descriptors)
    assert stage.step()
    message = receive_data(received)
    assert message is not None
    batch = decode_scores(message)
    assert sorted(zip(batch.keys["camera"].tolist(), batch.keys["sequence"].tolist(), strict=True)) == [
        (0, 7), (0, 7), (1, 9), (2, 5),
    ]  # fmt: skip
    assert receive_data(received) is None
    for end in (sent, received):
        end.close()


def test_the_run_counts_its_mixed_batches(images: list[NDArray[np.uint8]]) -> None:
    """The classifier is stopped until the faces of both cameras wait for it."""
    with Engine([PushSource("door", wait=True), PushSource("yard", wait=True)], detector="haar") as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        classifier = engine.worker_pids()["classify"]
        os.kill(classifier, signal.SIGSTOP)
        for number in range(8):
            for camera in ("door", "yard"):
                assert engine.push(camera, images[number], number / 30, timeout=60)
        while min(engine._supervisor.cameras.named(camera).joiner.waiting for camera in ("door", "yard")) < 8:
            time.sleep(0.01)
        os.kill(classifier, signal.SIGCONT)
        engine.end_source("door")
        engine.end_source("yard")
        faces = sum(len(result.faces) for result in results)
        batch = engine.summary()["batch"]
    assert batch["faces"] == faces >= 16
    assert batch["mixed"] >= 1
    assert batch["batches"] < faces / 2
