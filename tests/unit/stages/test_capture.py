"""The capture stage, without its worker process."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ferengine._native import FrameRing, WorkerPage
from ferengine.sources import parse_source
from ferengine.sources.base import CapturedFrame, SourceInfo
from ferengine.stages import capture
from ferengine.stages.capture import CaptureStage
from ferengine.stages.messages import AddRing, BeginCapture, CaptureCounts, FromWorker, NeedRing
from ferengine.stages.reader import Taken
from ferengine.stages.start_messages import Descriptor, StartCapture
from stages_help import context


def opened(page: WorkerPage, reports: list[FromWorker], **options: Any) -> CaptureStage:
    """A stage that has been asked for the demo."""
    descriptor, source = Descriptor(page.fd), json.dumps(parse_source("demo", **options).to_dict())
    stage = CaptureStage(StartCapture(descriptor, descriptor, 0, source, None, 0, None, False), context(page, reports))
    stage.open()
    return stage


def test_a_ring_that_is_still_too_small_is_asked_for_again() -> None:
    page, small = WorkerPage.create(), FrameRing.create(4, 12)
    reports: list[FromWorker] = []
    stage = opened(page, reports)
    stage.handle(BeginCapture())
    for generation in range(2):
        stage.handle(AddRing(Descriptor(small.fd), 0, generation, False))
        for _ in range(5):
            stage.step()
    stage.close()
    assert [report for report in reports if isinstance(report, NeedRing)] == [NeedRing(0, 640 * 480 * 3)] * 2


class LateReader:
    """Has passed over two frames before its second one."""

    def __init__(self) -> None:
        image = np.zeros((2, 2, 3), np.uint8)
        info = SourceInfo(2, 2, 25.0, live=True)
        self._items: list[Taken] = [(info, 0), (CapturedFrame(image, 0.0), 0), (CapturedFrame(image, 0.1), 2)]

    def take(self) -> Taken:
        return self._items.pop(0) if self._items else (None, 0)

    def begin(self) -> None: ...

    def close(self) -> None: ...


def test_late_frames_are_reported_before_the_frame_that_follows_them() -> None:
    """A worker that is killed then takes no count with it."""
    page, ring = WorkerPage.create(), FrameRing.create(4, 12)
    reports: list[FromWorker] = []
    stage = opened(page, reports)
    stage._reader = LateReader()
    stage.handle(BeginCapture())
    stage.handle(AddRing(Descriptor(ring.fd), 0, 0, True))
    while ring.published < 4:
        stage.step()
    assert [report for report in reports if isinstance(report, CaptureCounts)] == [CaptureCounts(0, 0, 2, 0, 0, False)]
    stage.close()


def test_a_long_wait_for_the_next_frame_is_no_sign_of_a_stuck_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    now, beats = 100.0, list[float]()
    page, ring = WorkerPage.create(), FrameRing.create(4, 640 * 480 * 3)

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        beats.append(page.heartbeat)

    clock = SimpleNamespace(monotonic=lambda: now, monotonic_ns=time.monotonic_ns, time=time.time, sleep=sleep)
    monkeypatch.setattr(capture, "time", clock)
    stage = opened(page, [], pace="native", fps=0.05)  # a frame every 20 seconds
    stage.handle(BeginCapture())
    stage.handle(AddRing(Descriptor(ring.fd), 0, 0, True))
    began = time.monotonic()
    while ring.published < 2:
        stage.step()
    drawing = time.monotonic() - began  # the frames that are left out take real time, which need not be waited for
    assert 118 - drawing <= now <= 122
    assert len(beats) >= now - 102
    assert beats == sorted(set(beats))
    stage.close()
