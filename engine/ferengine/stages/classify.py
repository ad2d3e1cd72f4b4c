"""The classify worker: gathers faces from all face rings into batches and returns their scores."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FACE_KEY, FaceRing, WorkerPage
from ferengine.classification.parallel_heads import ParallelClassifier
from ferengine.config import BackendSettings
from ferengine.inference.select import choose_backend
from ferengine.ipc.channel import send_data
from ferengine.stages.batching import BatchPolicy
from ferengine.stages.messages import ScoreBatch, encode_scores

if TYPE_CHECKING:
    from ferengine.stages.worker import Worker


class ClassifyStage:
    """Face rings -> batch -> scores. A ring's slots are freed only after the scores were sent.

    On a GPU one batch is gathered, straight into pinned memory, while another is computed.
    """

    def __init__(self, worker: Worker, settings: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        trackers = range(settings["trackers"])
        self._rings = [FaceRing.attach(os.dup(descriptors[f"faces{t}"])) for t in trackers]
        self._pages = [WorkerPage.attach(os.dup(descriptors[f"track_page{t}"])) for t in trackers]
        self._scores = socket.socket(fileno=os.dup(descriptors["events"]))
        self._control = worker.control
        self._failure: str | None = None
        backend = BackendSettings(**settings["backend"])
        self._networks = ParallelClassifier(
            settings["models"],
            threads=settings["threads"],
            backend=backend,
            max_batch=settings["max_batch"],
            on_failure=self._note_failure,
        )
        self._tell_backend(choose_backend(backend.backend)[1])
        self._policy = BatchPolicy(settings["max_batch"], settings["batch_deadline"])
        self._keys = deque(np.empty(settings["max_batch"], FACE_KEY) for _ in range(self._networks.depth + 1))
        self._batches: deque[tuple[NDArray[np.void], list[int]]] = deque()
        self._turn = 0
        self._unsent: tuple[bytes, list[int]] | None = None

    def handle(self, message: Mapping[str, Any], descriptors: Mapping[str, int]) -> None:
        """Nothing beyond the start concerns the classifier."""

    def step(self) -> bool:
        if self._unsent is not None:
            self._send()
            return True
        gathered = self._networks.in_flight < self._networks.depth and self._gather()
        if self._networks.in_flight and (not gathered or self._networks.is_done()):
            self._collect()
            self._send()
            return True
        return gathered

    def _send(self) -> None:
        assert self._unsent is not None
        message, taken = self._unsent
        if not send_data(self._scores, message):
            time.sleep(0.001)  # the engine reads without pause; its queue is full for a moment only
            return
        for ring, page, count in zip(self._rings, self._pages, taken, strict=True):
            if count:
                ring.release(count)
                page.notify()
        self._unsent = None

    def _gather(self) -> bool:
        """Fill a batch and set the backend to work on it, if the policy closes one now."""
        waiting = sum(ring.waiting for ring in self._rings)
        oldest = min((ring.oldest_queued_ns for ring in self._rings if ring.waiting), default=0)
        age = (time.monotonic_ns() - oldest) / 1e9 if oldest else 0.0
        if not self._policy.closes(waiting, age, device_idle=not self._networks.in_flight):
            return False
        batch, keys = self._networks.input(self._policy.max_batch), self._keys[0]
        self._keys.rotate()
        taken, count = [0] * len(self._rings), 0
        for step in range(len(self._rings)):  # begin with another ring each time: a full batch starves nobody
            index = (self._turn + step) % len(self._rings)
            taken[index] = self._rings[index].gather(batch, keys, self._networks.mean, self._networks.std, count)
            count += taken[index]
        self._turn += 1
        self._networks.submit(count)
        self._batches.append((keys[:count], taken))
        return True

    def _collect(self) -> None:
        scores = self._networks.collect()
        keys, taken = self._batches.popleft()
        batch = ScoreBatch(keys, scores, self._policy.max_batch, time.monotonic_ns())
        self._unsent = encode_scores(batch), taken

    def _note_failure(self, reason: str) -> None:
        self._failure = reason
        if hasattr(self, "_networks"):  # later than at the start, which tells by itself
            self._tell_backend(reason)

    def _tell_backend(self, reason: str) -> None:
        message = {"op": "backend", "name": self._networks.backend_names, "reason": reason, "failure": self._failure}
        self._control.send(message)

    def close(self) -> None:
        self._networks.close()
