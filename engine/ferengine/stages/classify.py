"""The classify stage: gathers faces from all face rings into batches and returns their scores."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FACE_KEY, FaceRing, WorkerPage
from ferengine.classification.light import lighten
from ferengine.classification.parallel_heads import ParallelClassifier
from ferengine.classification.quality import measure_crops
from ferengine.errors import UsageError
from ferengine.inference.select import choose_backend
from ferengine.ipc.channel import send_data
from ferengine.stages.base import Stage
from ferengine.stages.messages import BackendChosen
from ferengine.stages.records import ScoreBatch
from ferengine.stages.start_messages import StartClassify


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """When a batch is closed: at once when the device is idle, when ``max_batch`` faces wait, or when the oldest face has
    waited ``deadline`` seconds; never while none waits. Raises UsageError for limits that make no sense."""

    max_batch: int
    deadline: float

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.deadline < 0:
            raise UsageError(f"a batch holds at least 1 face and waits at least 0 s, not {self}")

    def closes(self, waiting: int, oldest_age: float, *, device_idle: bool) -> bool:
        """Whether to close it now: ``waiting`` faces, the oldest of them queued ``oldest_age`` seconds ago."""
        return waiting > 0 and (device_idle or waiting >= self.max_batch or oldest_age >= self.deadline)


class ClassifyStage(Stage[StartClassify]):
    """Face rings -> batch -> scores. A ring's slots are freed only after the scores were sent.

    On a GPU one batch is gathered, straight into pinned memory, while another is computed.
    """

    def open(self) -> None:
        start = self.start
        self._rings = [FaceRing.attach(os.dup(faces)) for faces in start.faces]
        self._crops = self._rings[0].crops
        self._track_pages = [WorkerPage.attach(os.dup(page)) for page in start.track_pages]
        self._events = socket.socket(fileno=os.dup(start.events))
        self._failure: str | None = None
        self._opened = False
        self._networks = ParallelClassifier(
            start.models,
            prior=start.prior,
            threads=start.threads,
            backend=start.backend,
            max_batch=start.max_batch,
            on_failure=self._note_failure,
        )
        self._opened = True
        self._report_backend(choose_backend(start.backend.backend)[1])
        self._policy = BatchPolicy(start.max_batch, start.batch_deadline)
        self._keys = deque(np.empty(start.max_batch, FACE_KEY) for _ in range(self._networks.depth + 1))
        self._batches: deque[tuple[NDArray[np.void], NDArray[np.float32], list[int]]] = deque()
        self._turn = 0
        self._unsent: tuple[bytes, list[int]] | None = None

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
        if not send_data(self._events, message):
            time.sleep(0.001)  # the engine reads without pause; its queue is full for a moment only
            return
        for ring, page, count in zip(self._rings, self._track_pages, taken, strict=True):
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
        inputs, keys = self._networks.inputs(self._policy.max_batch), self._keys[0]
        targets = [(self._crops.index(each.crop), each.rows, each.mean, each.std) for each in inputs]
        self._keys.rotate()
        taken, count = [0] * len(self._rings), 0
        for step in range(len(self._rings)):  # start with another ring each time, so that a full batch starves none
            index = (self._turn + step) % len(self._rings)
            taken[index] = self._rings[index].gather(targets, keys, count)
            count += taken[index]
        self._turn += 1
        first = inputs[0]
        measures = measure_crops(first.rows[:count], first.mean, first.std, first.crop.planes)
        for each in inputs:
            if each.crop.planes == "grey":
                lighten(each.rows[:count], measures[:, 2], each.mean[0], each.std[0])
        self._networks.submit(count)
        self._batches.append((keys[:count], measures, taken))
        return True

    def _collect(self) -> None:
        scores = self._networks.collect()
        keys, measures, taken = self._batches.popleft()
        batch = ScoreBatch(keys, scores, measures, self._policy.max_batch, time.monotonic_ns())
        self._unsent = batch.encode(), taken

    def _note_failure(self, reason: str) -> None:
        self._failure = reason
        if self._opened:  # ``open`` reports by itself
            self._report_backend(reason)

    def _report_backend(self, reason: str) -> None:
        self.context.send(BackendChosen(self._networks.backend_names, self._networks.description, reason, self._failure))

    def close(self) -> None:
        self._networks.close()
