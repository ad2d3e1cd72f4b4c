"""The classify worker: gathers faces from all face rings into batches and returns their scores."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ferengine._native import FACE_KEY, FaceRing, WorkerPage
from ferengine.classify.batcher import BatchPolicy
from ferengine.classify.parallel import ParallelClassifier
from ferengine.runtime.channel import send_data
from ferengine.runtime.wire import ScoreBatch, encode_scores

if TYPE_CHECKING:
    from ferengine.runtime.worker import Worker


class ClassifyStage:
    """Face rings -> batch -> scores. A ring's slots are freed only after the scores were sent."""

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        del worker
        trackers = range(settings["trackers"])
        self._rings = [FaceRing.attach(os.dup(descriptors[f"faces{t}"])) for t in trackers]
        self._pages = [WorkerPage.attach(os.dup(descriptors[f"track_page{t}"])) for t in trackers]
        self._scores = socket.socket(fileno=os.dup(descriptors["events"]))
        self._classifier = ParallelClassifier(settings["models"], threads=settings["threads"])
        self._policy = BatchPolicy(settings["max_batch"], settings["batch_deadline"])
        side = self._classifier.input_size
        self._batch = np.empty((settings["max_batch"], 1, side, side), np.float32)
        self._keys = np.empty(settings["max_batch"], FACE_KEY)
        self._turn = 0
        self._unsent: tuple[bytes, list[int]] | None = None

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        """Nothing beyond the start concerns the classifier."""

    def step(self) -> bool:
        if self._unsent is None and not self._classify():
            return False
        assert self._unsent is not None
        message, taken = self._unsent
        if not send_data(self._scores, message):
            time.sleep(0.001)  # the engine reads without pause; its queue is full for a moment only
            return True
        for ring, page, count in zip(self._rings, self._pages, taken, strict=True):
            if count:
                ring.release(count)
                page.ring()
        self._unsent = None
        return True

    def _classify(self) -> bool:
        waiting = sum(ring.waiting for ring in self._rings)
        oldest = min((ring.oldest_queued_ns for ring in self._rings if ring.waiting), default=0)
        age = (time.monotonic_ns() - oldest) / 1e9 if oldest else 0.0
        if not self._policy.closes(waiting, age, device_idle=True):  # ONNX Runtime answers before it returns
            return False
        taken, count = [0] * len(self._rings), 0
        for step in range(len(self._rings)):  # begin with another ring each time: a full batch starves nobody
            index = (self._turn + step) % len(self._rings)
            taken[index] = self._rings[index].gather(
                self._batch, self._keys, self._classifier.mean, self._classifier.std, count
            )
            count += taken[index]
        self._turn += 1
        scores = self._classifier.scores_normalised(self._batch[:count])
        batch = ScoreBatch(self._keys[:count], scores, len(self._batch), time.monotonic_ns())
        self._unsent = encode_scores(batch), taken
        return True

    def close(self) -> None:
        """Nothing to finish."""
